import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Plan } from '../../src/plan/plan.ts'
import { startLoads } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import type { RunningAction } from '../support/runner.ts'
import type { Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()

/** The activation on a server waits while its file is there. */
const holding = (at: Site) => ({
  activate: `while [ -e ${join(at.temp, 'hold')}-$DEPLOY_SERVER ]; do sleep 0.05; done; ./activate`,
})
const hold = (at: Site, server: string) => writeFileSync(join(at.temp, `hold-${server}`), '')
const letGo = (at: Site, server: string) => rmSync(join(at.temp, `hold-${server}`))
const says = (running: RunningAction, what: string) =>
  waitUntil(`it says "${what}"`, () => running.stdout().includes(what), 90_000)
const inFlight = async (at: Site, server: string) =>
  ((await (await fetch(`http://127.0.0.1:${at.server(server).appPort}/stats`)).json()) as { inFlight: number }).inFlight
const maint = (at: Site, server: string) => at.haproxy.command(`set server app/${server} state maint`)
/** Connections to HAProxy's socket so far, this one among them; nothing else asks or is served in these tests. */
const connections = async (at: Site) =>
  Number(/^CumConns: (\d+)$/m.exec(await at.haproxy.command('show info'))?.[1] ?? Number.NaN)
/** Resolves when the deployment has asked HAProxy so often from now on. */
const asks = async (at: Site, times: number) => {
  const before = await connections(at)
  let own = 0
  await waitUntil('the deployment asks HAProxy', async () => (await connections(at)) - before - ++own >= times)
}

describe('a server that an operator takes out while a deployment runs', () => {
  it('before its turn, is deployed and stays out', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 3 })
    at.manifest(holding(at))
    at.change({ version: '2' })
    hold(at, 'web1')
    const running = at.start()
    await says(running, '→ activating')
    await maint(at, 'web3')
    const rotation = watchRotation(at)
    letGo(at, 'web1')
    const result = await running.ended
    const { changes } = await rotation.stop()
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2', 'web3'] })
    expect([listed(result, 'kept-out'), listed(result, 'left-out')]).toEqual([['web3'], []])
    expect(new Set(changes.map(c => c.states['web3']))).toEqual(new Set(['maint']))
    expect(at.current('web3')).toBe(result.outputs['release'])
  })

  it('while it waits for others to come back (min_in_service), is not put back either', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 3 })
    at.manifest({
      ...holding(at),
      rollout: { strategy: 'rolling', batch: '100%', max_parallelism: 2, min_in_service: 2 },
    })
    at.change({ version: '2' })
    for (const name of ['web1', 'web2']) hold(at, name)
    const running = at.start({ servers: 'web1,web2' })
    await says(running, '→ activating')
    // Of two that want to leave at the same moment either may be the first.
    const first = running.stdout().includes('[web1] → activating') ? 'web1' : 'web2'
    const other = first === 'web1' ? 'web2' : 'web1'
    // Looked at already: it is in rotation, and may not leave while the first is out. Nothing tells of that, so it is given its time.
    await new Promise(resolve => setTimeout(resolve, 2_000))
    await maint(at, other)
    const rotation = watchRotation(at)
    for (const name of ['web1', 'web2']) letGo(at, name)
    const result = await running.ended
    const { changes } = await rotation.stop()
    expect(outcome(result)['succeeded'], result.log).toContain(other)
    expect(listed(result, 'kept-out')).toEqual([other])
    expect(new Set(changes.map(c => c.states[other]))).toEqual(new Set(['maint']))
  })

  it('while it is out, is not put back, and users notice nothing', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 3 })
    at.manifest(holding(at))
    at.change({ version: '2' })
    hold(at, 'web2')
    const load = await startLoads(at.url)
    const running = at.start()
    await waitUntil('it is activated', () => /^::group::web2$[\s\S]*→ activating/m.test(running.stdout()), 90_000)
    await maint(at, 'web2')
    const rotation = watchRotation(at)
    letGo(at, 'web2')
    const result = await running.ended
    const { changes } = await rotation.stop()
    const { short, slow } = await load.stop()
    expect(result.code, result.log).toBe(0)
    expect([short.failed, slow.failed]).toEqual([0, 0])
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2', 'web3'] })
    expect([listed(result, 'kept-out'), listed(result, 'left-out')]).toEqual([['web2'], []])
    expect(new Set(changes.map(c => c.states['web2']))).toEqual(new Set(['maint']))
    expect(result.log).toContain('web2 stays out of edge: somebody took it out meanwhile')
    // It is the operator's now: the next deployment leaves it out, too.
    const next = await at.deploy({ servers: 'web2' })
    expect([next.code, listed(next, 'kept-out'), await at.rotation('web2')]).toEqual([0, ['web2'], 'maint'])
  })

  it('while it comes back, stays out and is no failure', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest(holding(at))
    at.change({ version: '2' })
    hold(at, 'web1')
    const running = at.start({ servers: 'web1' })
    await says(running, '→ activating')
    // The balancer does not find it well again before it is told to.
    await at.haproxy.command('disable health app/web1')
    await at.haproxy.command('set server app/web1 health down')
    letGo(at, 'web1')
    await says(running, 'balancer edge: restored')
    await asks(at, 3)
    await at.haproxy.command('set server app/web1 state drain')
    const result = await running.ended
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1'] })
    expect([listed(result, 'kept-out'), listed(result, 'left-out')]).toEqual([['web1'], []])
    expect(await at.rotation('web1')).toBe('drain')
    expect(at.current('web1')).toBe(result.outputs['release'])
  })

  it('while it drains, stays out on its old release when the removal fails', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2, backend: { options: ['timeout server 10m'] } })
    at.manifest({
      load_balancers: { edge: { ...at.edge, drain_timeout: 6, on_drain_timeout: 'fail', add_timeout: 5 } },
    })
    at.change({ version: '2' })
    const before = at.current('web1')
    // On each server two, in turn; they are answered when the deployment has ended.
    const until = join(at.temp, 'answered')
    const stuck = Promise.all(
      Array.from({ length: 4 }, () =>
        fetch(`${at.url}held?until=${until}`).then(r => [r.status, r.headers.get('x-server')]),
      ),
    )
    await waitUntil('all are in flight', async () => (await inFlight(at, 'web1')) + (await inFlight(at, 'web2')) === 4)
    const running = at.start({ servers: 'web1' })
    await waitUntil('it drains', async () => (await at.haproxy.asSet('app'))['web1'] === 'drain', 90_000)
    await maint(at, 'web1')
    const result = await running.ended
    writeFileSync(until, '')
    expect(result.code).toBe(1)
    expect([at.current('web1'), await at.rotation('web1')]).toEqual([before, 'maint'])
    expect(listed(result, 'kept-out')).toEqual(['web1'])
    const answers = await stuck
    expect(answers.map(([status]) => status)).toEqual([200, 200, 200, 200])
    expect(answers.map(([, server]) => server)).toContain('web1')
  })
})

describe('plan', () => {
  const planOf = (text: string | undefined) => JSON.parse(text ?? '') as Plan

  it('shows who is out by an operator, who was left out by us, and who is done already; and asks nothing of the servers', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 4 })
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    expect((await at.deploy()).code).toBe(1)
    await maint(at, 'web4')
    const result = await at.deploy({ command: 'plan' })
    expect(result.code, result.log).toBe(0)
    const { servers } = planOf(result.outputs['plan'])
    expect(Object.fromEntries(servers.map(s => [s.name, [s.done, s.leftOut, s.keptOut]]))).toEqual({
      web1: [true, [], []],
      web2: [false, ['edge'], []],
      web3: [false, [], []],
      web4: [false, [], ['edge']],
    })
    const log = result.log.replace(/\s+/g, ' ')
    for (const text of [
      'kept out of edge: it is out, and not by us',
      'left out of edge by an earlier deployment',
      'skipped if it verifies',
    ])
      expect(log).toContain(text)
    expect(result.summary).toContain('kept out of edge')

    at.change({ version: '3' })
    const other = planOf((await at.deploy({ command: 'plan' })).outputs['plan'])
    expect(other.servers.some(s => s.done)).toBe(false)
  })
})
