/** The repository that the demo deploys from: a git work tree with the application and a manifest, changed by a commit each time. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { SshServer } from './ssh-server.ts'

export interface Workspace {
  readonly path: string
  /** Changes files below site/, commits, and returns the commit. */
  commit(message: string, changes: Readonly<Record<string, string>>): string
}

const site = join(dirname(fileURLToPath(import.meta.url)), 'site')

/** Port of the application as each server sees it. */
export const appPort = 8080

/** The manifest: as a person would write it, but for the addresses and directories, which are new at each start. */
export function manifestOf(servers: readonly SshServer[], root: string): string {
  const order = (verb: string) => `"$NODE" "$BALANCERCTL" ${verb} "$DEPLOY_SERVER"`
  return stringify(
    {
      application: 'demo',
      ssh: { user: 'deploy' },
      servers: servers.map(({ name, host, port }) => ({ name, host: `${host}:${port}`, roles: ['web'] })),
      release: { path: `${root}/site`, source: 'site' },
      env: { NODE: process.execPath, BALANCERCTL: null, BALANCER_CONTROL: null },
      migrate: { run: 'bin/migrate', paths: ['site/db/migrate/'] },
      // Out of rotation a plain restart will do; in rotation no request may be refused.
      activate: 'if [ "$DEPLOY_STRATEGY" = parallel ]; then bin/reload; else bin/restart; fi',
      verify: {
        http: { port: appPort, path: '/up', expect: { header: { 'x-release': '${{ release.id }}' } } },
        interval: '200ms',
      },
      rollout: { strategy: 'parallel' },
      load_balancers: {
        edge: {
          provider: 'command',
          on: 'runner',
          remove: order('remove'),
          drained: order('drained'),
          add: order('add'),
          serving: order('serving'),
        },
      },
    },
    { lineWidth: 0 },
  )
}

/** Makes the work tree in an empty directory. */
export function makeWorkspace(path: string, manifest: string): Workspace {
  const git = (...args: string[]) =>
    execFileSync('git', ['-c', 'user.name=Demo', '-c', 'user.email=demo@example.com', ...args], {
      cwd: path,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }).trim()
  mkdirSync(path, { recursive: true })
  cpSync(site, join(path, 'site'), { recursive: true })
  writeFileSync(join(path, 'deploy.yml'), manifest)
  git('init', '--quiet')
  return {
    path,
    commit: (message, changes) => {
      for (const [name, text] of Object.entries(changes)) writeFileSync(join(path, 'site', name), text)
      git('add', '--all')
      git('commit', '--quiet', '--no-gpg-sign', '--message', message)
      return git('rev-parse', 'HEAD')
    },
  }
}

/** The page of the application with another headline. */
export const pageSaying = (headline: string): string =>
  readFileSync(join(site, 'page.html'), 'utf8').replace('</title>', ` ${headline}</title>`)
