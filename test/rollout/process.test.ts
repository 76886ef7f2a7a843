/** The whole deployment process under a virtual clock: the rules of semantics.md, Phases and Strategies. */
import { describe, expect, it } from 'vitest'
import { haproxy } from '../plan/manifests.ts'
import {
  edge,
  type Interval,
  most,
  newRelease,
  oldRelease,
  type Ran,
  run,
  servers,
  step,
} from './virtual-deployment.ts'

const of = (all: readonly Interval[], name: string) => all.filter(i => i.step === name)
const good = (ran: Ran) => expect({ result: ran.result, error: ran.error }).toEqual({ result: 'success', error: null })

describe('steps', () => {
  it('two tied together start at the same time, and the next waits for both', async () => {
    const prepare = [step('a', { roles: ['web'] }), step('b', { with_previous: 'true', roles: ['db'] }), step('c')]
    const ran = await run(
      {
        servers: [
          { name: 'web1', roles: ['web'] },
          { name: 'db1', roles: ['db'] },
        ],
        keys: { prepare },
      },
      { step: name => ({ seconds: name === 'b' ? 9 : 2 }) },
    )
    good(ran)
    const [a, b, c] = ['a', 'b', 'c'].map(name => of(ran.intervals, name))
    expect(b?.[0]?.from).toBe(a?.find(i => i.server === 'web1')?.from)
    expect(Math.min(...(c ?? []).map(i => i.from))).toBe(Math.max(...[...(a ?? []), ...(b ?? [])].map(i => i.to)))
  })
  it('tied together on one server run one at a time, in order, unless concurrent_steps', async () => {
    const keys = { prepare: [step('a'), step('b', { with_previous: 'true' })] }
    const one = await run({ servers: servers(1), keys })
    expect(one.intervals.map(i => [i.step, i.from])).toEqual([
      ['a', 0],
      ['b', 1],
    ])
    const both = await run({ servers: servers(1), keys: { ...keys, rollout: { concurrent_steps: 'true' } } })
    expect(both.intervals.map(i => [i.step, i.from])).toEqual([
      ['a', 0],
      ['b', 0],
    ])
  })
  it('of eleven with a limit of ten one waits', async () => {
    const ran = await run({ servers: servers(11), keys: { prepare: step('a') } }, { step: () => ({ seconds: 5 }) })
    good(ran)
    expect(most(ran.intervals)).toBe(10)
    expect(
      of(ran.intervals, 'a')
        .map(i => i.from)
        .toSorted((x, y) => x - y),
    ).toEqual([...Array(10).fill(0), 5])
  })
  it('that depends on one that failed does not start; a failing member lets the others of its group end', async () => {
    const prepare = [step('a'), step('b', { with_previous: 'true', servers: ['web2'] }), step('c')]
    const ran = await run(
      { servers: servers(2), keys: { prepare } },
      { step: (name, server) => ({ seconds: name === 'b' ? 9 : 1, fails: name === 'a' && server === 'web1' }) },
    )
    expect(ran.result).toBe('threw')
    expect(of(ran.intervals, 'b').map(i => i.ok)).toEqual([true])
    expect(of(ran.intervals, 'c')).toEqual([])
    expect(ran.outcomes).toEqual({ web1: 'failed', web2: 'pending' })
  })
  it('whose failure does not count let the rest go on', async () => {
    const ran = await run(
      { servers: servers(2), keys: { prepare: [step('a', { continue_on_error: 'true' }), step('b')] } },
      { step: name => ({ seconds: 1, fails: name === 'a' }) },
    )
    good(ran)
    expect(of(ran.intervals, 'b')).toHaveLength(2)
  })
  it('run once on the first of their servers', async () => {
    const ran = await run({ servers: servers(3), keys: { prepare: step('a', { once: 'true' }), finalize: step('z') } })
    expect(of(ran.intervals, 'a').map(i => i.server)).toEqual(['web1'])
    expect(of(ran.intervals, 'z')).toHaveLength(3)
  })
  it('are tried again, with the waits doubling, and hold no slot meanwhile', async () => {
    let tries = 0
    const ran = await run(
      {
        servers: servers(2),
        keys: { prepare: step('a', { retry: { attempts: '3', delay: '2s' } }), rollout: { max_parallelism: '1' } },
      },
      { step: (_, server) => ({ seconds: 1, fails: server === 'web1' && ++tries < 3 }) },
    )
    good(ran)
    expect(
      of(ran.intervals, 'a')
        .filter(i => i.server === 'web1')
        .map(i => i.from),
    ).toEqual([0, 3, 8])
    expect(of(ran.intervals, 'a').find(i => i.server === 'web2')?.from).toBe(1)
  })
  it('cleanup runs always, finalize only after everything succeeded', async () => {
    const keys = { activate: step('act'), finalize: step('fin'), cleanup: step('clean') }
    const bad = await run({ servers: servers(2), keys }, { step: name => ({ seconds: 1, fails: name === 'act' }) })
    expect([of(bad.intervals, 'fin').length, of(bad.intervals, 'clean').length]).toEqual([0, 2])
  })
})

