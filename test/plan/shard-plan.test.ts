import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InputError } from '../../src/errors.ts'
import type { Facts, Wish } from '../../src/plan/make-plan.ts'
import { shardParts } from '../../src/plan/shard-plan.ts'
import { divided, shardServers, shardsOf } from '../../src/plan/shards.ts'
import { haproxy, manifest } from './manifests.ts'
import { everyShard, planned } from './plans.ts'

const steps = {
  activate: [{ run: 'restart' }, { run: 'for all', once: 'true' }, { run: 'some', servers: ['web*3'] }],
  finalize: [{ run: 'tell', once: 'true', servers: ['web*2'] }],
  cleanup: [{ run: 'tidy' }],
}
const fleet = (n: number, rollout: object, keys: object = {}) =>
  manifest({
    servers: Array.from({ length: n }, (_, i) => ({
      name: `web${i + 1}`,
      roles: i % 2 === 0 ? ['web'] : ['web', 'job'],
    })),
    keys: { load_balancers: { edge: haproxy(['web']), jobs: haproxy(['job']) }, ...steps, ...keys, rollout },
  })
const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)

const share = (most: number) =>
  fc.oneof(
    fc.integer({ min: 1, max: most }).map(String),
    fc.integer({ min: 1, max: 99 }).map(p => `${p}%`),
  )
const cases = fc.record({
  n: fc.integer({ min: 2, max: 60 }),
  strategy: fc.constantFrom('rolling', 'parallel'),
  batch: fc.option(fc.array(share(30), { minLength: 1, maxLength: 3 }), { nil: undefined }),
  max_parallelism: fc.integer({ min: 1, max: 60 }).map(String),
  max_failures: share(60),
  min_in_service: fc.integer({ min: 0, max: 40 }).map(p => `${p}%`),
  failed: fc.array(fc.nat(59), { maxLength: 4 }),
})

describe('the plans of all shards together', () => {
  it('have each server, and each step on each server, once, and of every limit no more than there is', () => {
    let divided_ = 0
    fc.assert(
      fc.property(cases, ({ n, failed, ...rollout }) => {
        const m = fleet(n, rollout)
        const earlier = m.servers.filter((_, i) => failed.includes(i)).map(s => s.name)
        const whole = planned(m)
        const { count } = shardsOf(m, { strategy: null, mostShards: null }, whole)
        if (count < 2) return
        divided_++
        const plans = everyShard(count).map(shard => {
          const own = new Set(shardServers(m.servers, shard).map(s => s.name))
          return planned(m, { shard }, { earlier: earlier.filter(name => own.has(name)) })
        })
        const names = whole.servers.map(s => s.name)
        expect(plans.flatMap(p => p.servers.map(s => s.name)).toSorted()).toEqual(names.toSorted())
        for (const [i, step] of whole.steps.entries())
          expect(plans.flatMap(p => p.steps[i]?.servers ?? []).toSorted()).toEqual(step.servers.toSorted())
        expect(sum(plans.map(p => p.maxParallelism.value))).toBe(whole.maxParallelism.value)
        expect(sum(plans.map(p => p.maxFailures))).toBe(whole.maxFailures)
        for (const plan of plans) {
          expect(Math.min(plan.maxParallelism.value, plan.maxFailures)).toBeGreaterThan(0)
          expect(plan.strategy).toEqual(whole.strategy)
          expect(plan.shard?.selection).toEqual(names)
          for (const group of plan.groups) {
            expect(group.stages.flat()).toEqual(group.servers)
            expect(group.servers.toSorted()).toEqual(plan.servers.map(s => s.name).toSorted())
            expect(group.limit).toBe(plan.maxParallelism.value)
          }
        }
        // What goes first over all shards is no more than what goes first in a whole run, beside those that failed before.
        const first = whole.groups[0]?.stages[0]?.length ?? 0
        const begins = plans.map(p => (p.groups[0]?.stages ?? []).find(s => !s.some(x => earlier.includes(x))) ?? [])
        expect(sum(begins.map(s => s.length))).toBeLessThanOrEqual(first)
        for (const balancer of ['edge', 'jobs']) {
          const rotations = Object.fromEntries(names.map(name => [name, { state: 'serving' }]))
          const parts = plans.flatMap(p => (p.shard === undefined ? [] : [shardParts(m, p.shard)(balancer, rotations)]))
          const out = sum(parts.map(p => p.own.quota))
          const members = m.servers.filter(s => balancer === 'edge' || s.roles.includes('job')).length
          expect(out).toBeLessThanOrEqual(members)
          for (const { own, others } of parts) {
            expect(others).toHaveLength(count - 1)
            expect(own.quota + sum(others.map(o => o.quota))).toBe(out)
            expect([...own.servers, ...others.flatMap(o => o.servers)]).toHaveLength(members)
          }
        }
      }),
    )
    expect(divided_).toBeGreaterThan(5)
  })

  it('are the whole plan where there is one shard, 1/1', () => {
    const m = fleet(5, { strategy: 'serial' })
    expect(planned(m, { shard: { index: 1, of: 1 } })).toEqual(planned(m))
  })
})

