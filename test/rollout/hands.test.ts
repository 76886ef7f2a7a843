import { describe, expect, it } from 'vitest'
import type { LoadBalancer, Receipt } from '../../src/balancers/balancer.ts'
import { BalancerError, LockLostError } from '../../src/errors.ts'
import { type Grip, handsFor } from '../../src/rollout/hands.ts'
import { createLeaving } from '../../src/rollout/leaving.ts'
import { haproxy, manifest } from '../plan/manifests.ts'
import { fakeClock } from '../support/fake-clock.ts'

const receipt: Receipt = { balancer: 'edge', server: 'web1', before: 'serving', data: {} }

/** A server whose lock is gone from the `after`th write on, at a balancer that forgets what it is told. */
function forgetful(after: number, refuses: () => Error | undefined = () => undefined) {
  const writes: string[] = []
  const write = (what: string) => async () => {
    writes.push(what)
    const refused = refuses()
    if (refused) throw refused
  }
  const balancer: LoadBalancer = {
    name: 'edge',
    preflight: async () => ({ rotation: {}, warnings: [] }),
    receipt: async () => receipt,
    remove: write('remove'),
    insist: write('insist'),
    restore: write('restore'),
    read: async () => ({ state: 'serving' }),
    evidence: async () => ({ drained: 'connections', serving: 'health', settleMs: 0, pollMs: 200 }),
    byHand: () => '',
  }
  const m = manifest({ servers: [{ name: 'web1' }, { name: 'web2' }], keys: { load_balancers: { edge: haproxy() } } })
  const grip = {
    server: m.servers[0],
    earlierReceipts: {},
    waitsAt: () => ({ removing: 0, adding: 0 }),
    assertHeld() {
      if (writes.length >= after) throw new LockLostError('the lock on web1 is lost')
    },
    signal: new AbortController().signal,
  } as unknown as Grip
  const clock = fakeClock()
  const hands = handsFor(grip, {
    manifest: m,
    planned: {
      name: 'web1',
      host: 'web1',
      roles: [],
      balancers: ['edge'],
      inPlace: null,
      done: false,
      leftOut: [],
      keptOut: [],
      current: null,
    },
    balancers: new Map([['edge', balancer]]),
    leaving: createLeaving(clock),
    emit: () => {},
    clock,
    stop: new AbortController().signal,
    cancelled: () => false,
  })
  return { hands, writes }
}

describe('a process that goes on after its lock was taken over', () => {
  it('does not remove a server once more', async () => {
    const { hands, writes } = forgetful(1)
    await expect(hands.takeOut([receipt])).rejects.toThrow(LockLostError)
    expect(writes).toEqual(['remove'])
  })
  it('neither insists nor restores', async () => {
    const { hands, writes } = forgetful(4)
    await expect(hands.takeOut([receipt])).rejects.toThrow(LockLostError)
    expect(writes).toEqual(['remove', 'remove', 'remove', 'remove'])
  })
  it('puts nothing back', async () => {
    const { hands, writes } = forgetful(0)
    await expect(hands.putBack([receipt])).rejects.toThrow(LockLostError)
    await expect(hands.writeBack([receipt])).rejects.toThrow(LockLostError)
    expect(writes).toEqual([])
  })
})

describe('a run that was cancelled', () => {
  it('writes back once more what a balancer that was full did not take', async () => {
    let full = 3
    const refuses = () => (full-- > 0 ? new BalancerError('all places are taken', { retryAfterMs: 50 }) : undefined)
    const { hands, writes } = forgetful(100, refuses)
    await hands.writeBack([receipt])
    expect(writes).toEqual(['restore', 'restore', 'restore', 'restore'])
  })
})