describe('rolling', () => {
  const keys = { ...edge, activate: step('act') }
  it('fills a free place at once: one slow server delays nobody else', async () => {
    const ran = await run(
      {
        servers: servers(6),
        keys: { ...keys, rollout: { strategy: 'rolling', batch: ['100%'], max_parallelism: '2' } },
      },
      { step: (_, server) => ({ seconds: server === 'web1' ? 100 : 5 }) },
    )
    good(ran)
    const act = of(ran.intervals, 'act')
    expect(Math.max(...act.filter(i => i.server !== 'web1').map(i => i.to))).toBeLessThan(60)
    expect(most(act)).toBe(2)
  })
  it('starts a stage when the one before is done, in the sizes of batch', async () => {
    const ran = await run({
      servers: servers(8),
      keys: { ...keys, rollout: { strategy: 'rolling', batch: ['1', '50%', '100%'] } },
    })
    good(ran)
    const act = of(ran.intervals, 'act')
    const stage = (names: readonly string[]) => act.filter(i => names.includes(i.server))
    const [one, two, three] = [['web1'], ['web2', 'web3', 'web4', 'web5'], ['web6', 'web7', 'web8']].map(stage)
    expect(Math.min(...(two ?? []).map(i => i.from))).toBeGreaterThan(Math.max(...(one ?? []).map(i => i.to)))
    expect(Math.min(...(three ?? []).map(i => i.from))).toBeGreaterThan(Math.max(...(two ?? []).map(i => i.to)))
  })
  it('waits for min_in_service while its own servers are on their way', async () => {
    const ran = await run({
      servers: servers(4),
      keys: { ...keys, rollout: { strategy: 'rolling', batch: ['100%'], min_in_service: '3' } },
    })
    good(ran)
    expect(Math.min(...ran.removals.map(r => r.inService))).toBe(3)
  })
  it('stops when none may leave for servers that failed by themselves, and takes nothing out', async () => {
    const ran = await run(
      { servers: servers(3), keys: { ...keys, rollout: { strategy: 'rolling', min_in_service: '2' } } },
      { sickFrom: { web3: 0 } },
    )
    expect(ran.result).toBe('failure')
    expect(ran.removals).toEqual([])
    expect(ran.releases).toEqual({ web1: oldRelease, web2: oldRelease, web3: oldRelease })
  })
  it('holds between stages, and goes on when all stayed good', async () => {
    const ran = await run({
      servers: servers(4),
      keys: { ...keys, verify: { command: 'ok' }, rollout: { strategy: 'rolling', hold: '60s' } },
    })
    good(ran)
    const act = of(ran.intervals, 'act')
    const [first, second] = [act.slice(0, 2), act.slice(2)]
    expect(Math.min(...second.map(i => i.from)) - Math.max(...first.map(i => i.to))).toBeGreaterThanOrEqual(60)
  })
  it.each(['verify', 'balancer'] as const)('takes out who goes bad in a hold by %s', async by => {
    const ran = await run(
      {
        servers: servers(4),
        keys: {
          ...keys,
          verify: { command: 'ok' },
          rollout: { strategy: 'rolling', batch: ['1', '100%'], hold: '60s' },
        },
      },
      by === 'verify'
        ? { verify: (server, release, now) => !(server === 'web1' && release === newRelease && now > 20) }
        : { sickFrom: { web1: 20 } },
    )
    expect(ran.outcomes).toEqual({ web1: 'failed', web2: 'pending', web3: 'pending', web4: 'pending' })
    expect([ran.leftOut, ran.rotation['web1']]).toEqual([['web1'], 'out'])
  })
  it('a balancer that is silent in a hold stops the deployment and takes nobody out', async () => {
    const ran = await run(
      { servers: servers(4), keys: { ...keys, rollout: { strategy: 'rolling', batch: ['1', '100%'], hold: '60s' } } },
      { balancerGoneFrom: 20 },
    )
    expect(ran.result).toBe('threw')
    expect(ran.outcomes).toEqual({ web1: 'succeeded', web2: 'pending', web3: 'pending', web4: 'pending' })
  })
  it('a hold of its own check asks the servers of the group that are done', async () => {
    let asked = 0
    const ran = await run(
      {
        servers: servers(3),
        keys: {
          ...keys,
          rollout: { strategy: 'rolling', batch: ['1', '100%'], hold: { for: '10s', check: { command: 'rate' } } },
        },
      },
      { verify: () => ++asked < 4 },
    )
    expect(ran.outcomes).toEqual({ web1: 'failed', web2: 'pending', web3: 'pending' })
  })
  it('on_failure: rollback includes who went bad in a hold, out ones first, then the newest', async () => {
    const ran = await run(
      {
        servers: servers(4),
        keys: {
          ...keys,
          verify: { command: 'ok' },
          rollout: { strategy: 'rolling', max_parallelism: '1', hold: '60s', on_failure: 'rollback' },
        },
      },
      { verify: (server, release, now) => !(server === 'web1' && release === newRelease && now > 20) },
    )
    expect(ran.outcomes).toEqual({ web1: 'rolled-back', web2: 'rolled-back', web3: 'pending', web4: 'pending' })
    expect(ran.releases).toEqual({ web1: oldRelease, web2: oldRelease, web3: oldRelease, web4: oldRelease })
    expect(Object.values(ran.rotation)).toEqual(['in', 'in', 'in', 'in'])
    const backTo = of(ran.intervals, 'act').filter(i => i.release === oldRelease)
    expect(backTo.map(i => i.server)).toEqual(['web1', 'web2'])
  })
})

