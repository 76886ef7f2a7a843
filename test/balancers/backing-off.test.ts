import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backingOff, patient, unthrottled } from '../../src/balancers/backing-off.ts'
import { bringBack, confirmOut, takeOut } from '../../src/balancers/controller.ts'
import { BalancerError } from '../../src/errors.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { type Call, draining, out, place, type ScriptedOptions, serving } from './scripted-balancer.ts'

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

/** What HAProxy's socket says whose places are all taken. */
const full = (retryAfterMs = 50) => new BalancerError('all places are taken', { retryAfterMs })
const first = (times: number, error: () => Error) => () => (times-- > 0 ? error() : undefined)
const wanted = fc.integer({ min: 0, max: 5000 })
const chance = fc.double({ min: 0, max: 1, noNaN: true })
const poll = fc.constantFrom(200, 1000, 5000)

describe('a balancer that is full for a moment', () => {
  it('is asked again after what it wants, twice and four times that, and never a second later', async () => {
    const { at, clock, deps, times } = setUp()
    const web1 = at({ says: obeys, refuses: what => (what === 'read' ? refusal() : undefined) })
    const refusal = first(4, full)
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained' })
    expect(gaps(times('read')).slice(0, 6)).toEqual([100, 200, 200, 200, 200, 200])
    expect(clock.now()).toBeLessThan(2000)
  })

  it('has any pause from what it wants to five times that; who is throttled has one of 1.5 s at least', () => {
    fc.assert(
      fc.property(poll, chance, fc.array(wanted, { minLength: 1, maxLength: 30 }), (pollMs, random, wants) => {
        const pauses = backingOff(pollMs, () => random)
        for (const ms of wants) {
          const pause = pauses.after(throttled(ms)) ?? Number.NaN
          expect(pause).toBeGreaterThanOrEqual(ms)
          if (ms > 0 && ms < 1000) expect(pause).toBeLessThanOrEqual(5 * ms)
          else expect(pause).toBeGreaterThanOrEqual(1.5 * Math.max(1000, pollMs))
        }
      }),
    )
  })

  it('never has a shorter pause for one more refusal', () => {
    fc.assert(
      fc.property(poll, chance, wanted, fc.integer({ min: 2, max: 60 }), (pollMs, random, ms, count) => {
        const pauses = backingOff(pollMs, () => random)
        const all = Array.from({ length: count }, () => pauses.after(throttled(ms)) ?? Number.NaN)
        expect(all).toEqual(all.toSorted((a, b) => a - b))
      }),
    )
  })

  it('has 5 s for that moment, and a throttled one the time given: a socket that is not there looks as if it were full', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 2000 }), chance, async (ms, random) => {
        const { clock, deps } = setUp(random)
        let tries = 0
        const work = () => {
          tries++
          return Promise.reject(full(ms))
        }
        await expect(unthrottled(deps, 60_000, work)).rejects.toThrow('all places are taken')
        expect(clock.now()).toBeLessThanOrEqual(ms < 1000 ? 5000 : 60_000)
        expect(tries).toBeGreaterThan(ms < 1000 ? 5000 / (5 * ms) - 1 : 3)
      }),
    )
  })

  it('is told the second step and the cut again, and is waited for from when it took them', async () => {
    const { at, deps, times } = setUp()
    const refusals = { insist: first(3, full), force: first(3, full) }
    const web1 = at({
      says: (_, last) => (last === 'force' ? out : last === 'insist' ? draining(1) : serving),
      can: ['insist', 'force'],
      refuses: what => (what === 'insist' || what === 'force' ? refusals[what]() : undefined),
      settings: { drainTimeout: 5, onDrainTimeout: 'force' },
    })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained', cut: { edge: 1 } })
    expect(gaps(times('insist'))).toEqual([100, 200, 200])
    expect(gaps(times('force'))).toEqual([100, 200, 200])
  })

  it("is asked again whose hand took a server out: what is an operator's is not restored because of a rush", async () => {
    const { at, deps, times } = setUp()
    for (const error of [full, throttled]) {
      const refusal = first(3, error)
      const theirs = async () => {
        const refused = refusal()
        if (refused) throw refused
        return true
      }
      const back = await bringBack([{ ...at({ says: () => out }), theirs }], deps)
      expect(back).toEqual({ result: 'serving', keptOut: ['edge'] })
    }
    expect(times('restore')).toEqual([])
  })

  it('is asked again whether a server that is out is ours', async () => {
    const { at, deps, signal } = setUp()
    const { balancer, receipt } = at({ says: () => out })
    const refusal = first(3, full)
    const isOurs = async () => {
      const refused = refusal()
      if (refused) throw refused
      return true
    }
    expect(await patient({ ...balancer, isOurs }, deps).isOurs?.(receipt, signal)).toBe(true)
    expect(patient(balancer, deps)).not.toHaveProperty('isOurs')
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
