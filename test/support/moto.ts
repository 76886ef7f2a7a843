/** A moto server on the loopback interface, and questions to it as they come. */
import { spawn } from 'node:child_process'
import { AwsClient } from 'aws4fetch'
// @ts-expect-error: a script of the project, without types
import { installMoto, motoPath } from '../../scripts/moto.mjs'
import { freePort } from './free-port.ts'
import { end } from './processes.ts'
import { waitUntil } from './wait-until.ts'

export interface Moto {
  readonly url: string
  /** The answer's text. Throws when it is no success. */
  ask(service: string, params: Readonly<Record<string, string>>): Promise<string>
  stop(): Promise<void>
}

export async function startMoto(): Promise<Moto> {
  installMoto()
  const port = await freePort()
  const child = spawn('python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], {
    env: { PATH: process.env['PATH'] ?? '', PYTHONPATH: motoPath, PYTHONDONTWRITEBYTECODE: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  child.stderr.on('data', (data: Buffer) => {
    log = (log + data.toString('utf8')).slice(-4000)
  })
  const url = `http://127.0.0.1:${port}`
  await waitUntil(
    () => `moto answers: ${log}`,
    () => {
      if (child.exitCode !== null) throw new Error(`moto ended: ${log}`)
      return fetch(`${url}/moto-api/data.json`).then(
        response => response.ok,
        () => false,
      )
    },
    60_000,
  )
  return {
    url,
    async ask(service, params) {
      const client = new AwsClient({
        accessKeyId: 'AKID',
        secretAccessKey: 'x',
        service,
        region: 'eu-west-1',
        retries: 0,
      })
      const response = await client.fetch(`${url}/`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams(params).toString(),
      })
      const text = await response.text()
      if (!response.ok) throw new Error(`${params['Action']}: ${response.status} ${text}`)
      return text
    },
    stop: async () => {
      if (child.pid !== undefined) await end([child.pid])
    },
  }
}
