import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Rotation } from '../../src/balancers/balancer.ts'
import { mayLeave } from '../../src/balancers/in-service.ts'
import { partsOf } from '../../src/plan/shard-plan.ts'

const rotation = fc.oneof(
  fc.constant<Rotation>({ state: 'serving' }),
  fc
    .constantFrom('warming', 'draining', 'out', 'unhealthy', 'unknown')
    .map((state): Rotation => ({ state, detail: '' })),
)
const fleet = fc
  .array(rotation, { minLength: 1, maxLength: 20 })
  .map(list => Object.fromEntries(list.map((r, i) => [`web${i + 1}`, r])))

it('never lets a server leave that would leave fewer than needed in service', () => {
  fc.assert(
    fc.property(fleet, fc.nat(20), fc.nat(19), fc.array(fc.nat(19)), (rotations, needed, who, also) => {
      const names = Object.keys(rotations)
      const leaving = names[who % names.length] ?? ''
      const alsoLeaving = new Set(also.map(i => names[i % names.length] ?? ''))
      const rest = names.filter(n => n !== leaving && !alsoLeaving.has(n) && rotations[n]?.state === 'serving').length
      const answer = mayLeave({ rotations, leaving, alsoLeaving, needed })
      expect(answer.serving).toBe(rest)
      expect(answer.allowed).toBe(rest >= needed)
    }),
  )
})

it('counts a server that is being removed as gone although the balancer still tells it as serving', () => {
  const rotations = { web1: { state: 'serving' }, web2: { state: 'serving' }, web3: { state: 'serving' } } as const
  expect(mayLeave({ rotations, leaving: 'web1', alsoLeaving: new Set(), needed: 2 }).allowed).toBe(true)
  expect(mayLeave({ rotations, leaving: 'web1', alsoLeaving: new Set(['web2']), needed: 2 })).toMatchObject({
    allowed: false,
    reason: 'without web1 1 would be in service, 2 have to be',
  })
})

// Readings agree about the servers outside the selection. One that dies between two readings is the same race that one runner has with any
// server: what was decided before it died, it did not count.
it('keeps what is needed over all shards, whatever they read and do at the same moment', () => {
  const step = fc.record({ shard: fc.nat(7), server: fc.nat(39), does: fc.constantFrom('read', 'remove', 'back') })
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 12 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.nat(39), { maxLength: 2 }),
      fc.nat(2),
      fc.array(step, { maxLength: 60, size: 'max' }),
      (members, of, mayBeOut, broken, outside, steps) => {
        const needed = Math.max(0, members - mayBeOut)
        const names = Array.from({ length: members }, (_, i) => `web${i}`)
        // The last ones are behind the balancer and not selected.
        const selection = names.slice(0, members - outside)
        const partsAt = Array.from({ length: of }, (_, i) => partsOf(names, needed, { index: i + 1, of, selection }))
        const parts = Array.from({ length: of }, (_, i) => selection.filter((_, k) => k % of === i))
        const isBroken = (i: number) => broken.some(k => k % members === i)
        const now: Record<string, Rotation> = Object.fromEntries(
          names.map((name, i) => [name, isBroken(i) ? { state: 'unhealthy', detail: '' } : { state: 'serving' }]),
        )
        const serving = () => Object.values(now).filter(r => r.state === 'serving').length
        const atFirst = serving()
        /** What each shard read last, and whom it was allowed to remove by that; whom it has out. */
        const readings = parts.map(() => ({ ...now }))
        const allowed = parts.map(() => new Set<string>())
        const away = parts.map(() => new Set<string>())
        for (const { shard, server, does } of steps) {
          const i = shard % of
          const [own, reading, asked, gone] = [parts[i], readings[i], allowed[i], away[i]]
          const name = own?.[server % Math.max(1, own.length)]
          if (own === undefined || reading === undefined || asked === undefined || gone === undefined) continue
          if (name === undefined) continue
          if (does === 'read') {
            Object.assign(reading, now)
            const also = new Set([...asked, ...gone])
            if (also.has(name) || reading[name]?.state !== 'serving') continue
            const shards = partsAt[i]?.(reading)
            if (shards === undefined) continue
            const answer = mayLeave({ rotations: reading, leaving: name, alsoLeaving: also, needed, shards })
            if (answer.allowed) asked.add(name)
          } else if (does === 'remove' && asked.delete(name)) {
            // Later than it was allowed, as long as it takes.
            now[name] = { state: 'out', detail: '' }
            gone.add(name)
          } else if (does === 'back' && gone.delete(name)) now[name] = { state: 'serving' }
          if (atFirst >= needed) expect(serving()).toBeGreaterThanOrEqual(needed)
        }
      },
    ),
    { numRuns: 1500 },
  )
})

