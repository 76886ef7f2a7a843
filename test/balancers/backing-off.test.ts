import { describe, expect, it } from 'vitest'
import { backingOff, patient, unthrottled } from '../../src/balancers/backing-off.ts'
import { bringBack, confirmOut, takeOut } from '../../src/balancers/controller.ts'
import { BalancerError } from '../../src/errors.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { type Call, out, place, type ScriptedOptions, serving } from './scripted-balancer.ts'

const throttled = (retryAfterMs = 0) => new BalancerError('Rate exceeded', { retryAfterMs })

function setUp(random = 0.5) {
  const clock = fakeClock()
  const calls: Call[] = []
  const signal = new AbortController().signal
  const deps = { clock, signal, onProgress: () => undefined, random: () => random }
  const at = (options: Omit<ScriptedOptions, 'clock' | 'calls'>) => place({ ...options, clock, calls })
  const times = (what: Call['what']) => calls.filter(c => c.what === what).map(c => c.at)
  return { clock, calls, deps, at, times, signal }
}
const obeys: ScriptedOptions['says'] = (_, last) => (last === 'remove' ? out : serving)
const gaps = (times: readonly number[]) => times.slice(1).map((t, i) => t - (times[i] ?? 0))

describe('a throttled balancer', () => {
  it('is polled later and later while it drains, and at its usual pace again after that', async () => {
    const { at, deps, times } = setUp()
    let left = 4
    const web1 = at({
      says: obeys,
      evidence: { pollMs: 5000 },
      refuses: what => (what === 'read' && left-- > 0 ? throttled() : undefined),
      settings: { drainTimeout: 600 },
    })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained' })
    expect(gaps(times('read')).slice(0, 6)).toEqual([10_000, 20_000, 40_000, 60_000, 5000, 5000])
  })

  it('is never asked before the time it names is over', async () => {
    for (const random of [0, 0.5, 1]) {
      const { at, deps, times } = setUp(random)
      let left = 2
      const web1 = at({
        says: obeys,
        evidence: { pollMs: 5000 },
        refuses: what => (what === 'read' && left-- > 0 ? throttled(90_000) : undefined),
        settings: { drainTimeout: 600 },
      })
      expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained' })
      for (const gap of gaps(times('read')).slice(0, 2)) expect(gap).toBeGreaterThanOrEqual(90_000)
    }
  })

  it('is asked a last time at drain_timeout, and has failed only if that is throttled too', async () => {
    const { at, deps, times } = setUp()
    const stuck = at({
      says: (_, last) => (last === 'restore' ? serving : out),
      evidence: { pollMs: 5000 },
      refuses: (what, now) => (what === 'read' && now <= 60_000 ? throttled(3_600_000) : undefined),
      settings: { drainTimeout: 60 },
    })
    const result = await takeOut([stuck], deps)
    expect(result).toMatchObject({ result: 'failed', back: { result: 'serving' } })
    expect(result.result === 'failed' && result.error.message).toContain('Rate exceeded')
    expect(times('read').slice(0, 2)).toEqual([0, 60_000])
  })

  it('is told the removal again, since a throttled write was not done', async () => {
    const { at, deps, times } = setUp()
    const web1 = at({
      says: obeys,
      refuses: (what, now) => (what === 'remove' && now < 5000 ? throttled(2000) : undefined),
    })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained' })
    expect(times('remove').length).toBeGreaterThan(1)
    expect(Math.min(...gaps(times('remove')))).toBeGreaterThanOrEqual(2000)
  })

  it('is told the restore again, and polled later and later', async () => {
    const { at, clock, deps, times } = setUp()
    const web1 = at({
      says: (_, last) => (last === 'restore' ? serving : out),
      refuses: (_, now) => (now < 14_000 ? throttled() : undefined),
    })
    expect(await bringBack([web1], deps)).toMatchObject({ result: 'serving' })
    expect(clock.now()).toBeGreaterThan(14_000)
    const early = times('restore').filter(t => t < 14_000)
    expect(gaps(early).every((gap, i, all) => i === 0 || gap >= (all[i - 1] ?? 0))).toBe(true)
  })

  it('is asked again just before the switch: throttled is neither in nor out', async () => {
    const { at, deps } = setUp()
    const now = (refuse: number) => {
      let left = refuse
      return at({ says: () => out, refuses: () => (left-- > 0 ? throttled() : undefined) })
    }
    expect(await confirmOut([now(2)], deps)).toEqual({ out: true })
    expect(await confirmOut([now(1000)], deps)).toMatchObject({ out: false, detail: 'Rate exceeded' })
  })

  it('does not hold a deployment for ever', async () => {
    const { clock, deps } = setUp()
    await expect(unthrottled(deps, 60_000, () => Promise.reject(throttled()))).rejects.toThrow('Rate exceeded')
    expect(clock.now()).toBeLessThanOrEqual(60_000)
  })

  it('is asked again for what stands before a removal, and any other error is told at once', async () => {
    const { at, clock, deps, signal } = setUp()
    const { balancer } = at({ says: () => serving })
    let asked = 0
    const busy = (error: Error) =>
      patient(
        {
          ...balancer,
          preflight: async () => {
            if (++asked < 3) throw error
            return { rotation: {}, warnings: [] }
          },
        },
        deps,
      )
    expect(await busy(throttled()).preflight([], signal)).toEqual({ rotation: {}, warnings: [] })
    expect(clock.now()).toBe(6000)
    asked = 0
    await expect(busy(new BalancerError('no rights')).preflight([], signal)).rejects.toThrow('no rights')
    expect(asked).toBe(1)
  })

  it('ends at once when the deployment is cancelled', async () => {
    const { deps } = setUp()
    const cancel = new AbortController()
    const work = unthrottled({ ...deps, signal: cancel.signal }, 60_000, async () => {
      cancel.abort(new Error('cancelled'))
      throw throttled(30_000)
    })
    await expect(work).rejects.toThrow('cancelled')
  })

  it('is left alone a little longer or shorter by chance, so that several runs do not come back at once', () => {
    const pause = (random: number) => backingOff(5000, () => random).after(throttled())
    expect([pause(0), pause(0.5), pause(1)]).toEqual([7500, 10_000, 12_500])
  })
})

describe('an answer from before the restore', () => {
  it('that says "serving" is not believed before the time the balancer names', async () => {
    const { at, clock, deps } = setUp()
    const web1 = at({ says: () => serving, evidence: { addSettleMs: 5000, pollMs: 1000 } })
    expect(await bringBack([web1], deps)).toMatchObject({ result: 'serving' })
    expect(clock.now()).toBe(7000)
  })
})
