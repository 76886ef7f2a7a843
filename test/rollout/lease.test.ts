import { describe, expect, it } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { LockLostError } from '../../src/errors.ts'
import { keepLease } from '../../src/rollout/lease.ts'

/** A clock that moves only when told to; `asleep` moves the wall clock alone, as on a machine that was suspended. */
function handClock() {
  let now = 0
  let wall = 1_000_000
  let sleepers: { at: number; wake: () => void }[] = []
  const clock: Clock = {
    now: () => now,
    wall: () => wall,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason), { once: true })
        sleepers.push({ at: now + ms, wake: resolve })
      }),
  }
  const settle = () => new Promise<void>(resolve => setImmediate(resolve))
  return {
    clock,
    asleep: (seconds: number) => {
      wall += seconds * 1000
    },
    async pass(seconds: number) {
      for (let s = 0; s < seconds; s++) {
        now += 1000
        wall += 1000
        const due = sleepers.filter(x => x.at <= now)
        sleepers = sleepers.filter(x => x.at > now)
        for (const d of due) d.wake()
        await settle()
      }
    },
  }
}
const start = (renew: () => Promise<boolean>) => {
  const hand = handClock()
  return { ...hand, lease: keepLease('web1', { now: hand.clock.now(), wall: hand.clock.wall() }, hand.clock, renew) }
}

describe('a lease', () => {
  it('is renewed every ten seconds, and held for as long as that', async () => {
    let times = 0
    const { lease, pass } = start(async () => ++times > 0)
    await pass(300)
    expect(times).toBe(30)
    expect(() => lease.assertHeld()).not.toThrow()
    lease.stop()
  })
  it('is lost as soon as the server says that another holds the lock', async () => {
    let ours = true
    const { lease, pass } = start(async () => ours)
    await pass(25)
    ours = false
    await pass(6)
    expect(lease.lost.aborted).toBe(true)
    expect(lease.lost.reason).toBeInstanceOf(LockLostError)
    expect(() => lease.assertHeld()).toThrow(LockLostError)
  })
  it('starts nothing with less than fifteen seconds left, and is lost when it ran out unanswered', async () => {
    const { lease, pass } = start(async () => Promise.reject(new Error('no answer')))
    await pass(44)
    expect(() => lease.assertHeld()).not.toThrow()
    await pass(2)
    expect(() => lease.assertHeld()).toThrow(/too little to start/)
    expect(lease.lost.aborted).toBe(false)
    await pass(20)
    expect(lease.lost.aborted).toBe(true)
  })
  it('counts from the moment a renewal was sent, not from its answer', async () => {
    const hand = handClock()
    const lease = keepLease('web1', { now: 0, wall: hand.clock.wall() }, hand.clock, () =>
      hand.clock.sleep(30_000, new AbortController().signal).then(() => true),
    )
    await hand.pass(41)
    await hand.pass(16)
    expect(() => lease.assertHeld()).toThrow(/s left/)
    lease.stop()
  })
  it('notices that the machine slept, though its monotonic clock stood still', async () => {
    const { lease, asleep, pass } = start(async () => true)
    await pass(5)
    asleep(120)
    expect(() => lease.assertHeld()).toThrow(LockLostError)
    lease.stop()
  })
  it('is lost when its time is over though a renewal still hangs, and its answer changes nothing then', async () => {
    let answer: (ours: boolean) => void = () => {}
    const { lease, pass } = start(() => new Promise(resolve => (answer = resolve)))
    await pass(59)
    expect(lease.lost.aborted).toBe(false)
    await pass(2)
    expect(lease.lost.aborted).toBe(true)
    answer(true)
    await pass(1)
    expect(() => lease.assertHeld()).toThrow(/lost/)
  })
  it('tells why the last renewal was not answered', async () => {
    const { lease, pass } = start(async () => Promise.reject(new Error('connection refused')))
    await pass(61)
    expect(lease.lost.reason).toMatchObject({ message: expect.stringContaining('connection refused') })
  })
  it('is lost for whoever looks first after the machine slept for longer than it lasts, by itself a second later', async () => {
    const first = start(async () => true)
    await first.pass(5)
    first.asleep(120)
    expect([first.lease.lost.aborted, first.lease.isLost(), first.lease.lost.aborted]).toEqual([false, true, true])
    const second = start(async () => true)
    await second.pass(5)
    second.asleep(120)
    await second.pass(1)
    expect(second.lease.lost.aborted).toBe(true)
  })
  it('that was given back is never lost afterwards', async () => {
    const { lease, pass } = start(async () => true)
    await pass(5)
    lease.stop()
    await pass(120)
    expect([lease.isLost(), lease.lost.aborted]).toEqual([false, false])
  })
})
