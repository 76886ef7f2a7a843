/**
 * The worked examples of the documents that this project grew from, each by its document: "Parallel deployments", "Choosing a deployment
 * strategy", "Coping with load balancer configuration lag" and "Run Steps in Parallel". In virtual time.
 */
import { describe, expect, it } from 'vitest'
import { believedWaits, noStoredWaits, waitsToStore } from '../src/plan/sticky-waits.ts'
import { haproxy, manifest } from './plan/manifests.ts'
import { edge, most, newRelease, type Outside, run, servers, step } from './rollout/virtual-deployment.ts'

const restart = { activate: step('restart') }
const at = (keys: Record<string, unknown>, outside: Outside = {}, n = 4, written: readonly string[] = []) =>
  run({ servers: servers(n), keys: { ...edge, ...restart, ...keys }, written }, outside)
const waits = (more: Record<string, string>) => ({ load_balancers: { edge: haproxy(['web'], more) } })

describe('“Choosing a deployment strategy”', () => {
  it('serial: each server is removed from the balancer, deployed to, and added again, one at a time', async () => {
    const ran = await at({ rollout: { strategy: 'serial' } })
    expect(ran.result).toBe('success')
    expect(ran.removals.map(r => [r.server, r.inService])).toEqual(servers(4).map(s => [s.name, 3]))
    expect(most(ran.intervals)).toBe(1)
    expect(new Set(Object.values(ran.rotation))).toEqual(new Set(['in']))
  })
  it('parallel: all servers at the same time, and none is removed from the balancer', async () => {
    const ran = await at({ rollout: { strategy: 'parallel' } })
    expect([ran.result, ran.removals, most(ran.intervals)]).toEqual(['success', [], 4])
  })
  it('migrations: “it is advisable to deploy in serial”; here it is made sure', async () => {
    const ran = await at(
      { rollout: { strategy: 'parallel' }, migrate: ': step migrate' },
      { facts: { migration: { done: true, underWay: true, changed: null } } },
    )
    expect(ran.plan?.strategy).toMatchObject({ value: 'serial', origin: 'gate' })
    expect(ran.removals).toHaveLength(4)
  })
})

describe('“Configure parallel deployment”', () => {
  const one = { wish: { strategy: 'parallel' } } as const
  it('a one-off deployment in parallel of an application that is set to serial; the next one is serial again', async () => {
    const keys = { rollout: { strategy: 'serial' } }
    expect((await at(keys, one)).removals).toEqual([])
    expect((await at(keys)).removals).toHaveLength(4)
  })
  it('a one-off deployment in serial of an application that is set to parallel', async () => {
    const keys = { rollout: { strategy: 'parallel' } }
    const ran = await at(keys, { wish: { strategy: 'serial' } })
    expect([ran.removals.length, ran.plan?.strategy.origin]).toEqual([4, 'input'])
    expect((await at(keys)).removals).toEqual([])
  })
  it('the setting, once set, holds for all deployments that come', async () => {
    const keys = { rollout: { strategy: 'parallel' } }
    for (let i = 0; i < 2; i++)
      expect((await at(keys)).plan?.strategy).toMatchObject({ value: 'parallel', origin: 'manifest' })
  })
  it.each([
    ['puma', 'parallel'],
    ['unicorn', 'parallel'],
    ['passenger-enterprise', 'parallel'],
    ['passenger', 'serial'],
    ['thin', 'serial'],
    ['other', 'serial'],
  ] as const)('by default an application on %s is deployed in %s', async (web_server, strategy) =>
    expect((await at({ web_server })).plan?.strategy).toMatchObject({ value: strategy, origin: 'default' }),
  )
})

