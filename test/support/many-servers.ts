/**
 * Many servers, each an SSH server inside a process (demo/ssh-server.ts) with a home of its own, behind one real HAProxy. What is sent
 * to HAProxy's admin socket goes through a recorder, so that it is known who was out at each moment; the steps write a log of theirs.
 */
import { fork } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { newKeyPair, type SshServer, type SshServerOptions } from '../../demo/ssh-server.ts'
import { startHaproxy } from './haproxy.ts'
import { type ActionOptions, type ActionResult, type RunningAction, startAction } from './runner.ts'

export interface Order {
  readonly server: string
  readonly out: boolean
}

/** A process beside this one, the first thing it says, and its end. */
async function startBeside<T>(file: string, words: readonly string[], orders?: object) {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), words, {
    execArgv: ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = new Promise<void>(resolve => child.once('exit', () => resolve()))
  if (orders !== undefined) child.send(orders)
  const said = await new Promise<T>((resolve, reject) => {
    child.once('message', message => resolve(message as T))
    child.once('exit', code => reject(new Error(`${file} ended with ${code}`)))
  })
  const stop = async () => {
    if (child.connected) child.disconnect()
    await ended
  }
  return { said, stop }
}

/** What is sent to the socket, over TCP; see order-recorder.ts. */
async function startRecorder(socket: string, file: string) {
  writeFileSync(file, '')
  const { said, stop } = await startBeside<{ readonly port: number }>('order-recorder.ts', [socket, file])
  const orders = (): Order[] =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter(Boolean)
      .map(line => line.split(' '))
      .map(([server = '', state]) => ({ server, out: state !== 'ready' }))
  return { port: said.port, orders, stop }
}

export interface ManyServers {
  readonly names: readonly string[]
  /** Those behind the balancer. */
  readonly behind: readonly string[]
  readonly temp: string
  /** Everything that was ordered of HAProxy, in order. */
  readonly orders: readonly Order[]
  /** Lines that steps wrote to `$LOG`, in order. */
  log(): readonly string[]
  manifest(keys: Readonly<Record<string, unknown>>): void
  start(inputs: Readonly<Record<string, string>>, more?: Pick<ActionOptions, 'env' | 'post'>): RunningAction
  options(inputs: Readonly<Record<string, string>>, more?: Pick<ActionOptions, 'env' | 'post'>): ActionOptions
  run(inputs: Readonly<Record<string, string>>, more?: Pick<ActionOptions, 'env' | 'post'>): Promise<ActionResult>
  /** Servers whose lock is not free. */
  heldLocks(): readonly string[]
  /** As HAProxy has them now. */
  out(): Promise<readonly string[]>
  stop(): Promise<void>
}

const nameOf = (i: number) => `web${String(i + 1).padStart(3, '0')}`

const perProcess = 50

/** Starts `count` servers, of which the first `front` stand behind the balancer. The manifest is one that takes servers out, and has to be written before the first run. */
export async function startManyServers(count: number, front = count): Promise<ManyServers> {
  const temp = mkdtempSync(join(tmpdir(), 'many-'))
  const workspace = join(temp, 'workspace')
  mkdirSync(workspace)
  const logFile = join(temp, 'log')
  writeFileSync(logFile, '')
  const key = newKeyPair()
  const names = Array.from({ length: count }, (_, i) => nameOf(i))
  const env = { LOG: logFile, TEMP: temp }
  const each = names.map((name): SshServerOptions => ({ name, authorizedKeys: [key.publicKey], env }))
  const starting = Array.from({ length: Math.ceil(count / perProcess) }, (_, i) =>
    startBeside<{ readonly servers: readonly Omit<SshServer, 'stop'>[] }>('ssh-servers-process.ts', [], {
      servers: each.slice(i * perProcess, (i + 1) * perProcess),
    }),
  )
  const processes = await Promise.all(starting)
  const servers = processes.flatMap(p => p.said.servers)
  const behind = names.slice(0, front)
  const members = behind.map(name => ({ name, port: 9 }))
  const haproxy = await startHaproxy({ backends: { app: { servers: members, defaultServer: 'weight 1' } } })
  const recorder = await startRecorder(haproxy.socket, join(temp, 'orders'))

  const options: ManyServers['options'] = (inputs, more = {}) => ({
    workspace,
    temp,
    inputs: {
      'ssh-key': key.privateKey,
      'ssh-known-hosts': servers.map(s => s.knownHosts).join(''),
      ...inputs,
    },
    ...more,
  })
  const started: RunningAction[] = []
  const start: ManyServers['start'] = (inputs, more) => {
    const running = startAction(options(inputs, more))
    started.push(running)
    return running
  }
  const lockOf = ({ home }: Pick<SshServer, 'home'>) => {
    const states = join(home, '.deploy-action', 'fleet')
    if (!existsSync(states)) return []
    return readdirSync(states).flatMap(state => {
      const lock = join(states, state, 'lock')
      return existsSync(lock) ? readdirSync(lock) : []
    })
  }
  return {
    names,
    behind,
    temp,
    get orders() {
      return recorder.orders()
    },
    log: () => readFileSync(logFile, 'utf8').split('\n').filter(Boolean),
    manifest(keys) {
      const address = `tcp://127.0.0.1:${recorder.port}`
      const balancer = { provider: 'haproxy', backends: 'app', address, roles: 'web' }
      const listed = servers.map(({ name, host, port }) => ({
        name,
        host: `${host}:${port}`,
        roles: behind.includes(name) ? 'web' : 'other',
      }))
      const base = {
        application: 'fleet',
        ssh: { user: 'deploy', connect_timeout: '60s' },
        servers: listed,
        load_balancers: { edge: balancer },
      }
      writeFileSync(join(workspace, 'deploy.yml'), stringify({ ...base, ...keys }, { lineWidth: 0 }))
    },
    options,
    start,
    run: (inputs, more) => start(inputs, more).ended,
    heldLocks: () => servers.filter(s => lockOf(s).some(entry => !entry.startsWith('free.'))).map(s => s.name),
    async out() {
      const states = await haproxy.asSet('app')
      return behind.filter(name => states[name] !== 'ready')
    },
    async stop() {
      // Of a test that failed, some may be at it still.
      for (const running of started) running.kill('SIGKILL')
      await recorder.stop()
      await haproxy.stop()
      await Promise.all(processes.map(p => p.stop()))
      rmSync(temp, { recursive: true, force: true })
    },
  }
}
