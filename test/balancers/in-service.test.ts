import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Rotation } from '../../src/balancers/balancer.ts'
import { mayLeave } from '../../src/balancers/in-service.ts'

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
