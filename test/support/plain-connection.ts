/** A Connection over a real sshd with the SSH library alone: no checks of host keys, no process groups. For tests of what uses one. */
import type { Duplex, Readable } from 'node:stream'
import ssh2, { type ClientChannel, type Client as SshClient } from 'ssh2'
import type { Connection, RunOptions, RunResult } from '../../src/fleet/connection.ts'
import type { Sshd } from './sshd.ts'

const { Client } = ssh2

const opened = (begin: (done: (error: Error | undefined, channel: ClientChannel) => void) => void): Promise<Duplex> =>
  new Promise((resolve, reject) => begin((error, channel) => (error ? reject(error) : resolve(channel))))

function run(client: SshClient, script: string, options: RunOptions): Promise<RunResult> {
  return new Promise((resolve, reject) => {
    client.exec('exec sh', (error, channel) => {
      if (error) return reject(error)
      let stdout = ''
      let stderr = ''
      const end = (how: Exclude<RunResult['ended'], 'exit' | 'lost' | 'signal'>) => {
        channel.close()
        resolve({ stdout, stderr, ended: how })
      }
      const timer = setTimeout(() => end('timeout'), options.timeout * 1000)
      options.signal.addEventListener('abort', () => end('cancelled'), { once: true })
      channel.on('data', (data: Buffer) => {
        stdout += data.toString('utf8')
      })
      channel.stderr.on('data', (data: Buffer) => {
        stderr += data.toString('utf8')
      })
      channel.once('close', (code: number | null) => {
        clearTimeout(timer)
        resolve(
          code === null ? { stdout, stderr, ended: 'lost', reason: 'closed' } : { stdout, stderr, ended: 'exit', code },
        )
      })
      channel.end(script)
    })
  })
}

export async function plainConnection(
  sshd: Pick<Sshd, 'name' | 'host' | 'port' | 'user' | 'privateKey'>,
): Promise<Connection> {
  const client = new Client()
  const closed = new AbortController()
  client.once('close', () => closed.abort(new Error('closed')))
  client.on('error', () => undefined)
  await new Promise<void>((resolve, reject) => {
    client.once('ready', resolve)
    client.once('error', reject)
    client.connect({ host: sshd.host, port: sshd.port, username: sshd.user, privateKey: sshd.privateKey })
  })
  return {
    name: sshd.name,
    run: (script, options) => run(client, script, options),
    send: (_script: string, _input: Readable) => Promise.reject(new Error('no test of this sends')),
    forward: port => opened(done => client.forwardOut('127.0.0.1', 0, '127.0.0.1', port, done)),
    forwardSocket: path => opened(done => client.openssh_forwardOutStreamLocal(path, done)),
    closed: closed.signal,
    close: () => client.end(),
  }
}
