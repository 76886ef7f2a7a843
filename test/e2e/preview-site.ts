/** Servers for previews, a fake GitHub that knows the pull requests, and a workspace as a job of theirs has checked it out. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach } from 'vitest'
import { stringify } from 'yaml'
import { filesBelow } from '../support/files-below.ts'
import { type GitHubOptions, startGitHub } from '../support/github/server.ts'
import { type PullEvent, pullEvent } from '../support/pull-events.ts'
import { type ActionOptions, type ActionResult, type RunningAction, startAction } from '../support/runner.ts'
import { clientKey } from '../support/ssh-keys.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'

type Keys = Readonly<Record<string, unknown>>

export interface PreviewSiteOptions {
  readonly servers?: readonly string[]
  readonly github?: GitHubOptions
}

export interface PreviewServer {
  readonly name: string
  readonly sshd: Sshd
  /** The directory that holds the previews, as seen from outside the server. */
  readonly root: string
}

const git = (workspace: string, ...words: string[]): string => {
  const who = ['-c', 'user.name=Octo Cat', '-c', 'user.email=octo@example.com', '-c', 'commit.gpgsign=false']
  return execFileSync('git', [...who, ...words], { cwd: workspace, encoding: 'utf8' }).trim()
}

async function startPreviewSite({ servers = ['p1'], github = {} }: PreviewSiteOptions) {
  const directory = mkdtempSync(join(tmpdir(), 'preview-site-'))
  const [shared, workspace, temp] = ['srv', 'workspace', 'temp'].map(d => join(directory, d)) as [
    string,
    string,
    string,
  ]
  for (const path of [shared, join(workspace, '.github'), temp]) mkdirSync(path, { recursive: true })
  const started = await Promise.all(
    servers.map(async (name): Promise<PreviewServer> => {
      const root = join(directory, name)
      mkdirSync(root)
      return { name, root, sshd: await startSshd({ name, mounts: { [shared]: { directory: root } } }) }
    }),
  )
  const hub = await startGitHub(github)
  const path = join(shared, 'previews')
  writeFileSync(join(workspace, '.github/known_hosts'), started.map(s => s.sshd.knownHosts).join(''))
  const previews: Keys = {
    servers: started.map(s => ({ name: s.name, host: `127.0.0.1:${s.sshd.port}`, roles: [s.name] })),
    release: { path: `${path}/pr-\${{ pull_request.number }}` },
    url: 'https://pr-${{ pull_request.number }}.preview.example.com',
    activate: `echo "up $DEPLOY_PULL_REQUEST $DEPLOY_ENVIRONMENT $DEPLOY_REF" >>"$HOME/said"`,
    teardown: `echo "down $DEPLOY_PULL_REQUEST $DEPLOY_CURRENT_PATH" >>"$HOME/said"`,
  }
  /** Writes deploy.yml; `over` goes over the block previews. */
  const manifest = (over: Keys = {}, top: Keys = {}) => {
    const all = Object.entries({ ...previews, ...over }).filter(([, value]) => value !== null)
    const keys = {
      application: 'shop',
      ssh: { user: started[0]?.sshd.user, known_hosts: '.github/known_hosts' },
      release: { source: 'app' },
      load_balancers: { edge: { provider: 'haproxy', backends: ['shop'], hosts: ['lb.example.com'] } },
      secrets: ['DATABASE_URL'],
      migrate: 'echo migrate >>"$HOME/said"',
      environments: { production: { servers: ['shop.example.com'], release: { path: '/srv/shop' } } },
      ...top,
      previews: Object.fromEntries(all),
    }
    writeFileSync(join(workspace, 'deploy.yml'), stringify(keys))
  }
  const commit = (text: string): string => {
    mkdirSync(join(workspace, 'app'), { recursive: true })
    writeFileSync(join(workspace, 'app/index.html'), text)
    git(workspace, 'add', '-A')
    git(workspace, 'commit', '-q', '--allow-empty', '-m', 'another')
    return git(workspace, 'rev-parse', 'HEAD')
  }
  git(workspace, 'init', '-q', '-b', 'main')
  manifest()
  commit('one')

  let events = 0
  const start = (
    name: string,
    payload: string,
    inputs: Keys = {},
    more: Partial<ActionOptions> = {},
  ): RunningAction => {
    const file = join(temp, `event-${++events}.json`)
    writeFileSync(file, payload)
    return startAction({
      inputs: {
        command: 'preview',
        'ssh-key': clientKey().privateKey,
        'github-token': hub.token,
        ...(inputs as Record<string, string>),
      },
      workspace,
      temp,
      ...more,
      env: {
        GITHUB_API_URL: hub.url,
        GITHUB_EVENT_NAME: name,
        GITHUB_EVENT_PATH: file,
        GITHUB_REF: 'refs/pull/7/merge',
        GITHUB_SHA: git(workspace, 'rev-parse', 'HEAD'),
        ...more.env,
      },
    })
  }
  return {
    servers: started,
    github: hub,
    workspace,
    /** Where previews are, as their server sees it. */
    path,
    manifest,
    commit,
    start,
    /** A run of a `pull_request` event, to its end. */
    pull: (event: PullEvent, inputs: Keys = {}, more: Partial<ActionOptions> = {}): Promise<ActionResult> =>
      start('pull_request', pullEvent(event), inputs, more).ended,
    run: (name: string, inputs: Keys = {}, payload = '{}', more: Partial<ActionOptions> = {}): Promise<ActionResult> =>
      start(name, payload, inputs, more).ended,
    /** Names beside the previews, hidden ones too. */
    there: (server = 0): readonly string[] =>
      filesBelow(join(started[server]?.root ?? '', 'previews')).filter(name => !name.includes('/')),
    /** What its scripts said, line by line. */
    said: (server = 0): readonly string[] =>
      execFileSync('sh', ['-c', 'cat "$0" 2>/dev/null || :', join(started[server]?.sshd.home ?? '', 'said')], {
        encoding: 'utf8',
      })
        .split('\n')
        .filter(Boolean),
    heldLocks: (): readonly string[] =>
      started.flatMap(s => filesBelow(s.root).filter(file => /\/lock\/held[^/]*$/.test(file))),
    async stop() {
      await Promise.all(started.map(s => s.sshd.stop()))
      rmSync(directory, { recursive: true, force: true })
      await hub.stop()
    },
  }
}

export type PreviewSite = Awaited<ReturnType<typeof startPreviewSite>>

/** Registers the clean-up; what it gives starts a site for one test. */
export function usePreviewSites(): (options?: PreviewSiteOptions) => Promise<PreviewSite> {
  const open: PreviewSite[] = []
  afterEach(async () => {
    for (const site of open.splice(0)) await site.stop()
  })
  return async (options = {}) => {
    const site = await startPreviewSite(options)
    open.push(site)
    return site
  }
}

export const sha = (digit: string): string => digit.repeat(40)
