/** A real HAProxy on the loopback interface: one frontend for each backend, health checks every 200 ms, an admin socket. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { childrenOf, end, signal } from './processes.ts'
import { waitUntil } from './wait-until.ts'

export interface Member {
  readonly name: string
  readonly port: number
}

export interface Backend {
  readonly servers: readonly Member[]
  readonly mode?: 'http' | 'tcp'
  /** Further lines of the backend, as `balance leastconn`. */
  readonly options?: readonly string[]
  /** In place of `check inter 200ms fall 2 rise 2`. */
  readonly defaultServer?: string
}

export interface HaproxyOptions {
  readonly backends: Readonly<Record<string, Backend>>
  /** The backend whose frontend is `port`; default: the first. */
  readonly frontend?: string
  /** What the admin socket allows: `operator` reads everything and writes nothing; default admin. */
  readonly level?: 'admin' | 'operator'
  /** Further sections or lines at the end of the configuration. */
  readonly extra?: readonly string[]
}

export type AdminState = 'ready' | 'drain' | 'maint'

/** One row of `show stat`, by column name. */
export type StatRow = Readonly<Record<string, string>>

export interface Haproxy {
  readonly port: number
  /** Frontend port of each backend. */
  readonly ports: Readonly<Record<string, number>>
  /** Path of the admin socket. */
  readonly socket: string
  readonly pid: number
  /** Sends one command to the admin socket and gives its answer. */
  command(text: string): Promise<string>
  stats(): Promise<StatRow[]>
  /** `status` of a server as `show stat` tells it: UP, DRAIN, MAINT, DOWN, `UP 1/2`, … */
  status(backend: string, server: string): Promise<string>
  /** What operators set, apart from health: `ready`, `drain` or `maint`, by server (srv_admin_state, management.txt 9.3). */
  asSet(backend: string): Promise<Readonly<Record<string, AdminState>>>
  /** Reloads as an operator would (SIGUSR2 to the master): runtime states are lost. Resolves when the new worker answers. */
  reload(): Promise<void>
  log(): string
  stop(): Promise<void>
}

const haproxyPath = '/usr/sbin/haproxy'

function configuration(options: HaproxyOptions, ports: Readonly<Record<string, number>>, socket: string): string {
  const sections = Object.entries(options.backends).map(([name, backend]) => {
    const mode = backend.mode ?? 'http'
    return [
      `frontend ${name}_front`,
      `  mode ${mode}`,
      `  bind 127.0.0.1:${ports[name]}`,
      `  default_backend ${name}`,
      `backend ${name}`,
      `  mode ${mode}`,
      ...(mode === 'http' ? ['  option httpchk GET /up'] : []),
      ...(backend.options ?? []).map(line => `  ${line}`),
      `  default-server ${backend.defaultServer ?? 'check inter 200ms fall 2 rise 2'}`,
      ...backend.servers.map(server => `  server ${server.name} 127.0.0.1:${server.port}`),
    ].join('\n')
  })
  return [
    'global',
    `  stats socket ${socket} mode 600 level ${options.level ?? 'admin'}`,
    // Its 10 s are over where the process that asks stands still on a busy machine (write EPIPE, measured).
    '  stats timeout 60s',
    '  maxconn 2000',
    '  nbthread 1',
    'defaults',
    '  timeout connect 10s',
    '  timeout client 60s',
    '  timeout server 60s',
    // Whoever is gone refuses at once; a check that is only answered late is one of a busy machine.
    '  timeout check 10s',
    ...sections,
    ...(options.extra ?? []),
    '',
  ].join('\n')
}

/** Sends one line to a HAProxy socket and reads until it closes; a call has 30 s. */
export const askSocket = (path: string, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const socket = connect(path)
    let answer = ''
    socket.setEncoding('utf8')
    socket.setTimeout(30_000, () => socket.destroy(new Error(`no answer from HAProxy to "${text}"`)))
    socket.on('data', data => {
      answer += data
    })
    socket.once('error', reject)
    socket.once('end', () => resolve(answer))
    socket.write(`${text}\n`)
  })

