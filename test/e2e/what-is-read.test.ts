/** What a person reads after a cancel, a failure or a recovery: summaries, annotations, outputs and the history on the servers. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseHistory } from '../../src/release/history.ts'
import type { ServerStatus } from '../../src/report/status.ts'
import type { ActionResult } from '../support/runner.ts'
import { balancerWith, type Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()

const visible = (markdown: string) =>
  markdown.replace(/&#(\d+);/g, (_, n) => String.fromCharCode(Number(n))).replace(/<\/?code>/g, '')
const annotated = (result: ActionResult | null) =>
  (result?.commands ?? []).filter(c => ['error', 'warning', 'notice'].includes(c.name)).map(c => c.name)
const history = (at: Site, name: string) =>
  parseHistory(readFileSync(join(at.server(name).root, '.deploy-action/history'), 'utf8'))
const running = (at: Site, name: string) =>
  waitUntil('the step runs', () => existsSync(join(at.server(name).sshd.home, 'running')), 120_000)

describe('post', () => {
  it('calls nothing deployed after a cancel in prepare', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest({ prepare: 'if [ "$DEPLOY_SERVER" = web2 ]; then touch "$HOME/running"; sleep 1000; fi' })
    at.change({ version: '2' })
    const run = at.start()
    await running(at, 'web2')
    const { post, ...main } = await run.cancel()
    expect(listed(main as ActionResult, 'retry')).toEqual(['web1', 'web2'])
    if (post === null) throw new Error('post was not run')
    expect(outcome(post)).toEqual({ pending: ['web1', 'web2'] })
    expect(visible(post.summary)).toMatch(
      /^## ✅ shop: what the run left undecided was brought to an end\n\n\*\*2 on the old/,
    )
    expect(visible(post.summary)).toMatch(/web2 \| this run was cut off here at: .* \| removed what was not prepared/)
    expect(post.log).not.toMatch(/earlier deployment/)
    expect(annotated(post)).toEqual(['notice', 'notice'])
  })

  it('says of every server where it stands after a cancel in the rollout, and so does the history there', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 3 })
    const before = at.current('web2')
    const hangs = 'touch "$HOME/running"; sleep 1000'
    at.manifest({
      activate: `if [ "$DEPLOY_SERVER" = web2 ] && mkdir "$HOME/once" 2>/dev/null; then ${hangs}; else ./activate; fi`,
    })
    at.change({ version: '2' })
    const run = at.start()
    await running(at, 'web2')
    const { post } = await run.cancel()
    if (post === null) throw new Error('post was not run')
    expect(outcome(post)).toEqual({ succeeded: ['web1'], 'rolled-back': ['web2'], pending: ['web3'] })
    const text = visible(post.summary)
    expect(text).toMatch(/web1 \| this run had decided about it \| nothing \| on the new release/)
    expect(text).toMatch(
      /web2 \| this run was cut off here at: switched to .* \| switched back to .*; verified; put back in rotation at edge \| back on the old release, .*, in rotation/,
    )
    expect(text).toMatch(/web3 \| this run had decided about it \| nothing \| on the old release/)
    expect(annotated(post)).toEqual(['notice'])
    expect(history(at, 'web2').at(-1)).toMatchObject({
      command: 'recover',
      outcome: 'rolled-back',
      rotation: 'in',
      current: before,
      recovers: expect.stringContaining('/actions/runs/4711'),
      actor: 'octocat',
    })
  })

  it('says how the migration ended that it waited for', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    const gate = join(at.temp, 'gate')
    at.manifest({ migrate: { run: `touch "$HOME/running"; until [ -e ${gate} ]; do sleep 0.1; done; exit 4` } })
    at.change({ version: '2' })
    const run = at.start()
    await running(at, 'web1')
    const cancelled = run.cancel()
    await waitUntil('the run is over', () => run.stdout().includes('goes on by itself'), 120_000)
    writeFileSync(gate, '')
    const { post } = await cancelled
    expect(visible(post?.summary ?? '')).toMatch(
      /web1 \| .* \| the migration was waited for, and failed with exit code 4 \|/,
    )
  })
})

describe('status', () => {
  it('tells a deployment that is under way from one that was cut off, and prints the journal', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 1 })
    at.manifest({ ...balancerWith(at, { wait_after_removing_servers: 600, min_in_service: 0 }) })
    at.change({ version: '2' })
    const run = at.start({}, { post: false })
    await waitUntil('web1 is out', async () => (await at.rotation('web1')) === 'drain', 120_000)
    const result = await at.deploy({ command: 'status' })
    const [row] = JSON.parse(result.outputs['status'] ?? '[]') as ServerStatus[]
    expect(row?.undecided).toMatchObject({ at: 'removing', words: 'taking it out of rotation at edge', underWay: true })
    expect(row?.lock).toMatchObject({ by: 'octocat', run: expect.stringContaining('/actions/runs/4711') })
    expect(result.log).toMatch(/under way: taking it out of rotation at edge, since 20\d\d-.*actions\/runs\/4711/)
    expect(result.log).toMatch(/on web1, by its journal:\n {2}20\d\d-.* UTC {2}deployment of .* begins \(serial\)/)
    expect(result.summary).not.toContain('left behind**')
    run.kill('SIGKILL')
    await run.ended
  })
})

describe('outputs of a run that was refused', () => {
  const lists = [
    'succeeded',
    'skipped',
    'failed',
    'rolled-back',
    'pending',
    'unreachable',
    'left-out',
    'kept-out',
    'retry',
  ]
  const empty = Object.fromEntries(lists.map(name => [name, '[]']))

  it('are empty lists, by the event and by the manifest', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1, seed: false })
    const event = await at.deploy({}, { env: { GITHUB_EVENT_NAME: 'pull_request_target', GITHUB_SHA: '0'.repeat(40) } })
    expect([event.code, event.outputs]).toEqual([1, expect.objectContaining({ ...empty, result: 'failure' })])
    expect(event.summary).toMatch(/refused, nothing was done/)
    at.manifest({ nonsense: true })
    const manifest = await at.deploy()
    expect([manifest.code, manifest.outputs]).toEqual([1, expect.objectContaining({ ...empty, result: 'failure' })])
  })
})

describe('a command check that does not end', () => {
  it('is named, with how long it had and what it printed last', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1 })
    const command = 'echo one; echo "connecting to redis"; sleep 60'
    at.manifest({ verify: [{ command, timeout: '1s', request_timeout: '8s' }], load_balancers: null })
    at.change({ version: '2' })
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(visible(result.summary)).toMatch(
      /command: echo one; .*; sleep 60 was not good within 1 s; the last try: did not end within 8 s \(request_timeout\) and was ended; it printed last: connecting to redis/,
    )
    expect(visible(result.summary)).toContain('<pre>one\nconnecting to redis')
  })
})