describe('“Coping with load balancer configuration lag”', () => {
  it('(wait time per server) × (number of servers) = (extra deployment time), planned and measured', async () => {
    const without = await at({ rollout: { strategy: 'serial' } }, {}, 5)
    const ran = await at(
      {
        rollout: { strategy: 'serial' },
        ...waits({ wait_after_removing_servers: '10', wait_after_adding_servers: '5' }),
      },
      {},
      5,
    )
    expect(ran.plan?.addedSeconds).toBe(15 * 5)
    expect(ran.seconds - without.seconds).toBeCloseTo(15 * 5, 3)
  })
  it('under parallel no wait applies', async () => {
    const ran = await at({ rollout: { strategy: 'parallel' }, ...waits({ wait_after_removing_servers: '10' }) })
    expect([ran.plan?.addedSeconds, ran.seconds]).toEqual([0, 1])
  })

  const serial = { rollout: { strategy: 'serial' } }
  /** What a deployment of this manifest leaves on the servers. */
  const left = (more: Record<string, string>, before = noStoredWaits) => {
    const m = manifest({ servers: servers(4), keys: { ...serial, ...waits(more) } })
    const stored = waitsToStore(m, before.waits, { deployment: 'd'.repeat(32), run: null, at: 1_800_000_000 })
    return believedWaits(Object.fromEntries(servers(4).map(s => [s.name, stored])))
  }
  it('“subsequent deployments will use the value set”: deleting it from the manifest does not remove it', async () => {
    const stored = left({ wait_after_removing_servers: '10' })
    const ran = await at({ ...serial, ...waits({}) }, { facts: { storedWaits: stored } })
    expect(ran.plan?.addedSeconds).toBe(40)
    expect(ran.plan?.warnings.join('\n')).toMatch(/wait_after_removing_servers/)
  })
  it('“To remove this delay, set the value to 0”', async () => {
    const stored = left({ wait_after_removing_servers: '10' })
    const zero = await at(
      { ...serial, ...waits({ wait_after_removing_servers: '0' }) },
      { facts: { storedWaits: stored } },
    )
    expect(zero.plan?.addedSeconds).toBe(0)
    const after = left({ wait_after_removing_servers: '0' }, stored)
    const next = await at({ ...serial, ...waits({}) }, { facts: { storedWaits: after } })
    expect(next.plan?.addedSeconds).toBe(0)
  })
})

describe('“Run Steps in Parallel”', () => {
  const two = {
    servers: [
      { name: 'web1', roles: ['web'] },
      { name: 'db1', roles: ['db'] },
    ],
  }
  it('sequential by default: the second step starts when the first has ended', async () => {
    const ran = await run({
      ...two,
      keys: { prepare: [step('one', { roles: ['web'] }), step('two', { roles: ['db'] })] },
    })
    expect(ran.intervals.map(i => [i.step, i.from])).toEqual([
      ['one', 0],
      ['two', 1],
    ])
  })
  it('two steps tied together run at the same time', async () => {
    const tied = step('two', { roles: ['db'], with_previous: 'true' })
    const ran = await run({ ...two, keys: { prepare: [step('one', { roles: ['web'] }), tied] } })
    expect(ran.intervals.map(i => [i.step, i.from])).toEqual([
      ['one', 0],
      ['two', 0],
    ])
  })
  it('eleven steps with the maximum of ten: ten run at any one time', async () => {
    const eleven = Array.from({ length: 11 }, (_, i) =>
      step(`s${i}`, { servers: [`web${i + 1}`], ...(i > 0 ? { with_previous: 'true' } : {}) }),
    )
    const ran = await run({ servers: servers(11), keys: { prepare: eleven } }, { step: () => ({ seconds: 5 }) })
    expect([ran.result, most(ran.intervals), ran.intervals.length]).toEqual(['success', 10, 11])
  })
  it('the maximum can be changed, and is also that of the servers a step runs on', async () => {
    const keys = { prepare: step('one'), rollout: { max_parallelism: '3' } }
    expect(most((await run({ servers: servers(11), keys })).intervals)).toBe(3)
  })
  it('only one step at the same time on a single server, unless that is enabled', async () => {
    const keys = { prepare: [step('one'), step('two', { with_previous: 'true' })] }
    expect(most((await run({ servers: servers(1), keys })).intervals)).toBe(1)
    expect(
      most((await run({ servers: servers(1), keys: { ...keys, rollout: { concurrent_steps: 'true' } } })).intervals),
    ).toBe(2)
  })
  it('a step that depends on one that failed does not run', async () => {
    const ran = await run(
      { servers: servers(2), keys: { prepare: [step('one'), step('two')] } },
      { step: name => ({ seconds: 1, fails: name === 'one' }) },
    )
    expect(ran.intervals.filter(i => i.step === 'two')).toEqual([])
    expect(Object.values(ran.releases)).not.toContain(newRelease)
  })
})
