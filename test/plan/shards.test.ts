import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { providerNames } from '../../src/manifest/balancer-schema.ts'
import { refusedInFanOut } from '../../src/plan/fan-out.ts'
import type { Wish } from '../../src/plan/make-plan.ts'
import { divided, shardServers, shardsOf } from '../../src/plan/shards.ts'
import { haproxy, manifest } from './manifests.ts'
import { everyShard, planned } from './plans.ts'

interface Case {
  readonly servers?: number
  readonly keys?: Readonly<Record<string, unknown>>
  readonly rollout?: Readonly<Record<string, unknown>>
  readonly wish?: Partial<Wish>
  readonly asked?: number
  readonly away?: readonly string[]
}
/** Ten servers behind one HAProxy, and limits that allow eight shards. */
function sharding({ servers = 10, keys = {}, rollout = {}, wish: more = {}, asked, away = [] }: Case = {}) {
  const m = manifest({
    servers: Array.from({ length: servers }, (_, i) => ({ name: `web${i + 1}`, roles: ['web'] })),
    keys: {
      load_balancers: { edge: haproxy() },
      ...keys,
      rollout: { strategy: 'rolling', batch: ['100%'], max_failures: '100%', min_in_service: '2', ...rollout },
    },
  })
  return shardsOf(m, { strategy: null, mostShards: asked ?? null }, planned(m, more), {
    edge: away,
  })
}

describe('the servers of shards', () => {
  it('are every server of the selection once, in its order, and as many in each as the rule of limits says', () =>
    fc.assert(
      fc.property(fc.nat(600), fc.integer({ min: 1, max: 256 }), (n, of) => {
        const selected = Array.from({ length: n }, (_, i) => i)
        const parts = everyShard(of).map(shard => shardServers(selected, shard))
        expect(parts.flat().toSorted((a, b) => a - b)).toEqual(selected)
        for (const [i, part] of parts.entries()) {
          expect(part).toEqual(part.toSorted((a, b) => a - b))
          expect(part.length).toBe(divided(n, { index: i + 1, of }))
        }
      }),
    ))
  it('of 1/1 are all', () => expect(shardServers(['a', 'b'], { index: 1, of: 1 })).toEqual(['a', 'b']))
  it('are every n-th', () => expect(shardServers(['a', 'b', 'c', 'd', 'e'], { index: 2, of: 3 })).toEqual(['b', 'e']))
})

describe('a divided limit', () => {
  it('is the limit over all shards, with parts that differ by one at most, the first ones the larger', () =>
    fc.assert(
      fc.property(fc.nat(10_000), fc.integer({ min: 1, max: 256 }), (limit, of) => {
        const parts = everyShard(of).map(shard => divided(limit, shard))
        expect(parts.reduce((a, b) => a + b, 0)).toBe(limit)
        expect((parts[0] ?? 0) - (parts.at(-1) ?? 0)).toBeLessThanOrEqual(1)
        expect(parts).toEqual(parts.toSorted((a, b) => b - a))
        if (limit >= of) expect(Math.min(...parts)).toBeGreaterThan(0)
      }),
    ))
})

