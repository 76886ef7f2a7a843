/** A pull request changes its mind while its preview is being removed, two removals meet, and a removal that was cut off is told of. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { waitUntil } from '../support/wait-until.ts'
import { type PreviewSite, sha, usePreviewSites } from './preview-site.ts'

const site = usePreviewSites()
const pull = (number: number, state: 'open' | 'closed' = 'open') => ({ number, state, headSha: sha('a') })

const deploy = async (at: PreviewSite, ...numbers: readonly number[]) => {
  for (const number of numbers) {
    const result = await at.pull({ action: 'opened', number, headSha: sha('a') })
    expect(result.code, result.log).toBe(0)
  }
}
const askPull = 'GET /repos/{owner}/{repo}/pulls/{pull_number}'
const closed = (number: number) => ({ action: 'closed', number, headSha: sha('a') }) as const
const waits = (name: string) =>
  `echo "${name} $DEPLOY_PULL_REQUEST" >>"$HOME/said"; while [ ! -e "$HOME/go" ]; do sleep 0.2; done`
const letGo = (at: PreviewSite) => writeFileSync(join(at.servers[0]?.sshd.home ?? '', 'go'), '')

describe('a pull request that is opened again while the clean-up is at another', () => {
  it('keeps its preview, which runs', { timeout: 600_000 }, async () => {
    const at = await site({ github: { pulls: [pull(3), pull(5)] } })
    at.manifest({ teardown: waits('down') })
    await deploy(at, 3, 5)
    for (const number of [3, 5]) at.github.setPull(pull(number, 'closed'))
    const running = at.start('schedule', '{}')
    await waitUntil('it removes preview 3', () => at.said().includes('down 3'))
    at.github.setPull(pull(5, 'open'))
    letGo(at)
    const cleaned = await running.ended
    expect(cleaned.code, cleaned.log).toBe(0)
    expect(at.there()).toEqual(['pr-5'])
    expect(at.said()).not.toContain('down 5')
    expect(cleaned.log).toContain('Preview 5 stays: its pull request was opened again')
    expect(at.heldLocks()).toEqual([])
    expect(at.github.comments(5)[0]?.body).toContain('is up')
    expect(at.github.deployments().map(d => [d.environment, d.state])).toEqual([
      ['preview/pr-3', 'inactive'],
      ['preview/pr-5', 'success'],
    ])
  })

  it('keeps it also where GitHub does not say any more how it stands', { timeout: 600_000 }, async () => {
    const at = await site({ github: { pulls: [pull(3)] } })
    await deploy(at, 3)
    at.github.setPull(pull(3, 'closed'))
    at.github.answer(askPull, { fault: 'slow', ms: 1 })
    at.github.answer(askPull, { fault: 'status', status: 404 })
    const cleaned = await at.run('schedule')
    expect(cleaned.code, cleaned.log).toBe(0)
    expect(cleaned.commands.filter(c => c.name === 'warning').map(c => c.data)).toEqual([
      expect.stringContaining('Preview 3 stays: GitHub does not say any more whether its pull request is open'),
    ])
    expect(at.there()).toEqual(['pr-3'])
  })
})

describe('a pull request that is closed while the clean-up removes its preview', () => {
  it('is waited for, and gone already is gone', { timeout: 600_000 }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    at.manifest({ teardown: waits('down') })
    await deploy(at, 7)
    at.github.setPull(pull(7, 'closed'))
    const cleaning = at.start('schedule', '{}')
    await waitUntil('the clean-up is at it', () => at.said().includes('down 7'))
    const closing = at.start('workflow_dispatch', '{}', { 'pull-request': '7' })
    await waitUntil('the other waits', () => closing.stdout().includes('waiting for the lock'))
    letGo(at)
    for (const { code, log } of await Promise.all([cleaning.ended, closing.ended])) expect(code, log).toBe(0)
    expect(at.there()).toEqual([])
    expect(at.said().filter(line => line === 'down 7')).toHaveLength(1)
  })
})

describe('a removal that was cut off before it told GitHub', () => {
  it('is told of by the clean-up that ends it, once', { timeout: 400_000 }, async () => {
    const at = await site({
      github: {
        pulls: [pull(7, 'closed'), pull(8)],
        deployments: ['preview/pr-7', 'preview/pr-8'].map(environment => ({ environment, state: 'success' })),
        comments: [7, 8].map(issue => ({
          issue,
          body: '<!-- deploy-action: shop preview -->\n### up',
          by: { login: 'github-actions[bot]', type: 'Bot' as const },
        })),
      },
    })
    for (const number of [7, 8]) {
      const state = join(at.servers[0]?.root ?? '', `previews/.pr-${number}.gone.x/.deploy-action`)
      mkdirSync(state, { recursive: true })
      writeFileSync(join(state, 'preview'), `{"application":"shop","number":${number},"repository":"octo/shop"}\n`)
    }
    expect((await at.run('schedule')).code).toBe(0)
    expect(at.there()).toEqual([])
    const now = () => at.github.deployments().map(d => d.statuses.map(s => s.state))
    expect(now()).toEqual([['success', 'inactive'], ['success']])
    expect(at.github.comments(7)[0]?.body).toContain('is removed')
    expect(at.github.comments(8)[0]?.body).toContain('### up')
    expect((await at.run('schedule')).code).toBe(0)
    expect(now()).toEqual([['success', 'inactive'], ['success']])
  })
})

describe('a removal that erased everything, and did not come to tell GitHub', () => {
  const itself = ['workflow_dispatch', { 'pull-request': '7' }] as const
  const cleanUp = ['schedule', {}] as const
  it.each([
    ['the clean-up that comes', itself, cleanUp],
    ['the same, run again', itself, itself],
    ['the next clean-up, where it was one', cleanUp, cleanUp],
  ])(
    'because it was killed, is told of by %s, once',
    { timeout: 240_000 },
    async (_, [event, inputs], [next, more]) => {
      const at = await site({ servers: ['p1', 'p2'], github: { pulls: [pull(7)] } })
      await deploy(at, 7)
      at.github.setPull(pull(7, 'closed'))
      // Asked what is to be done, asked under the lock; asked before it is told.
      at.github.answer(askPull, { fault: 'slow', ms: 1 }, 2)
      at.github.answer(askPull, { fault: 'slow', ms: 600_000 })
      const running = at.start(event, '{}', inputs)
      await waitUntil('it is removed', () => running.stdout().includes('Preview 7 is removed'))
      running.kill('SIGKILL')
      await running.ended
      expect(at.github.deployments().map(d => d.state)).toEqual(['success'])
      for (const server of [0, 1])
        expect(at.there(server)).toEqual([expect.stringMatching(/^\.pr-7\.gone\.[0-9a-f-]+$/)])
      const second = await at.run(next, more)
      expect(second.code, second.log).toBe(0)
      expect(second.commands.filter(c => c.name === 'warning')).toEqual([])
      const now = () => at.github.deployments().map(d => d.statuses.map(s => s.state).slice(-2))
      expect(now()).toEqual([['success', 'inactive']])
      expect(at.github.comments(7)[0]?.body).toContain('is removed')
      expect([at.there(0), at.there(1)]).toEqual([[], []])
      expect((await at.run('schedule')).code).toBe(0)
      expect(now()).toEqual([['success', 'inactive']])
    },
  )

  it('because GitHub refused it, is told of by the next', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    await deploy(at, 7)
    at.github.setPull(pull(7, 'closed'))
    at.github.answer('GET /repos/{owner}/{repo}/deployments', { fault: 'status', status: 422 })
    const first = await at.pull(closed(7))
    expect(first.code, first.log).toBe(0)
    expect(at.github.deployments().map(d => d.state)).toEqual(['success'])
    expect((await at.run('schedule')).code).toBe(0)
    expect(at.github.deployments().map(d => d.state)).toEqual(['inactive'])
    expect(at.there()).toEqual([])
  })

  it('stays to be told while a server does not answer', { timeout: 400_000 }, async () => {
    const at = await site({
      servers: ['p1', 'p2'],
      github: { pulls: [pull(7, 'closed')], deployments: [{ environment: 'preview/pr-7', state: 'success' }] },
    })
    const state = join(at.servers[0]?.root ?? '', 'previews/.pr-7.gone.x/.deploy-action')
    mkdirSync(state, { recursive: true })
    writeFileSync(join(state, 'preview'), '{"application":"shop","number":7,"repository":"octo/shop"}\n')
    await at.servers[1]?.sshd.stop()
    expect((await at.run('schedule')).code).toBe(1)
    expect(at.github.deployments().map(d => d.state)).toEqual(['success'])
    expect(at.there()).toEqual(['.pr-7.gone.x'])
  })
})

describe('the clean-up', () => {
  it('leaves another application’s rests, and succeeds', { timeout: 240_000 }, async () => {
    const at = await site()
    const rest = join(at.servers[0]?.root ?? '', 'previews/.pr-9.gone.x')
    mkdirSync(join(rest, '.deploy-action'), { recursive: true })
    writeFileSync(join(rest, '.deploy-action/preview'), '{"application":"blog","number":9,"repository":"octo/blog"}\n')
    const cleaned = await at.run('schedule')
    expect(cleaned.code, cleaned.log).toBe(0)
    expect(at.there()).toEqual(['.pr-9.gone.x'])
  })

  it('does not say that there is none where a server did not answer', { timeout: 400_000 }, async () => {
    const at = await site({ servers: ['p1', 'p2'] })
    await at.servers[1]?.sshd.stop()
    const cleaned = await at.run('schedule')
    expect(cleaned.code).toBe(1)
    expect(cleaned.log).not.toContain('There is no preview.')
    expect(cleaned.log).toContain('There is no preview on the servers that answered.')
  })
})

describe('another repository’s preview of the same application and number', () => {
  it('is neither removed nor deployed over', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    await deploy(at, 7)
    const state = join(at.servers[0]?.root ?? '', 'previews/pr-7/.deploy-action/preview')
    writeFileSync(state, '{"application":"shop","number":7,"repository":"octo/other"}\n')
    const pushed = await at.pull({ action: 'synchronize', number: 7, headSha: sha('a') })
    at.github.setPull(pull(7, 'closed'))
    const removed = await at.pull(closed(7))
    for (const { code, log } of [pushed, removed]) {
      expect(code).toBe(1)
      expect(log).toContain("says that it is another repository's")
    }
    expect(at.there()).toEqual(['pr-7'])
    expect(at.said()).toHaveLength(1)
  })
})

describe('a removal that fails', () => {
  it('is told of in the comment, with the server, by closing and by the clean-up; the record stays', {
    timeout: 600_000,
  }, async () => {
    const at = await site({ servers: ['p1', 'p2'], github: { pulls: [pull(7)] } })
    await deploy(at, 7)
    at.github.setPull(pull(7, 'closed'))
    at.manifest({ teardown: { run: 'exit 5', servers: ['p2'] } })
    const says = () => {
      const [comment, ...more] = at.github.comments(7)
      expect(more).toEqual([])
      expect(comment?.body).toContain('### ❌ The preview of shop is not removed')
      expect(comment?.body).toContain(
        'It failed on <code>p2</code>. What is left of it is there as it was. The clean-up tries again.',
      )
      expect(at.github.deployments().map(d => d.state)).toEqual(['success'])
    }
    expect((await at.pull(closed(7))).code).toBe(1)
    says()
    expect((await at.run('schedule')).code).toBe(1)
    says()
    at.manifest({ teardown: null, secrets: ['TOKEN'] })
    const without = await at.pull(closed(7))
    expect(without.code).toBe(1)
    expect(at.github.comments(7)[0]?.body).toContain('is not removed')
    at.manifest()
    expect((await at.run('schedule')).code).toBe(0)
    expect(at.github.comments(7)[0]?.body).toContain('The preview of shop is removed')
    expect(at.github.deployments().map(d => d.state)).toEqual(['inactive'])
  })
})

describe('a preview that is not where the manifest says now', () => {
  it.each([
    ['by its record', {}],
    ['by its comment', { 'github-deployment': 'false' }],
  ])('and was up %s is not told to be removed', { timeout: 400_000 }, async (_, inputs) => {
    const at = await site({ github: { pulls: [pull(7)] } })
    expect((await at.pull({ action: 'opened', number: 7, headSha: sha('a') }, inputs)).code).toBe(0)
    at.manifest({ release: { path: `${at.path}/site-\${{ pull_request.number }}` } })
    at.github.setPull(pull(7, 'closed'))
    const result = await at.pull(closed(7), inputs)
    expect(result.code, result.log).toBe(0)
    expect(result.commands.filter(c => c.name === 'warning').map(c => c.data)).toEqual([
      expect.stringContaining(
        `nothing was found at ${at.path}/site-7 on p1. If previews.release.path, previews.servers or`,
      ),
    ])
    expect(at.there()).toEqual(['pr-7'])
    const states = () => at.github.deployments().map(d => d.state)
    expect(states()).toEqual('github-deployment' in inputs ? [] : ['success'])
    expect(at.github.comments(7)[0]?.body).toContain('### ⚪ Nothing was found of the preview of shop')
    expect(at.github.comments(7)[0]?.body).not.toContain('is removed')
    at.manifest()
    expect((await at.pull(closed(7), inputs)).code).toBe(0)
    expect(at.there()).toEqual([])
    expect(states().every(state => state === 'inactive')).toBe(true)
    const again = await at.pull(closed(7), inputs)
    expect(again.commands.filter(c => c.name === 'warning')).toEqual([])
    expect(at.github.comments(7)[0]?.body).toContain('The preview of shop is removed')
  })

  it('and was never up is no reason for a warning', { timeout: 240_000 }, async () => {
    const at = await site({
      github: { pulls: [pull(7, 'closed')], deployments: [{ environment: 'preview/pr-7', state: 'failure' }] },
    })
    const result = await at.pull(closed(7))
    expect(result.code, result.log).toBe(0)
    expect(result.commands.filter(c => c.name === 'warning')).toEqual([])
    expect(at.github.deployments().map(d => d.state)).toEqual(['inactive'])
  })
})

describe('files of another commit than the head', () => {
  it('are told of, and plan names the release as the preview does', { timeout: 400_000 }, async () => {
    const at = await site({ github: { pulls: [pull(7)] } })
    const inputs = { 'pull-request': '7' }
    const planned = await at.run('workflow_dispatch', { ...inputs, command: 'plan' })
    const deployed = await at.run('workflow_dispatch', inputs)
    for (const { code, log, commands } of [planned, deployed]) {
      expect(code, log).toBe(0)
      const warnings = commands.filter(c => c.name === 'warning').map(c => c.data)
      expect(warnings).toEqual([
        expect.stringMatching(/^The checkout is [0-9a-f]{12}; what is deployed is called aaaaaaaaaaaa, /),
      ])
    }
    expect(JSON.parse(planned.outputs['plan'] ?? '{}')).toMatchObject({
      release: { id: deployed.outputs['release'], commit: sha('a') },
    })
  })
})