function parseStats(csv: string): StatRow[] {
  const [head = '', ...rows] = csv.trim().split('\n')
  const columns = head.replace(/^# /, '').split(',')
  return rows.map(row => Object.fromEntries(row.split(',').map((value, i) => [columns[i] ?? '', value])))
}

/** Columns of `show servers state`: 3 is the server's name, 6 its admin state (1 forced maintenance, 8 forced drain). */
function parseAdminStates(text: string): Record<string, AdminState> {
  const rows = text
    .split('\n')
    .filter(line => /^\d+ /.test(line))
    .map(line => line.split(' '))
  const state = (bits: number): AdminState => (bits & 1 ? 'maint' : bits & 8 ? 'drain' : 'ready')
  return Object.fromEntries(rows.map(row => [row[3] ?? '', state(Number(row[6]))]))
}

/** Starts Debian's haproxy. Throws with its messages when it does not come up, and with what to install when it is missing. */
export async function startHaproxy(options: HaproxyOptions): Promise<Haproxy> {
  if (!existsSync(haproxyPath)) throw new Error(`${haproxyPath} is missing: apt-get install haproxy`)
  const directory = mkdtempSync(join(tmpdir(), 'haproxy-'))
  const socket = join(directory, 'admin.sock')
  const config = join(directory, 'haproxy.cfg')
  const names = Object.keys(options.backends)
  const command = (text: string) => askSocket(socket, text)

  const launch = async (attempt = 1): Promise<{ ports: Record<string, number>; pid: number; log: () => string }> => {
    const ports: Record<string, number> = {}
    for (const name of names) ports[name] = await freePort()
    writeFileSync(config, configuration(options, ports, socket))
    const child = spawn(haproxyPath, ['-W', '-db', '-f', config], { stdio: ['ignore', 'pipe', 'pipe'] })
    let log = ''
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (data: Buffer) => {
        log += data.toString('utf8')
      })
    let ended = false
    child.once('close', () => {
      ended = true
    })
    const answers = () =>
      command('show info').then(
        text => text.includes('Pid:'),
        () => false,
      )
    const state = await waitUntil(
      () => `HAProxy answers: ${log}`,
      async () => (ended ? 'ended' : (await answers()) ? 'up' : null),
    )
    if (state === 'up' && child.pid !== undefined) return { ports, pid: child.pid, log: () => log }
    if (attempt < 3 && /in use|cannot bind/i.test(log)) return launch(attempt + 1)
    throw new Error(`HAProxy did not start: ${log}`)
  }
  const started = await launch().catch((error: unknown) => {
    rmSync(directory, { recursive: true, force: true })
    throw error
  })

  const stats = async () => parseStats(await command('show stat'))
  const worker = async () => /^Pid: (\d+)/m.exec(await command('show info').catch(() => ''))?.[1]
  const port = started.ports[options.frontend ?? names[0] ?? '']
  if (port === undefined) throw new Error(`no backend is called ${options.frontend}`)
  return {
    port,
    ports: started.ports,
    socket,
    pid: started.pid,
    command,
    stats,
    status: async (backend, server) =>
      (await stats()).find(row => row['pxname'] === backend && row['svname'] === server)?.['status'] ?? 'absent',
    asSet: async backend => parseAdminStates(await command(`show servers state ${backend}`)),
    reload: async () => {
      const before = await worker()
      const logged = started.log().length
      const heard = () => /Reloading HAProxy|Reexecuting Master/.test(started.log().slice(logged))
      // A master that has not come to its loop yet, as on a busy machine, drops the signal without a word.
      for (let attempt = 1; attempt <= 5 && !heard(); attempt++) {
        signal(started.pid, 'SIGUSR2')
        await waitUntil('the master hears of it', heard, 3_000).catch(() => undefined)
      }
      await waitUntil(
        () => `HAProxy reloads: ${started.log()}`,
        async () => {
          const now = await worker()
          return now !== undefined && now !== before
        },
      )
    },
    log: started.log,
    stop: async () => {
      await end([...childrenOf(started.pid), started.pid])
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
