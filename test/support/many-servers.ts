/**
 * Many servers, each an SSH server inside this process (demo/ssh-server.ts) with a home of its own, behind one real HAProxy. What is sent
 * to HAProxy's admin socket goes through a recorder, so that it is known who was out at each moment; the steps write a log of theirs.
 */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { newKeyPair, type SshServer, startSshServer } from '../../demo/ssh-server.ts'
import { slots } from '../../src/fleet/slots.ts'
import { startHaproxy } from './haproxy.ts'
import { type ActionOptions, type ActionResult, type RunningAction, startAction } from './runner.ts'

export interface Order {
  readonly server: string
  readonly out: boolean
}

/** The admin socket over TCP, a few calls at a time, as HAProxy takes no more. An order is told when it was carried out. */
async function startRecorder(socket: string, told: (order: Order) => void) {
  const places = slots(4)
  const exchange = (client: Socket, asked: string) =>
    new Promise<void>(resolve => {
      const upstream = connect(socket)
      upstream.on('error', () => client.destroy())
      upstream.once('close', () => resolve())
      upstream.on('data', data => client.write(data))
      upstream.once('end', () => {
        for (const [, name = '', state] of asked.matchAll(/set server app\/(\S+) state (\w+)/g))
          told({ server: name, out: state !== 'ready' })
        client.end()
      })
      upstream.write(asked)
    })
  const server = createServer({ allowHalfOpen: true }, client => {
    client.on('error', () => undefined)
    let asked = ''
    client.on('data', data => {
      asked += data.toString()
      if (asked.endsWith('\n')) void places.run(() => exchange(client, asked))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the recorder has no port')
  return { port: address.port, stop: () => new Promise<void>(resolve => server.close(() => resolve())) }
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
  const servers: SshServer[] = []
  for (const name of names) servers.push(await startSshServer({ name, authorizedKeys: [key.publicKey], env }))
  const behind = names.slice(0, front)
  const members = behind.map(name => ({ name, port: 9 }))
  const haproxy = await startHaproxy({ backends: { app: { servers: members, defaultServer: 'weight 1' } } })
  const orders: Order[] = []
  const recorder = await startRecorder(haproxy.socket, order => orders.push(order))

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
  const lockOf = ({ home }: SshServer) => {
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
    orders,
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
    start: (inputs, more) => startAction(options(inputs, more)),
    run: (inputs, more) => startAction(options(inputs, more)).ended,
    heldLocks: () => servers.filter(s => lockOf(s).some(entry => !entry.startsWith('free.'))).map(s => s.name),
    async out() {
      const states = await haproxy.asSet('app')
      return behind.filter(name => states[name] !== 'ready')
    },
    async stop() {
      await recorder.stop()
      await haproxy.stop()
      await Promise.all(servers.map(s => s.stop()))
      rmSync(temp, { recursive: true, force: true })
    },
  }
}
