/** A pull request from its first push to its end: what lies on the servers, and what GitHub knows of it. */
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ActionResult } from '../support/runner.ts'
import { listed } from '../support/use-site.ts'
import { sha, usePreviewSites } from './preview-site.ts'

const site = usePreviewSites()
const pulls = (state: 'open' | 'closed', headSha = sha('a'), number = 7) => [{ number, state, headSha }]

describe('the preview of a pull request', () => {
  it('is there from its opening to its end, and then nothing of it', { timeout: 600_000 }, async () => {
    const at = await site({ servers: ['p1', 'p2'], github: { pulls: pulls('open') } })
    const opened = await at.pull({ action: 'opened', number: 7, headSha: sha('a') })
    expect(opened.code, opened.log).toBe(0)
    expect(opened.outputs).toMatchObject({ result: 'success', url: 'https://pr-7.preview.example.com' })
    expect(opened.outputs['release']).toMatch(/^aaaaaaaaaaaa-[0-9a-f]{8}$/)
    expect(listed(opened, 'succeeded')).toEqual(['p1', 'p2'])
    expect([at.there(0), at.there(1)]).toEqual([['pr-7'], ['pr-7']])
    // No migration, and nothing of the branch.
    expect(at.said()).toEqual(['up 7 pr-7 refs/pull/7/head'])
    const [first] = at.github.deployments()
    expect(first).toMatchObject({ environment: 'preview/pr-7', ref: sha('a'), transient: true, production: false })
    expect(first).toMatchObject({ state: 'success' })
    expect(first?.statuses.at(-1)?.environmentUrl).toBe('https://pr-7.preview.example.com')
    const [comment] = at.github.comments(7)
    expect(comment?.body.split('\n')[0]).toBe('<!-- deploy-action: shop preview -->')
    expect(comment?.body).toContain('The preview of shop is up')
    expect(comment?.body).toContain('(<https://pr-7.preview.example.com/>)')
    expect(comment?.body).toContain('https://github.com/octo/shop/actions/runs/4711')

    at.commit('two')
    at.github.setPull({ number: 7, state: 'open', headSha: sha('b') })
    const pushed = await at.pull({ action: 'synchronize', number: 7, headSha: sha('b') })
    expect(pushed.code, pushed.log).toBe(0)
    const current = join(
      at.servers[0]?.root ?? '',
      'previews/pr-7',
      readlinkSync(join(at.servers[0]?.root ?? '', 'previews/pr-7/current')),
    )
    expect(readFileSync(join(current, 'index.html'), 'utf8')).toBe('two')
    expect(at.github.comments(7)).toHaveLength(1)
    expect(at.github.comments(7)[0]?.body).toContain('bbbbbbbbbbbb')

    at.github.setPull({ number: 7, state: 'closed', headSha: sha('b') })
    const closed = await at.pull({ action: 'closed', number: 7, headSha: sha('b') })
    expect(closed.code, closed.log).toBe(0)
    expect(closed.outputs['result']).toBe('success')
    expect([at.there(0), at.there(1)]).toEqual([[], []])
    expect(at.heldLocks()).toEqual([])
    expect(at.said(1).at(-1)).toBe(`down 7 ${at.path}/pr-7/current`)
    expect(at.github.deployments().map(d => d.state)).toEqual(['inactive', 'inactive'])
    expect(at.github.comments(7)).toHaveLength(1)
    expect(at.github.comments(7)[0]?.body).toContain('The preview of shop is removed')

    const again = await at.pull({ action: 'closed', number: 7, headSha: sha('b') })
    expect(again.code, again.log).toBe(0)
    expect(again.log).toContain('There is nothing to remove of preview 7')
  })

  it('that never was leaves no comment when its pull request is closed', { timeout: 240_000 }, async () => {
    const at = await site({ github: { pulls: pulls('closed') } })
    const closed = await at.pull({ action: 'closed', number: 7, headSha: sha('a') })
    expect(closed.code, closed.log).toBe(0)
    expect(at.github.comments()).toEqual([])
    expect(at.there()).toEqual([])
  })

  it('has no comment where none is wanted, and no record', { timeout: 240_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open') } })
    const inputs = { comment: 'false', 'github-deployment': 'false' }
    const opened = await at.pull({ action: 'opened', number: 7, headSha: sha('a') }, inputs)
    expect(opened.code, opened.log).toBe(0)
    expect([at.github.comments(), at.github.deployments()]).toEqual([[], []])
  })

  it('that failed says so in its comment: where, at what, without secrets', { timeout: 300_000 }, async () => {
    const at = await site({ servers: ['p1', 'p2'], github: { pulls: pulls('open') } })
    at.manifest({ activate: { run: 'echo "::error::$TOKEN @octocat"; exit 3', servers: ['p2'] }, secrets: ['TOKEN'] })
    const opened = await at.pull(
      { action: 'opened', number: 7, headSha: sha('a') },
      {},
      { env: { TOKEN: 'hunter2-hunter2' } },
    )
    expect(opened.code).toBe(1)
    const body = at.github.comments(7)[0]?.body ?? ''
    expect(body).toContain('The preview of shop: the deployment failed')
    expect(body).toContain('<code>p2</code>, activating')
    expect(body).not.toMatch(/hunter2|[^;]@octocat/)
    expect(at.github.deployments()[0]).toMatchObject({ state: 'failure' })
  })

  it('is deployed though GitHub’s API is away, by the event, with a warning', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open') } })
    const opened = await at.pull(
      { action: 'opened', number: 7, headSha: sha('a') },
      { comment: 'false', 'github-deployment': 'false' },
      { env: { GITHUB_API_URL: 'http://127.0.0.1:9' } },
    )
    expect(opened.code, opened.log).toBe(0)
    expect(opened.log).toContain('GitHub does not say whether pull request 7 is open')
    expect(at.there()).toEqual(['pr-7'])
  })
})