describe('a shard', () => {
  const rollout = { strategy: 'rolling', batch: ['50%', '100%'], max_failures: '4', max_parallelism: '10' }
  const of4 = (index: number, more: Partial<Wish> = {}, f: Partial<Facts> = {}, keys: object = {}) =>
    planned(fleet(16, rollout, keys), { shard: { index, of: 4 }, ...more }, f)

  it('says which one it is, what it has, and that shards do not wait for each other', () => {
    const plan = of4(2)
    expect(plan.servers.map(s => s.name)).toEqual(['web2', 'web6', 'web10', 'web14'])
    expect(plan.groups.map(g => g.stages)).toEqual([
      [
        ['web2', 'web6'],
        ['web10', 'web14'],
      ],
    ])
    expect(plan.notices[0]).toContain('This is shard 2 of 4: 4 of 16 servers, with 3 of max_parallelism 10')
    expect(plan.maxParallelism.reason).toContain('3 is the part of shard 2 of 4 of 10')
    expect(of4(3).maxParallelism.value).toBe(2)
  })

  it('begins with its own servers that failed last time', () =>
    expect(of4(1, {}, { earlier: ['web9'] }).groups[0]?.stages).toEqual([['web9'], ['web1', 'web5'], ['web13']]))

  it('without one of its servers counts as before, for the others know nothing of it', () => {
    const plan = of4(1, {}, { unreachable: ['web1', 'web13'] })
    expect(plan.servers.map(s => s.name)).toEqual(['web5', 'web9'])
    expect([plan.maxFailures, plan.maxParallelism.value]).toEqual([1, 3])
    expect(plan.warnings.join()).toMatch(/web1, web13 cannot be reached/)
    expect(plan.warnings.join()).toContain('"for all" runs once, on web1, which cannot be reached: no shard runs it')
    expect(of4(2, {}, { unreachable: [] }).steps[1]?.servers).toEqual([])
  })

  it('of more than there may be is refused, with the limit and what to set', () => {
    const refused = (more: Partial<Wish>) => {
      try {
        planned(fleet(16, rollout), { shard: { index: 1, of: 5 }, ...more })
      } catch (error) {
        return error
      }
      return null
    }
    expect(refused({})).toBeInstanceOf(InputError)
    expect(refused({})).toMatchObject({
      message:
        'there may be 4 shards at most, and this is one of 5: max_failures is 4, and each shard needs at least one of it',
      hint: expect.stringMatching(/rollout.max_failures.*output matrix/),
    })
    expect(refused({ strategy: 'serial' })).toMatchObject({ message: expect.stringContaining('one shard at most') })
  })

  it('never migrates: it is refused, with the job to run before', () => {
    const keys = { migrate: { run: 'rake db:migrate' } }
    try {
      of4(1, {}, {}, keys)
      expect.unreachable()
    } catch (error) {
      expect(error).toMatchObject({
        message: expect.stringContaining('a migration has to run'),
        hint: expect.stringMatching(/servers: web1; then.*migrate: 'false'/),
      })
    }
    expect(() => of4(1, { migrate: true }, {}, keys)).toThrow(/a migration has to run/)
    expect(of4(1, { migrate: false }, {}, keys).migration.enabled).toBe(false)
  })

  it('of a release that was migrated in a job before is held to serial unless somebody says false', () => {
    const keys = { migrate: { run: 'rake db:migrate' } }
    const migration = { done: true, underWay: true, changed: null }
    expect(() => of4(1, {}, { migration }, keys)).toThrow(
      /one shard at most, and this is one of 4: migrations are enabled/,
    )
    const plan = of4(1, { migrate: false }, { migration }, keys)
    expect([plan.strategy.value, plan.migration.enabled]).toEqual(['rolling', false])
    expect(plan.notices.join()).toContain('its shards are not held to serial')
    // A run that is not divided stays serial, whatever is said.
    const m = fleet(16, rollout, keys)
    const whole = { migrate: false }
    expect(planned(m, whole, { migration }).strategy.value).toBe('serial')
    expect(planned(m, { ...whole, mostShards: 8 }, { migration }).strategy.value).toBe('rolling')
  })

  it('expects waits of as many at once as it may have out', () => {
    const m = fleet(
      16,
      { ...rollout, max_parallelism: '40', min_in_service: '12' },
      {
        load_balancers: { edge: haproxy(['web'], { wait_after_adding_servers: '10s' }) },
      },
    )
    const plan = planned(m, { shard: { index: 1, of: 4 } })
    expect(plan.addedSeconds).toBe(4 * 10)
    expect(divided(16 - 12, { index: 1, of: 4 })).toBe(1)
  })
})
