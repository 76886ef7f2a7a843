/** A real Caddy on the loopback interface: one reverse_proxy handler with the @id `app`, and its admin API. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
// @ts-expect-error: a script of the project, without types
import { newerCaddy } from '../../scripts/newer-caddy.mjs'
import { freePort } from './free-port.ts'
import { end } from './processes.ts'
import { waitUntil } from './wait-until.ts'

export interface CaddyOptions {
  /** Ports of the upstreams, in order. */
  readonly upstreams: readonly number[]
  /** `debian`: /usr/bin/caddy; `newer`: the one that counts what a removed upstream still answers. */
  readonly program?: 'debian' | 'newer'
  /** Further settings of the handler. */
  readonly handler?: Readonly<Record<string, unknown>>
  /** Further settings of the admin API. */
  readonly admin?: Readonly<Record<string, unknown>>
  /** Further routes, before the one with the handler. */
  readonly routes?: readonly unknown[]
}

export interface Caddy {
  readonly port: number
  readonly adminPort: number
  /** The directory of the program, for a PATH. */
  readonly programs: string
  /** Dial addresses of the handler's upstreams. */
  dials(): Promise<string[]>
  /** Any call of the admin API. Throws on a refusal. */
  api(method: string, path: string, body?: unknown): Promise<string>
  /** The first configuration again, as `caddy reload` does. */
  reload(): Promise<void>
  log(): string
  stop(): Promise<void>
}

/** One request of its own connection: Caddy cuts kept ones at each change. */
function call(port: number, method: string, path: string, body: string | undefined, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = {
      'content-type': 'application/json',
      'cache-control': 'must-revalidate',
      connection: 'close',
      host,
    }
    const asked = request({ port, host: '127.0.0.1', method, path, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', data => {
        text += data
      })
      response.once('error', reject)
      response.once('end', () =>
        (response.statusCode ?? 500) < 300 ? resolve(text) : reject(new Error(`HTTP ${response.statusCode}: ${text}`)),
      )
    })
    asked.once('error', reject)
    asked.end(body)
  })
}

/** Throws with its log when it does not come up, and with what to install when it is missing. */
export async function startCaddy(options: CaddyOptions): Promise<Caddy> {
  const program: string = options.program === 'newer' ? newerCaddy : '/usr/bin/caddy'
  if (!existsSync(program)) throw new Error(`${program} is missing: npm test installs it`)
  const directory = mkdtempSync(join(tmpdir(), 'caddy-'))
  const [port, adminPort] = [await freePort(), await freePort()]
  const proxy = {
    '@id': 'app',
    handler: 'reverse_proxy',
    upstreams: options.upstreams.map(p => ({ dial: `127.0.0.1:${p}` })),
    // One kept connection that is closed by a server that is restarted is no failure of the balancer.
    load_balancing: { retries: 0 },
    ...options.handler,
  }
  const config = {
    admin: { listen: `127.0.0.1:${adminPort}`, ...options.admin },
    apps: {
      http: {
        servers: {
          main: { listen: [`127.0.0.1:${port}`], routes: [...(options.routes ?? []), { handle: [proxy] }] },
        },
      },
    },
  }
  const file = join(directory, 'caddy.json')
  writeFileSync(file, JSON.stringify(config))
  const child = spawn(program, ['run', '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: directory, XDG_CONFIG_HOME: directory, XDG_DATA_HOME: directory },
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      log += data.toString('utf8')
    })
  // Who comes while it opens its admin address anew, at each change, is cut; what is asked here may be asked twice.
  const api: Caddy['api'] = async (method, path, body) => {
    const text = body === undefined ? undefined : JSON.stringify(body)
    for (let left = 20; ; left--) {
      try {
        return await call(adminPort, method, path, text, `127.0.0.1:${adminPort}`)
      } catch (error) {
        const isCut = error instanceof Error && 'code' in error && error.code === 'ECONNRESET'
        if (!isCut || left === 0 || ended) throw error
        await sleep(25)
      }
    }
  }
  const stop = async () => {
    if (child.pid !== undefined) await end([child.pid])
    rmSync(directory, { recursive: true, force: true })
  }
  let ended = false
  child.once('close', () => {
    ended = true
  })
  const up = await waitUntil(
    () => `Caddy answers: ${log}`,
    async () =>
      ended || (options.admin !== undefined && log.includes('serving initial configuration'))
        ? 'seen'
        : api('GET', '/id/app').then(
            () => 'up',
            () => null,
          ),
  )
  if (up === 'seen' && ended) {
    await stop()
    throw new Error(`Caddy did not start: ${log}`)
  }
  return {
    port,
    adminPort,
    programs: join(program, '..'),
    dials: async () =>
      (JSON.parse(await api('GET', '/id/app/upstreams')) as readonly { readonly dial: string }[]).map(u => u.dial),
    api,
    reload: async () => {
      await api('POST', '/load', config)
    },
    log: () => log,
    stop,
  }
}