describe('groups', () => {
  it('roll out one after the other: workers in parallel, then web rolling', async () => {
    const all = [...servers(4), ...[1, 2, 3].map(i => ({ name: `job${i}`, roles: ['worker'] }))]
    const ran = await run({
      servers: all,
      keys: {
        ...edge,
        activate: step('act'),
        rollout: {
          groups: [
            { roles: ['worker'], strategy: 'parallel' },
            { roles: ['web'], strategy: 'rolling' },
          ],
        },
      },
    })
    good(ran)
    const act = of(ran.intervals, 'act')
    const [jobs, web] = ['job', 'web'].map(kind => act.filter(i => i.server.startsWith(kind)))
    expect(most(jobs ?? [])).toBe(3)
    expect(Math.min(...(web ?? []).map(i => i.from))).toBeGreaterThanOrEqual(Math.max(...(jobs ?? []).map(i => i.to)))
    expect(ran.removals.map(r => r.server).toSorted()).toEqual(['web1', 'web2', 'web3', 'web4'])
  })
  it('a migration makes all of them serial', async () => {
    const ran = await run(
      {
        servers: servers(3),
        keys: { ...edge, activate: step('act'), rollout: { groups: [{ roles: ['web'], strategy: 'rolling' }] } },
      },
      { wish: {}, facts: {} },
    )
    good(ran)
  })
})

describe('max_failures', () => {
  it('reached: nobody else starts, who is under way and not switched goes back as pending, who is switched finishes', async () => {
    const ran = await run(
      {
        servers: servers(4),
        keys: {
          ...edge,
          load_balancers: { edge: haproxy(['web'], { wait_after_removing_servers: '30' }) },
          activate: step('act'),
          rollout: { strategy: 'rolling', batch: ['100%'], max_parallelism: '3' },
        },
      },
      {
        // web1 is out first and fails; the others wait after their removal by then.
        step: (_, server) => ({ seconds: 1, fails: server === 'web1' }),
        facts: {},
      },
    )
    expect(ran.outcomes['web4']).toBe('pending')
    expect(ran.outcomes['web1']).toBe('failed')
    expect(Object.values(ran.releases).filter(r => r === newRelease).length).toBeGreaterThanOrEqual(1)
    for (const name of ['web2', 'web3'])
      expect([
        ['pending', 'in'],
        ['succeeded', 'in'],
      ]).toContainEqual([ran.outcomes[name], ran.rotation[name]])
  })
})
