/** A real Apache on the loopback interface: one balancer, and its balancer-manager on the same port. */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { childrenOf, end, signal } from './processes.ts'
import { waitUntil } from './wait-until.ts'

export interface ApacheOptions {
  readonly members: readonly { readonly name: string; readonly port: number }[]
  /** Health checks of /up, every 200 ms. */
  readonly checked?: boolean
  /** Sessions stick by the cookie ROUTEID. */
  readonly sticky?: boolean
  /** Further parameters of each member, as `loadfactor=3 lbset=1`. */
  readonly parameters?: string
  /** Further lines of the configuration. */
  readonly extra?: readonly string[]
}

export interface Apache {
  readonly port: number
  /** The row of a member, its cells as text. */
  row(name: string): Promise<readonly string[]>
  /** The words of its status: `Init Ok`, `Init Drn Ok`, `Init Dis`. */
  status(name: string): Promise<string>
  /** Changes a member as a person does with the page: `{ w_status_D: '1' }`. */
  set(name: string, fields: Readonly<Record<string, string>>): Promise<void>
  page(): Promise<string>
  /** `apachectl graceful`: resolves when a new generation answers. */
  reload(): Promise<void>
  log(): string
  stop(): Promise<void>
}

const apachePath = '/usr/sbin/apache2'
const modulesPath = '/usr/lib/apache2/modules'
const modules = [
  'mpm_event',
  'authz_core',
  'authz_host',
  'headers',
  'proxy',
  'proxy_http',
  'slotmem_shm',
  'proxy_balancer',
  'lbmethod_byrequests',
  'proxy_hcheck',
]

function configuration(options: ApacheOptions, directory: string, port: number): string {
  const members = options.members.map(({ name, port: to }) => {
    const check = options.checked ? ' hcmethod=GET hcuri=/up hcinterval=200ms hcpasses=2 hcfails=2' : ''
    return `  BalancerMember http://127.0.0.1:${to} route=${name} ${options.parameters ?? ''}${check}`
  })
  return [
    `ServerRoot ${directory}`,
    `PidFile ${directory}/pid`,
    `DefaultRuntimeDir ${directory}`,
    `ErrorLog ${directory}/error.log`,
    'Mutex pthread',
    `Listen 127.0.0.1:${port}`,
    ...modules.map(name => `LoadModule ${name}_module ${modulesPath}/mod_${name}.so`),
    ...(process.getuid?.() === 0 ? ['User www-data', 'Group www-data'] : []),
    'StartServers 1',
    'ServerLimit 8',
    '<Proxy balancer://app>',
    ...members,
    ...(options.sticky ? ['  ProxySet stickysession=ROUTEID'] : []),
    '</Proxy>',
    ...(options.sticky
      ? ['Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED']
      : []),
    ...['manager', 'denied', 'nothing'].map(path => `ProxyPass /${path} !`),
    'ProxyPass / balancer://app/',
    '<Location /manager>',
    '  SetHandler balancer-manager',
    '  Require local',
    '</Location>',
    '<Location /denied>',
    '  SetHandler balancer-manager',
    '  Require all denied',
    '</Location>',
    ...(options.extra ?? []),
    '',
  ].join('\n')
}

/** One request of its own connection; the body of a 200. */
function ask(port: number, body?: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = {
      connection: 'close',
      ...(body === undefined
        ? {}
        : { referer: 'http://127.0.0.1/manager', 'content-type': 'application/x-www-form-urlencoded' }),
    }
    const method = body === undefined ? 'GET' : 'POST'
    const asked = request({ port, host: '127.0.0.1', path: '/manager', method, headers, agent: false }, response => {
      let text = ''
      response.setEncoding('latin1')
      response.on('data', data => {
        text += data
      })
      response.once('error', reject)
      response.once('end', () =>
        response.statusCode === 200 ? resolve(text) : reject(new Error(`HTTP ${response.statusCode}: ${text}`)),
      )
    })
    asked.once('error', reject)
    asked.end(body)
  })
}

/** Throws with its log when it does not come up, and with what to install when it is missing. */
export async function startApache(options: ApacheOptions): Promise<Apache> {
  if (!existsSync(apachePath)) throw new Error(`${apachePath} is missing: apt-get install apache2`)
  const directory = mkdtempSync(join(tmpdir(), 'apache-'))
  chmodSync(directory, 0o755)
  const port = await freePort()
  const file = join(directory, 'apache.conf')
  writeFileSync(file, configuration(options, directory, port))
  const child = spawn(apachePath, ['-f', file, '-D', 'FOREGROUND'], { stdio: ['ignore', 'pipe', 'pipe'] })
  let printed = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => {
      printed += data.toString('utf8')
    })
  let ended = false
  child.once('close', () => {
    ended = true
  })
  const errors = join(directory, 'error.log')
  const log = () => printed + (existsSync(errors) ? readFileSync(errors, 'utf8') : '')
  const page = () => ask(port)
  const pid = child.pid ?? 0
  const stop = async () => {
    await end([...childrenOf(pid), pid])
    rmSync(directory, { recursive: true, force: true })
  }
  const up = await waitUntil(
    () => `Apache answers: ${log()}`,
    () =>
      ended
        ? 'ended'
        : page().then(
            () => 'up',
            () => null,
          ),
  )
  if (up === 'ended') {
    const said = log()
    await stop()
    throw new Error(`Apache did not start: ${said}`)
  }
  const nonce = async () => /nonce=([0-9a-f-]+)/.exec(await page())?.[1] ?? ''
  const url = (name: string) => `http://127.0.0.1:${options.members.find(m => m.name === name)?.port}`
  const row = async (name: string) => {
    const line = (await page()).split('\n').find(l => l.includes(`>${url(name)}</a>`)) ?? ''
    return [...line.matchAll(/<td>(.*?)<\/td>/g)].map(([, cell = '']) => cell.replace(/<[^>]*>/g, '').trim())
  }
  return {
    port,
    row,
    status: async name => (await row(name))[5] ?? 'absent',
    set: async (name, fields) => {
      const all = new URLSearchParams({ b: 'app', w: url(name), nonce: await nonce(), ...fields })
      await ask(port, all.toString())
    },
    page,
    reload: async () => {
      const before = await nonce()
      signal(pid, 'SIGUSR1')
      await waitUntil(
        () => `Apache reloads: ${log()}`,
        async () => {
          const now = await nonce().catch(() => '')
          return now !== '' && now !== before
        },
      )
    },
    log,
    stop,
  }
}