describe('two applications of one repository', () => {
  it('have a comment each, and end their own records alone', { timeout: 600_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open') } })
    const both = { shop: 'pr', blog: 'blog' }
    const run = async (application: keyof typeof both, action: 'opened' | 'closed') => {
      const path = `${at.path}/${both[application]}-\${{ pull_request.number }}`
      at.manifest({ release: { path } }, { application })
      const result = await at.pull({ action, number: 7, headSha: sha('a') })
      expect(result.code, result.log).toBe(0)
    }
    await run('shop', 'opened')
    await run('blog', 'opened')
    at.github.setPull({ number: 7, state: 'closed', headSha: sha('a') })
    const now = () => [at.github.deployments().map(d => d.state), at.github.comments(7).map(c => c.body.split('\n')[1])]
    await run('blog', 'closed')
    expect(now()).toEqual([
      ['success', 'inactive'],
      ['### ✅ The preview of shop is up', '### ⚪ The preview of blog is removed'],
    ])
    expect(at.there()).toEqual(['pr-7'])
    await run('shop', 'closed')
    expect(now()[0]).toEqual(['inactive', 'inactive'])
  })
})

describe('a token that lacks a permission', () => {
  const all = /Add to the job: permissions: deployments: write, pull-requests: write/
  const warningsOf = (result: ActionResult) =>
    [...result.commands, ...(result.post?.commands ?? [])].filter(c => c.name === 'warning').map(c => c.data)

  it.each([
    ['nothing', ['contents: read'], /whether pull request 7 is open/, 1],
    ['only read pull requests', ['pull-requests: read'], /no complete record/, 1],
    // Then there is no comment to be changed.
    ['write no comment', ['deployments: write', 'pull-requests: read'], /the comment .* is not up to date/, 0],
  ] as const)(
    'and may %s keeps no preview from being deployed or removed: one warning names all that is to be added',
    { timeout: 400_000 },
    async (_, permissions, what, atEnd) => {
      const at = await site({ github: { pulls: pulls('open'), permissions } })
      const opened = await at.pull({ action: 'opened', number: 7, headSha: sha('a') })
      expect(opened.code, opened.log).toBe(0)
      expect(warningsOf(opened)).toEqual([expect.stringMatching(all)])
      expect(warningsOf(opened)[0]?.toLowerCase()).toMatch(what)
      expect(at.there()).toEqual(['pr-7'])
      at.github.setPull({ number: 7, state: 'closed', headSha: sha('a') })
      const closed = await at.pull({ action: 'closed', number: 7, headSha: sha('a') })
      expect(closed.code, closed.log).toBe(0)
      expect(warningsOf(closed)).toEqual(Array(atEnd).fill(expect.stringMatching(all)))
      expect(at.there()).toEqual([])
    },
  )

  it('names no permission that the inputs make needless', { timeout: 240_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open'), permissions: [] } })
    const inputs = { comment: 'false', 'github-deployment': 'false' }
    const opened = await at.pull({ action: 'opened', number: 7, headSha: sha('a') }, inputs)
    expect(opened.code, opened.log).toBe(0)
    expect(warningsOf(opened)).toEqual([expect.stringMatching(/permissions: pull-requests: read\)/)])
  })
})

