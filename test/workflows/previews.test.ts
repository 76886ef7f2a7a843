/** The ready workflows for pull requests, run by act against real SSH servers and a fake GitHub made from its published description. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { runAct } from '../support/act.ts'
import { filesBelow } from '../support/files-below.ts'
import { type FakeGitHub, startGitHub } from '../support/github/server.ts'
import { asShop } from '../support/shop-repository.ts'
import type { Site } from '../support/site.ts'
import { useSites } from '../support/use-site.ts'
import { because, withoutGoTools } from './go-tools.ts'

const site = useSites()
const limit = { timeout: 900_000 }
const open: FakeGitHub[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(github => github.stop()))
})

const number = 12
const repository = { full_name: 'octo/shop', default_branch: 'main', fork: false }

/** web1 is production; preview1 is for previews alone. */
async function shopWithPreviews() {
  const at = await site({ servers: ['web1', 'preview1'], notBehind: ['preview1'], seed: false })
  const [web, preview] = [at.server('web1'), at.server('preview1')]
  // Previews may not log in where production does, and ports do not count.
  writeFileSync(
    join(at.workspace, '.github/known_hosts'),
    at.knownHosts + at.knownHosts.replaceAll('127.0.0.1', 'localhost'),
  )
  const place = (s: typeof web) => ({
    name: s.name,
    host: `${s === web ? '127.0.0.1' : 'localhost'}:${s.sshd.port}`,
    env: { PORT: String(s.appPort) },
  })
  asShop(at, {
    environments: { production: { servers: [{ ...place(web), roles: ['web'] }] } },
    servers: null,
    verify: null,
    previews: {
      servers: [place(preview)],
      release: { path: join(dirname(at.releasePath), 'previews/pr-${{ pull_request.number }}') },
      url: 'https://pr-${{ pull_request.number }}.example.com',
      activate: './activate',
      teardown: 'sh ./stop && echo "$DEPLOY_PULL_REQUEST" >> "$HOME/torn-down"',
    },
  })
  const headSha = at.change({ version: 'of the pull request' })
  const github = await startGitHub({ pulls: [{ number, state: 'open', headSha }] })
  open.push(github)
  const env = { GITHUB_API_URL: github.url }
  const secrets = { GITHUB_TOKEN: github.token }
  const on = (action: string, head: object = {}) =>
    runAct(at, {
      workflow: 'examples/workflows/previews.yml',
      event: 'pull_request',
      payload: {
        action,
        number,
        repository,
        pull_request: {
          number,
          state: action === 'closed' ? 'closed' : 'open',
          head: { sha: headSha, ref: 'a-branch', repo: repository, ...head },
          base: { ref: 'main', repo: repository },
          user: { login: 'octocat' },
        },
      },
      env,
      secrets,
    })
  const cleanUp = () =>
    runAct(at, {
      workflow: 'examples/workflows/previews-clean-up.yml',
      event: 'schedule',
      payload: { repository },
      env,
      secrets,
    })
  const root = join(dirname(preview.root), 'previews')
  const torn = join(preview.sshd.home, 'torn-down')
  return {
    at,
    github,
    headSha,
    on,
    cleanUp,
    previews: () => filesBelow(root),
    torn: () => (existsSync(torn) ? readFileSync(torn, 'utf8') : ''),
  }
}

const untouched = (at: Site) => filesBelow(at.server('web1').root)

describe.skipIf(withoutGoTools)(`previews.yml${because}`, () => {
  it(
    'deploys on opening, tells so in one comment and one record, and removes all of it on closing',
    limit,
    async () => {
      const { at, github, headSha, on, previews, torn } = await shopWithPreviews()
      const opened = await on('opened')
      expect(opened.code, opened.log).toBe(0)
      expect(previews().some(path => /^pr-12\/releases\/[0-9a-f]{12}-[0-9a-f]{8}\/version$/.test(path))).toBe(true)
      expect(github.deployments()).toMatchObject([
        { ref: headSha, environment: 'preview/pr-12', transient: true, state: 'success' },
      ])
      const [comment] = github.comments(number)
      expect(comment?.body).toContain('https://pr-12.example.com')

      const pushed = await on('synchronize')
      expect(pushed.code, pushed.log).toBe(0)
      expect(github.comments(number)).toHaveLength(1)

      github.setPull({ number, state: 'closed', headSha })
      const closed = await on('closed')
      expect(closed.code, closed.log).toBe(0)
      expect([previews(), torn()]).toEqual([[], '12\n'])
      expect(github.deployments().map(d => d.state)).toEqual(['inactive', 'inactive'])
      expect(github.comments(number)).toHaveLength(1)
      expect(github.comments(number)[0]?.body).toMatch(/removed/)
      expect(untouched(at)).toEqual([])
    },
  )

  it('skips a fork’s pull request, connects to nothing, and is no failure', limit, async () => {
    const { github, on, previews } = await shopWithPreviews()
    const run = await on('opened', { repo: { full_name: 'stranger/shop', fork: true } })
    expect(run.code, run.log).toBe(0)
    expect(run.log).toMatch(/fork/)
    expect([previews(), github.deployments(), github.comments(number)]).toEqual([[], [], []])
  })
})

describe.skipIf(withoutGoTools)(`previews-clean-up.yml${because}`, () => {
  it('removes what closing did not, and leaves what is open', limit, async () => {
    const { github, headSha, on, cleanUp, previews, torn } = await shopWithPreviews()
    expect((await on('opened')).code).toBe(0)
    const early = await cleanUp()
    expect(early.code, early.log).toBe(0)
    expect([previews().length > 0, torn()]).toEqual([true, ''])

    github.setPull({ number, state: 'closed', headSha })
    const late = await cleanUp()
    expect(late.code, late.log).toBe(0)
    expect([previews(), torn()]).toEqual([[], '12\n'])
    expect(github.deployments().map(d => d.state)).toEqual(['inactive'])
  })
})