it('has a part for somebody as long as one run could take a server out, whoever outside of the selection is out', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 12 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(12),
      fc.array(fc.boolean(), { maxLength: 5 }),
      (selected, of, needed, outside) => {
        const selection = Array.from({ length: selected }, (_, i) => `web${i}`)
        const others = outside.map((_, i) => `other${i}`)
        const rotations = rotationsOf({
          ...Object.fromEntries(selection.map(name => [name, 'serving'])),
          ...Object.fromEntries(others.map((name, i) => [name, outside[i] ? 'serving' : 'unhealthy'])),
        })
        const ask = { rotations, alsoLeaving: new Set<string>(), needed }
        const alone = mayLeave({ ...ask, leaving: 'web0' })
        // Shards that have servers; the first ones have the larger parts.
        const answers = selection.slice(0, of).map((leaving, i) => {
          const shards = partsOf([...selection, ...others], needed, { index: i + 1, of, selection })(rotations)
          return { quota: shards.own.quota, answer: mayLeave({ ...ask, leaving, shards }) }
        })
        expect(answers[0]?.answer.allowed).toBe(alone.allowed)
        for (const { quota, answer } of answers) expect(answer.allowed).toBe(quota > 0)
      },
    ),
  )
})

const rotationsOf = (states: Readonly<Record<string, Rotation['state']>>) =>
  Object.fromEntries(Object.entries(states).map(([name, state]) => [name, { state, detail: '' } as Rotation]))

it('lets each shard take out its part while all is well, however many others are out', () => {
  const rotations = rotationsOf({ a: 'serving', b: 'out', c: 'serving', d: 'out', e: 'serving', f: 'serving' })
  const own = { servers: ['a', 'e'], quota: 1 }
  const others = [
    { servers: ['b', 'f'], quota: 1 },
    { servers: ['c', 'd'], quota: 1 },
  ]
  const ask = { rotations, leaving: 'a', alsoLeaving: new Set<string>(), needed: 3, shards: { own, others } }
  expect(mayLeave(ask)).toMatchObject({ allowed: true })
  expect(mayLeave({ ...ask, alsoLeaving: new Set(['e']) })).toMatchObject({
    allowed: false,
    reason: 'this shard may have 1 of its servers out at once; out is e',
  })
})

it('says which server makes it impossible for a shard', () => {
  const rotations = rotationsOf({ a: 'serving', b: 'serving', c: 'serving', other: 'unhealthy' })
  const shards = { own: { servers: ['a'], quota: 1 }, others: [{ servers: ['b'], quota: 1 }] }
  expect(mayLeave({ rotations, leaving: 'a', alsoLeaving: new Set(), needed: 2, shards })).toMatchObject({
    allowed: false,
    reason:
      'without a 2 would be in service, of which other shards may take out 1 at the same moment, and 2 have to be; other is unhealthy',
  })
})

it('tells a shard without a part that one run can do it, and one that the others can still make room for that it may wait', () => {
  const rotations = rotationsOf({ a: 'serving', b: 'serving', c: 'serving', d: 'unhealthy' })
  const at = (index: number, leaving: string, states = rotations) => {
    const shards = partsOf(Object.keys(states), 2, { index, of: 2, selection: ['a', 'b', 'c'] })(states)
    return mayLeave({ rotations: states, leaving, alsoLeaving: new Set(), needed: 2, shards })
  }
  expect(at(1, 'a')).toMatchObject({ allowed: true })
  expect(at(2, 'b')).toMatchObject({
    allowed: false,
    mayPass: false,
    reason:
      'none of the servers of this shard may be out while d is unhealthy; one run without the input shard could go on',
  })
  // Both of the first shard are out, one more than its part: it brings them back, or nobody does.
  const more = rotationsOf({ a: 'out', b: 'serving', c: 'out', d: 'serving' })
  expect(at(2, 'b', more)).toMatchObject({ allowed: false, mayPass: true })
})