describe('a run that was started again', () => {
  it('deploys nothing when its pull request is closed by now', { timeout: 240_000 }, async () => {
    const at = await site({ github: { pulls: pulls('closed') } })
    const old = await at.pull({ action: 'opened', number: 7, headSha: sha('a') })
    expect(old.code, old.log).toBe(0)
    expect(old.outputs['result']).toBe('skipped')
    expect(old.log).toContain('Pull request 7 is closed by now')
    expect(at.there()).toEqual([])
    expect([at.github.comments(), at.github.deployments()]).toEqual([[], []])
  })

  it('removes nothing when its pull request is open again', { timeout: 300_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open') } })
    await at.pull({ action: 'opened', number: 7, headSha: sha('a') })
    const old = await at.pull({ action: 'closed', number: 7, headSha: sha('a') })
    expect(old.outputs['result']).toBe('skipped')
    expect(old.log).toContain('Pull request 7 is open again')
    expect(at.there()).toEqual(['pr-7'])
    expect(at.said()).toHaveLength(1)
    expect(at.github.deployments().map(d => d.state)).toEqual(['success'])
  })
})

describe('other events', () => {
  it('a person names a pull request: GitHub says what is done', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open', sha('c')) } })
    const deployed = await at.run('workflow_dispatch', { 'pull-request': '7' })
    expect(deployed.code, deployed.log).toBe(0)
    expect(deployed.outputs['release']).toMatch(/^cccccccccccc-/)
    at.github.setPull({ number: 7, state: 'closed', headSha: sha('c') })
    expect((await at.run('workflow_dispatch', { 'pull-request': '7' })).code).toBe(0)
    expect(at.there()).toEqual([])
    const none = await at.run('workflow_dispatch', { 'pull-request': '8' })
    expect(none.code).toBe(1)
    expect(none.log).toContain('GitHub does not say whether pull request 8 is open')
  })

  it('plan on a pull request is that of its preview, and changes nothing', { timeout: 240_000 }, async () => {
    const at = await site({ github: { pulls: pulls('open') } })
    const plan = await at.pull({ action: 'opened', number: 7, headSha: sha('a') }, { command: 'plan' })
    expect(plan.code, plan.log).toBe(0)
    expect(JSON.parse(plan.outputs['plan'] ?? '{}')).toMatchObject({
      environment: 'pr-7',
      release: { path: `${at.path}/pr-7` },
      servers: [{ name: 'p1' }],
    })
    expect(at.there()).toEqual([])
  })
})