describe('how many shards there may be', () => {
  it('is the smallest limit, and says which', () => {
    expect(sharding()).toMatchObject({ count: 8, text: expect.stringContaining('2 have to stay in service') })
    expect(sharding().matrix.shard).toEqual(['1/8', '2/8', '3/8', '4/8', '5/8', '6/8', '7/8', '8/8'])
    expect(sharding({ asked: 3 })).toMatchObject({ count: 3, matrix: { shard: ['1/3', '2/3', '3/3'] } })
    expect(sharding({ asked: 30 }).count).toBe(8)
    expect(sharding({ rollout: { max_parallelism: '4' } })).toMatchObject({
      count: 4,
      text: expect.stringMatching(/max_parallelism is 4.*max-parallelism/),
    })
    expect(sharding({ wish: { maxParallelism: 2 } }).count).toBe(2)
    expect(sharding({ rollout: { max_failures: '5' } }).count).toBe(5)
    expect(sharding({ servers: 600, rollout: { max_parallelism: '1000', min_in_service: '0' } }).count).toBe(256)
  })
  it('is less where servers outside of the selection are not in service, and says which', () => {
    const made = sharding({ wish: { servers: '!web9,!web10' }, away: ['web9'] })
    expect(made).toMatchObject({
      count: 7,
      text: expect.stringMatching(/2 have to stay in service.*web9.*not in service.*so 7 may be out/),
    })
    expect(made.text).toContain('bring web9 back')
    expect(sharding({ wish: { servers: '!web9,!web10' }, away: ['web9', 'web10'] }).count).toBe(6)
    expect(sharding({ rollout: { min_in_service: '9' }, wish: { servers: '!web9' }, away: ['web9'] }).count).toBe(1)
  })
  it('is said where a shard was asked for or several are possible', () => {
    expect([sharding().told, sharding({ asked: 1 }).told, sharding({ asked: 4 }).told]).toEqual([true, true, true])
    expect(sharding({ wish: { strategy: 'serial' } }).told).toBe(false)
    expect(sharding({ wish: { strategy: 'serial' }, asked: 8 }).told).toBe(true)
    expect(sharding({ wish: { servers: '[]' } }).told).toBe(false)
  })
  it('is one by the default of max_failures, and says what to set', () =>
    expect(sharding({ rollout: { max_failures: '1' } })).toMatchObject({
      count: 1,
      text: expect.stringMatching(/one shard: max_failures is 1.*set rollout.max_failures/),
    }))
  it('takes percentages of the whole selection', () =>
    expect(sharding({ servers: 40, rollout: { max_failures: '10%' } })).toMatchObject({ count: 4 }))
  it('is one under serial, by choice or by default', () => {
    expect(sharding({ wish: { strategy: 'serial' } })).toMatchObject({
      count: 1,
      text: expect.stringContaining('the strategy is serial'),
    })
    expect(sharding({ keys: { web_server: 'passenger' }, rollout: { strategy: undefined } }).count).toBe(1)
  })
  it('is one under the migrations gate, and says how to go on', () => {
    const migrate = { run: 'rake db:migrate' }
    expect(sharding({ keys: { migrate } })).toMatchObject({
      count: 1,
      text: expect.stringMatching(/migrations are enabled.*job before \(servers: web1\).*migrate: 'false'/),
    })
    expect(sharding({ keys: { migrate }, wish: { migrate: false } }).count).toBe(8)
  })
  it('is one where groups go one after the other', () =>
    expect(
      sharding({ rollout: { groups: [{ roles: 'web' }, { roles: 'nobody' }] } }).count,
      'a group without servers is none',
    ).toBe(8))
  it('is one where several groups have servers, and says how they are fanned out one by one', () => {
    expect(sharding({ rollout: { groups: [{ roles: 'web' }] } }).count).toBe(8)
    const m = manifest({
      servers: [...['a', 'b', 'c'].map(name => ({ name, roles: ['web'] })), { name: 'd', roles: ['job'] }],
      keys: { rollout: { strategy: 'parallel', max_failures: '4', groups: [{ roles: 'job' }, { roles: 'web' }] } },
    })
    const plan = planned(m)
    expect(shardsOf(m, { strategy: null, mostShards: null }, plan)).toMatchObject({
      count: 1,
      text: expect.stringContaining('servers: role:NAME'),
    })
  })
  it('is never more than a stage that goes first has servers', () => {
    expect(sharding({ rollout: { batch: ['1', '100%'] } })).toMatchObject({
      count: 1,
      text: expect.stringContaining('stage 1 of batch is of 1 server'),
    })
    expect(sharding({ rollout: { batch: ['30%', '100%'] } }).count).toBe(3)
    expect(sharding({ rollout: { batch: undefined } }).count, 'halves by default').toBe(5)
    expect(sharding({ rollout: { strategy: 'parallel', batch: undefined } }).count, 'parallel has no stages').toBe(10)
  })
  it('is one where a list is written as a whole with nothing to write against', () => {
    const edge = { provider: 'cloudflare', account: 'a', pools: ['p'], roles: [] }
    const made = sharding({ keys: { load_balancers: { edge } } })
    expect(made).toMatchObject({ count: 1, text: expect.stringContaining('only be written as a whole') })
    expect(sharding({ keys: { load_balancers: { edge } }, rollout: { strategy: 'parallel' } }).count).toBe(10)
  })
  it('is known of every provider', () =>
    expect(Object.keys(refusedInFanOut).toSorted()).toEqual(providerNames.toSorted()))
  it('is none where nothing is selected', () =>
    expect(sharding({ wish: { servers: '[]' } })).toMatchObject({ count: 0, matrix: { shard: [] } }))
})
