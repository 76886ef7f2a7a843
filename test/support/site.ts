/**
 * A whole place to deploy to: servers web1, web2, … with an SSH server and an application port each, a HAProxy in front on a host of its
 * own, and a workspace (a git repository) with the manifest and the application's source, as a job has checked it out.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { stringify } from 'yaml'
import { type AppFiles, writeApp } from './app.ts'
import { filesBelow, footprint } from './files-below.ts'
import { freePort } from './free-port.ts'
import { type Backend, type Haproxy, startHaproxy } from './haproxy.ts'
import { type ActionOptions, type ActionResult, type RunningAction, startAction, startPost } from './runner.ts'
import { clientKey } from './ssh-keys.ts'
import { type Sshd, type SshdOptions, startSshd } from './sshd.ts'
import { waitUntil } from './wait-until.ts'

export interface SiteOptions {
  /** How many servers, called web1, web2, …; or their names. Default 4. */
  readonly servers?: number | readonly string[]
  /** Servers that are no members of the balancer. */
  readonly notBehind?: readonly string[]
  /** HAProxy's name for the servers' backend; default app. */
  readonly backendName?: string
  /** Roles of a server besides its own name and `web`. */
  readonly roles?: Readonly<Record<string, readonly string[]>>
  /** Milliseconds the application takes to come up; default 200. */
  readonly startMs?: number
  /** Further settings of one server's sshd. */
  readonly sshd?: (name: string) => SshdOptions
  /** Servers whose release.path lies on a file system of only so many bytes. */
  readonly disk?: Readonly<Record<string, number>>
  /** What the balancer's admin socket allows. */
  readonly level?: 'admin' | 'operator'
  /** Of that backend. */
  readonly backend?: Partial<Backend>
  readonly app?: AppFiles
}

export interface SiteServer {
  readonly name: string
  readonly sshd: Sshd
  readonly appPort: number
  /** release.path of this server, as seen from outside it. */
  readonly root: string
}

type ManifestKeys = Readonly<Record<string, unknown>>

export interface Site {
  readonly servers: readonly SiteServer[]
  readonly balancerHost: Sshd
  readonly haproxy: Haproxy
  /** Where the users come in. */
  readonly url: string
  readonly workspace: string
  readonly temp: string
  /** release.path, the same on every server: each sees a directory of its own there. */
  readonly releasePath: string
  readonly knownHosts: string
  server(name: string): SiteServer
  /** What HAProxy calls the servers' backend. */
  readonly backendName: string
  /** The balancer's settings in the usual manifest. */
  readonly edge: ManifestKeys
  /** Writes deploy.yml: the usual one with these keys in place of its own; null takes a key out. */
  manifest(keys?: ManifestKeys): void
  /** Another version of the application, committed. Gives the commit. */
  change(app?: AppFiles): string
  /** Commits whatever stands in the workspace. */
  commit(message: string): string
  start(inputs?: Readonly<Record<string, string>>, options?: Partial<ActionOptions>): RunningAction
  deploy(inputs?: Readonly<Record<string, string>>, options?: Partial<ActionOptions>): Promise<ActionResult>
  /** The post step of a main that was started with these inputs and `post: false`, and has ended. */
  startPost(
    main: ActionResult,
    inputs?: Readonly<Record<string, string>>,
    options?: Partial<ActionOptions>,
  ): RunningAction
  /** A first deployment in parallel; resolves when the balancer has every server up. */
  seed(): Promise<ActionResult>
  /** The release `current` points to; null without one. */
  current(name: string): string | null
  releases(name: string): readonly string[]
  /** Where HAProxy has it: `serving`, as an operator or we set it (`drain`, `maint`), or `down` by its health check. */
  rotation(name: string): Promise<string>
  /** Names of lock entries that are held, on any server. */
  heldLocks(): readonly string[]
  /** Every file on a server with size, mode and time: equal means untouched. */
  footprint(name: string): readonly string[]
  stop(): Promise<void>
}

const git = (workspace: string, ...words: string[]): string => {
  const who = ['-c', 'user.name=Octo Cat', '-c', 'user.email=octo@example.com', '-c', 'commit.gpgsign=false']
  return execFileSync('git', [...who, ...words], { cwd: workspace, encoding: 'utf8' }).trim()
}

async function startServer(directory: string, name: string, shared: string, options: SiteOptions): Promise<SiteServer> {
  const own = join(directory, name)
  mkdirSync(join(own, 'shop'), { recursive: true })
  const extra = options.sshd?.(name) ?? {}
  const size = options.disk?.[name]
  const sshd = await startSshd({
    ...extra,
    name,
    env: { NODE: process.execPath, START_MS: String(options.startMs ?? 200), ...extra.env },
    mounts: { [shared]: { directory: own }, ...(size === undefined ? {} : { [join(shared, 'shop')]: { size } }) },
  })
  const root = size === undefined ? join(own, 'shop') : join(`/proc/${sshd.pid}/root`, shared, 'shop')
  return { name, sshd, appPort: await freePort(), root }
}

