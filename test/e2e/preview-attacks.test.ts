/** What a stranger, a wrong manifest or a wrong input might bring about: each is refused, and nothing was touched. */
import { existsSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { everythingBelow, footprint } from '../support/files-below.ts'
import { commentEvent, type PullEvent, pullEvent } from '../support/pull-events.ts'
import type { ActionOptions, ActionResult } from '../support/runner.ts'
import { type PreviewSite, sha, usePreviewSites } from './preview-site.ts'

const site = usePreviewSites()
const hostile = '$(touch pwned)`touch pwned`;touch pwned;../../..'
const opened: PullEvent = { action: 'opened', number: 7, headSha: sha('a') }
const pulls = (state: 'open' | 'closed') => [{ number: 7, state, headSha: sha('a') }]

const looked = (at: PreviewSite) => at.servers.flatMap(s => footprint(s.root))
/** Nothing was connected to. */
const untouched = (at: PreviewSite) => at.servers.every(s => !s.sshd.log().includes('Connection from'))

describe('a pull request from a fork', () => {
  it.each([
    ['of another repository', 'someone/shop'],
    ['that is gone', null],
  ])('%s: skipped with a notice, and no server is connected to', { timeout: 240_000 }, async (_, from) => {
    const at = await site({ github: { pulls: [{ number: 7, state: 'open', headSha: sha('a'), from }] } })
    // Not even its manifest counts.
    writeFileSync(join(at.workspace, 'deploy.yml'), 'a: [')
    for (const event of ['pull_request', 'pull_request_target']) {
      const result = await at.run(event, {}, pullEvent({ ...opened, from }))
      expect(result.code, result.log).toBe(0)
      expect(result.outputs['result']).toBe('skipped')
      expect(result.log).toContain('Nothing is done for a fork’s pull request'.replace('’', "'"))
    }
    expect(untouched(at)).toBe(true)
    expect([at.github.deployments(), at.github.comments()]).toEqual([[], []])
  })

  it('is none by what a comment on it, or a person, says', { timeout: 240_000 }, async () => {
    const at = await site({
      github: { pulls: [{ number: 7, state: 'open', headSha: sha('a'), from: 'someone/shop' }] },
    })
    for (const result of [
      await at.run('issue_comment', {}, commentEvent(7, `/deploy ${hostile}`)),
      await at.run('workflow_dispatch', { 'pull-request': '7' }),
    ]) {
      expect(result.outputs['result'], result.log).toBe('skipped')
      expect(result.log).toContain('comes from a fork')
    }
    expect(untouched(at)).toBe(true)
  })
})

describe('what anyone may choose who opens a pull request', () => {
  it('reaches no path, no script, no variable and no comment', { timeout: 300_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open') } })
    at.manifest({
      activate: 'env >"$HOME/environment"',
      prepare: 'env >>"$HOME/environment"; ls -la >>"$HOME/environment"',
    })
    const event = {
      ...opened,
      branch: hostile,
      title: `${hostile} ::set-output name=a::b <b>@octocat</b>`,
      login: hostile,
    }
    const result = await at.pull(event, {}, { env: { GITHUB_HEAD_REF: hostile, GITHUB_ACTOR: hostile } })
    expect(result.code, result.log).toBe(0)
    const all = [
      everythingBelow(at.servers[0]?.root ?? ''),
      everythingBelow(at.servers[0]?.sshd.home ?? ''),
      result.log,
      result.summary,
      at.github.comments(7)[0]?.body,
      JSON.stringify(at.github.deployments()),
    ].join('\n')
    expect(all).toContain('DEPLOY_REF=refs/pull/7/head')
    expect(all).not.toContain('touch pwned')
    expect(at.there()).toEqual(['pr-7'])
    expect(untouched(at)).toBe(false)
  })
})

describe('a number that is none', () => {
  it.each(['../..', '1; rm -rf', '0', '007', '1e3', '-1', '99999999999999999999', '7 8', '٧'])(
    '%s is refused',
    {
      timeout: 240_000,
    },
    async number => {
      const at = await site({ github: { pulls: pulls('closed') } })
      const result = await at.run('workflow_dispatch', { 'pull-request': number })
      expect(result.code).toBe(1)
      expect(result.log).toContain('is not the number of a pull request')
      expect(untouched(at)).toBe(true)
    },
  )

  it('in an event is none, either', { timeout: 240_000 }, async () => {
    const at = await site()
    for (const number of ['../..', 0, -1, 1.5, 1e20, 9_007_199_254_740_991, null]) {
      const payload = JSON.stringify({ action: 'closed', number, pull_request: { number, state: 'closed' } })
      const result = await at.run('pull_request', {}, payload)
      expect(result.code, result.log).toBe(1)
    }
    expect(untouched(at)).toBe(true)
  })
})

interface Case {
  readonly name: string
  readonly manifest: (at: PreviewSite) => void
  readonly says: RegExp
  readonly env?: Readonly<Record<string, string>>
}

const cases: readonly Case[] = [
  {
    name: 'has the number in the middle',
    manifest: at => at.manifest({ release: { path: `${at.path}/pr-\${{ pull_request.number }}/site` } }),
    says: /a path that ends in \$\{\{ pull_request\.number \}\} is expected/,
  },
  {
    name: 'has the number twice',
    manifest: at =>
      at.manifest({ release: { path: `${at.path}/\${{ pull_request.number }}/\${{ pull_request.number }}` } }),
    says: /the number of the pull request stands in it more than once/,
  },
  {
    name: 'has the number twice by a variable',
    manifest: at =>
      at.manifest({
        env: { PR: '${{ pull_request.number }}' },
        release: { path: `${at.path}/\${{ env.PR }}/pr-\${{ pull_request.number }}` },
      }),
    says: /the number of the pull request stands in it more than once/,
  },
  {
    name: 'ends in more digits than the number',
    manifest: at => at.manifest({ release: { path: `${at.path}/1\${{ pull_request.number }}` } }),
    says: /does not end in the number \d by itself/,
  },
  {
    name: 'is not deep enough',
    manifest: at => at.manifest({ release: { path: '/srv/pr-${{ pull_request.number }}' } }),
    says: /less than 3 levels deep/,
  },
  {
    name: 'is led upwards by a variable',
    manifest: at =>
      at.manifest({
        env: { ROOT: '/srv/previews/../..' },
        release: { path: '${{ env.ROOT }}/pr-${{ pull_request.number }}' },
      }),
    says: /an absolute path/,
  },
  {
    name: 'is led upwards by a variable of the step',
    manifest: at =>
      at.manifest({ env: { ROOT: null }, release: { path: '/srv/${{ env.ROOT }}/pr-${{ pull_request.number }}' } }),
    env: { ROOT: 'a/../../home' },
    says: /an absolute path without control characters, "\/\/", "\." and "\.\." is expected/,
  },
  {
    name: 'lies in an environment’s path',
    manifest: at =>
      at.manifest({}, { environments: { production: { servers: ['a.example.com'], release: { path: at.path } } } }),
    says: /is, holds or lies in .*, the path of production/,
  },
  {
    name: 'holds an environment’s path',
    manifest: at =>
      at.manifest(
        {},
        { environments: { production: { servers: ['a.example.com'], release: { path: `${at.path}/pr-7/site` } } } },
      ),
    says: /is, holds or lies in .*, the path of production/,
  },
  {
    name: 'may lie in an environment’s path on the same host, which is not known here',
    manifest: at =>
      at.manifest(
        {},
        {
          env: { SITE: null },
          environments: { production: { servers: ['somebody@127.0.0.1'], release: { path: '/srv/${{ env.SITE }}' } } },
        },
      ),
    says: /the path of production .* is not known here/,
  },
  {
    name: 'is reached as an environment is',
    manifest: at =>
      at.manifest({}, { environments: { production: { servers: ['127.0.0.1'], release: { path: '/srv/shop' } } } }),
    says: /and so does production/,
  },
]

describe('a preview’s path', () => {
  it.each(cases)(
    'that $name: nothing is deployed and nothing removed',
    { timeout: 240_000 },
    async ({ manifest, says, env }) => {
      const at = await site({ github: { pulls: pulls('closed') } })
      manifest(at)
      const run = (options: Partial<ActionOptions>): Promise<ActionResult> =>
        at.run('workflow_dispatch', { 'pull-request': '7' }, '{}', options)
      const removing = await run({ env: env ?? {} })
      at.github.setPull({ number: 7, state: 'open', headSha: sha('a') })
      const deploying = await run({ env: env ?? {} })
      for (const result of [removing, deploying]) {
        expect(result.code).toBe(1)
        expect(result.log).toMatch(says)
      }
      expect(untouched(at)).toBe(true)
    },
  )

  it('with a link in it, or at it: nothing is removed, and deployed neither', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open') } })
    expect((await at.pull(opened)).code).toBe(0)
    const root = at.servers[0]?.root ?? ''
    for (const [from, to] of [
      ['previews/pr-7', 'elsewhere'],
      ['previews', 'others'],
    ] as const) {
      renameSync(join(root, from), join(root, to))
      symlinkSync(join(at.path, '..', to), join(root, from))
      const before = looked(at)
      at.github.setPull({ number: 7, state: 'closed', headSha: sha('a') })
      const removing = await at.pull({ ...opened, action: 'closed' })
      expect(removing.code).toBe(1)
      expect(removing.log).toMatch(/it is a link|a part of it is a link/)
      at.github.setPull({ number: 7, state: 'open', headSha: sha('a') })
      expect((await at.pull(opened)).code).toBe(1)
      expect(looked(at)).toEqual(before)
    }
    expect(at.said()).toHaveLength(1)
  })

  it('with somebody else’s files: neither deployed over nor removed', { timeout: 240_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open') } })
    const own = join(at.servers[0]?.root ?? '', 'previews/pr-7')
    mkdirSync(own, { recursive: true })
    writeFileSync(join(own, 'precious'), 'x')
    const before = looked(at)
    expect((await at.pull(opened)).log).toContain('it has no marker of this application and pull request')
    at.github.setPull({ number: 7, state: 'closed', headSha: sha('a') })
    const removing = await at.pull({ ...opened, action: 'closed' })
    expect(removing.code).toBe(1)
    expect(existsSync(join(own, 'precious'))).toBe(true)
    expect(looked(at)).toEqual(before)
    expect(at.said()).toEqual([])
  })
})

describe('an input that a preview cannot have', () => {
  it.each([
    ['environment', 'production', /takes no input environment/],
    ['migrate', 'true', /a preview has no migration/],
    ['servers', 'p1', /a preview goes to all its servers/],
    ['shard', '1/2', /input shard is for deploy/],
    ['release', 'x', /input release is for the command rollback/],
    ['pull-request', '8', /the event is about pull request 7, and the input pull-request is 8/],
  ])('%s: %s is refused', { timeout: 240_000 }, async (name, value, says) => {
    const at = await site({ github: { pulls: pulls('open') } })
    const result = await at.pull(opened, { [name]: value })
    expect(result.code).toBe(1)
    expect(result.log).toMatch(says)
    expect(untouched(at)).toBe(true)
  })
})