export async function startSite(options: SiteOptions = {}): Promise<Site> {
  const directory = mkdtempSync(join(tmpdir(), 'site-'))
  const [shared, workspace, temp] = [join(directory, 'srv'), join(directory, 'workspace'), join(directory, 'temp')]
  for (const path of [shared, join(workspace, '.github'), temp]) mkdirSync(path, { recursive: true })
  const wanted = options.servers ?? 4
  const names = typeof wanted === 'number' ? Array.from({ length: wanted }, (_, i) => `web${i + 1}`) : wanted
  const backend = options.backendName ?? 'app'
  const servers = await Promise.all(names.map(name => startServer(directory, name, shared, options)))
  const balancerHost = await startSshd({ name: 'lb1' })
  const isMember = (name: string) => !options.notBehind?.includes(name)
  const members = servers.filter(s => isMember(s.name)).map(s => ({ name: s.name, port: s.appPort }))
  const haproxy = await startHaproxy({
    backends: { [backend]: { ...options.backend, servers: members } },
    level: options.level ?? 'admin',
  })
  const sshds = [...servers.map(s => s.sshd), balancerHost]
  const knownHosts = sshds.map(s => s.knownHosts).join('')
  const releasePath = join(shared, 'shop')

  const edge: ManifestKeys = {
    provider: 'haproxy',
    roles: ['web'],
    backends: [backend],
    hosts: [`127.0.0.1:${balancerHost.port}`],
    socket: haproxy.socket,
  }
  const usual: ManifestKeys = {
    application: 'shop',
    ssh: { user: balancerHost.user, known_hosts: '.github/known_hosts' },
    servers: servers.map(s => ({
      name: s.name,
      host: `127.0.0.1:${s.sshd.port}`,
      roles: ['web', s.name, ...(options.roles?.[s.name] ?? [])],
      env: { PORT: String(s.appPort) },
    })),
    release: { path: releasePath, source: 'app', keep: 3 },
    activate: './activate',
    // one machine stands for all: each server's application has a port of its own, so each has a check of its own
    verify: servers.map(s => ({
      roles: [s.name],
      http: { port: s.appPort, path: '/' },
      interval: '100ms',
      timeout: '20s',
    })),
    load_balancers: { edge },
  }
  const manifest = (keys: ManifestKeys = {}) => {
    const merged = Object.entries({ ...usual, ...keys }).filter(([, value]) => value !== null)
    writeFileSync(join(workspace, 'deploy.yml'), stringify(Object.fromEntries(merged)))
  }
  const commit = (message: string) => {
    git(workspace, 'add', '-A')
    git(workspace, 'commit', '-q', '--allow-empty', '-m', message)
    return git(workspace, 'rev-parse', 'HEAD')
  }
  const change = (app: AppFiles = {}) => {
    rmSync(join(workspace, 'app'), { recursive: true, force: true })
    writeApp(join(workspace, 'app'), app)
    return commit('another release')
  }
  git(workspace, 'init', '-q', '-b', 'main')
  writeFileSync(join(workspace, '.github/known_hosts'), knownHosts)
  manifest()
  change(options.app)

  const server = (name: string): SiteServer => {
    const found = servers.find(s => s.name === name)
    if (!found) throw new Error(`no server is called ${name}`)
    return found
  }
  const asked = (inputs: Readonly<Record<string, string>> = {}, more: Partial<ActionOptions> = {}): ActionOptions => ({
    inputs: { 'ssh-key': clientKey().privateKey, ...inputs },
    workspace,
    temp,
    ...more,
    env: { GITHUB_SHA: git(workspace, 'rev-parse', 'HEAD'), ...more.env },
  })
  const start: Site['start'] = (inputs, more) => startAction(asked(inputs, more))
  const rotation = async (name: string) => {
    const set = (await haproxy.asSet(backend))[name]
    if (set !== 'ready') return set ?? 'absent'
    // `UP 1/2`: one check was not answered in time, and it serves.
    return (await haproxy.status(backend, name)).startsWith('UP') ? 'serving' : 'down'
  }
  const releases = (name: string) => filesBelow(join(server(name).root, 'releases')).filter(path => !path.includes('/'))
  return {
    servers,
    balancerHost,
    haproxy,
    url: `http://127.0.0.1:${haproxy.port}/`,
    workspace,
    temp,
    releasePath,
    knownHosts,
    server,
    backendName: backend,
    edge,
    manifest,
    change,
    commit,
    start,
    deploy: (inputs, more) => start(inputs, more).ended,
    startPost: (main, inputs, more) => startPost(asked(inputs, more), main),
    seed: async () => {
      const result = await start({ strategy: 'parallel' }).ended
      if (result.code !== 0) throw new Error(`the first deployment failed:\n${result.log}`)
      await waitUntil('every server is up', async () =>
        (await Promise.all(names.filter(isMember).map(rotation))).every(s => s === 'serving'),
      )
      return result
    },
    current: name => {
      const link = join(server(name).root, 'current')
      return existsSync(link) ? basename(readlinkSync(link)) : null
    },
    releases,
    rotation,
    heldLocks: () =>
      servers.flatMap(s => filesBelow(join(s.root, '.deploy-action', 'lock')).filter(path => /^held[^/]*$/.test(path))),
    footprint: name => [...footprint(server(name).root), ...footprint(server(name).sshd.home)],
    stop: async () => {
      await haproxy.stop()
      await Promise.all(sshds.map(s => s.stop()))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** The manifest's block `load_balancers` with further settings of the site's only one. */
export const balancerWith = (site: Site, settings: ManifestKeys): ManifestKeys => ({
  load_balancers: { edge: { ...site.edge, ...settings } },
})
