import { describe, expect, it } from 'vitest'
import { bringBack } from '../../src/balancers/controller.ts'
import type { Progress } from '../../src/balancers/place.ts'
import { BalancerError } from '../../src/errors.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { type Call, out, place, type ScriptedOptions, serving, unhealthy } from './scripted-balancer.ts'

function setUp() {
  const clock = fakeClock()
  const calls: Call[] = []
  const progress: Progress[] = []
  const signal = new AbortController().signal
  const deps = { clock, signal, onProgress: (p: Progress) => progress.push(p), random: () => 0.5 }
  const at = (options: Omit<ScriptedOptions, 'clock' | 'calls'>) => place({ ...options, clock, calls })
  const writes = () => calls.filter(c => c.what !== 'read').map(c => `${c.what} ${c.name}`)
  return { clock, calls, progress, deps, at, writes }
}

describe('bringing a server back', () => {
  it('believes "serving" only after three polls in a row, then waits', async () => {
    const { at, clock, deps, progress } = setUp()
    const web1 = at({
      says: since => (since >= 1000 && (since < 1200 || since >= 2000) ? serving : unhealthy),
      settings: { waitAfterAdding: 30 },
    })
    expect(await bringBack([web1], deps)).toEqual({ result: 'serving' })
    expect(clock.now()).toBe(2000 + 400 + 30_000)
    expect(progress.map(p => ('what' in p ? p.what : ''))).toEqual(['restored', 'serving', 'wait_after_adding_servers'])
  })

  it('does not take a server in slow start for serving', async () => {
    const { at, clock, deps } = setUp()
    const web1 = at({ says: since => (since < 10_000 ? { state: 'warming', detail: 'slow start, 30%' } : serving) })
    expect(await bringBack([web1], deps)).toEqual({ result: 'serving' })
    expect(clock.now()).toBeGreaterThanOrEqual(10_000)
  })

  it('restores in reverse order', async () => {
    const { at, deps, writes } = setUp()
    await bringBack([at({ name: 'edge', says: () => serving }), at({ name: 'inner', says: () => serving })], deps)
    expect(writes()).toEqual(['restore inner', 'restore edge'])
  })
})

describe('add_timeout', () => {
  it('removes an unhealthy server again, reads it back, and only then leaves it out', async () => {
    const { at, calls, deps, writes } = setUp()
    const web1 = at({ says: (_, last) => (last === 'remove' ? out : unhealthy), settings: { addTimeout: 20 } })
    const result = await bringBack([web1], deps)
    expect(result).toMatchObject({ result: 'left-out', confirmed: true })
    expect(result.result === 'left-out' && result.error.message).toMatch(/does not serve 20 s after.*DOWN/)
    expect(writes()).toEqual(['restore edge', 'remove edge'])
    expect(calls.at(-1)?.what).toBe('read')
  })

  it('takes an unhealthy server out of every balancer again, also of those that serve', async () => {
    const { at, deps, writes } = setUp()
    const says: ScriptedOptions['says'] = (_, last) => (last === 'remove' ? out : serving)
    const edge = at({ name: 'edge', says })
    const inner = at({
      name: 'inner',
      says: (_, last) => (last === 'remove' ? out : unhealthy),
      settings: { addTimeout: 20 },
    })
    expect(await bringBack([edge, inner], deps)).toMatchObject({ result: 'left-out', confirmed: true })
    expect(writes()).toEqual(['restore inner', 'restore edge', 'remove edge', 'remove inner'])
  })

  it('says when the second removal was not seen', async () => {
    const { at, deps } = setUp()
    const web1 = at({ says: () => unhealthy, settings: { addTimeout: 20, drainTimeout: 5 } })
    expect(await bringBack([web1], deps)).toMatchObject({ result: 'left-out', confirmed: false })
  })

  it('is 120 s where the balancer tells nothing, and what it tells + 60 s', async () => {
    for (const [evidence, expected] of [
      [{}, /does not serve 120 s/],
      [{ longestAddMs: 45_000 }, /does not serve 105 s/],
    ] as const) {
      const { at, deps } = setUp()
      const web1 = at({ says: (_, last) => (last === 'remove' ? out : unhealthy), evidence })
      const result = await bringBack([web1], deps)
      expect(result.result === 'left-out' && result.error.message).toMatch(expected)
    }
  })

  it('tries again to write until it works', async () => {
    const { at, deps, writes } = setUp()
    const web1 = at({
      says: () => serving,
      refuses: (what, now) => (what === 'restore' && now < 15_000 ? new BalancerError('no answer') : undefined),
    })
    expect(await bringBack([web1], deps)).toEqual({ result: 'serving' })
    expect(writes().length).toBeGreaterThan(2)
  })

  it('does not know where the server stands when the balancer cannot be written, and removes nothing', async () => {
    const { at, deps, writes } = setUp()
    const web1 = at({
      says: () => serving,
      refuses: what => (what === 'restore' ? new BalancerError('Permission denied') : undefined),
      settings: { addTimeout: 20 },
    })
    const result = await bringBack([web1], deps)
    expect(result).toMatchObject({ result: 'unknown' })
    expect(result.result === 'unknown' && result.error.message).toMatch(/Permission denied/)
    expect(writes()).not.toContain('remove edge')
  })

  it('comes to an end where what is left of the timeout rounds to nothing before it is over', async () => {
    const { at, clock, deps } = setUp()
    // These numbers do: start + 2000 - start is less than 2000.
    await clock.sleep(129782.33670036188, deps.signal)
    const place = at({ says: () => out, evidence: { pollMs: 5000 }, settings: { addTimeout: 2 } })
    expect(await bringBack([place], deps)).toMatchObject({ result: 'left-out' })
  })

  it('does not know where the server stands when the balancer cannot be read', async () => {
    const { at, deps, writes } = setUp()
    const web1 = at({
      says: () => serving,
      refuses: what => (what === 'read' ? new BalancerError('no answer') : undefined),
      settings: { addTimeout: 20 },
    })
    expect(await bringBack([web1], deps)).toMatchObject({ result: 'unknown' })
    expect(writes()).not.toContain('remove edge')
  })
})

describe('a server that a person takes out', () => {
  it('while it was out is not restored, and the wait is not made for it', async () => {
    const { at, deps, writes, progress } = setUp()
    const web1 = { ...at({ says: () => out, settings: { waitAfterAdding: 30 } }), theirs: async () => true }
    expect(await bringBack([web1], deps)).toEqual({ result: 'serving', keptOut: ['edge'] })
    expect(writes()).toEqual([])
    expect(progress.map(p => ('what' in p ? p.what : ''))).toEqual(['kept-out'])
  })
  it('at one balancer comes back at the others', async () => {
    const { at, deps, writes } = setUp()
    const edge = at({ name: 'edge', says: () => serving })
    const inner = { ...at({ name: 'inner', says: () => out }), theirs: async () => true }
    expect(await bringBack([edge, inner], deps)).toEqual({ result: 'serving', keptOut: ['inner'] })
    expect(writes()).toEqual(['restore edge'])
  })
  it('is restored where nobody can say whose hand it was', async () => {
    const { at, deps, writes } = setUp()
    const theirs = async () => {
      throw new BalancerError('no answer')
    }
    expect(await bringBack([{ ...at({ says: () => serving }), theirs }], deps)).toEqual({ result: 'serving' })
    expect(writes()).toEqual(['restore edge'])
  })
  it('while it comes back stays out; one answer that says so is not believed', async () => {
    const { at, deps, writes } = setUp()
    const flickers = at({ says: since => (since === 400 ? out : since < 2000 ? unhealthy : serving) })
    expect(await bringBack([flickers], deps)).toEqual({ result: 'serving' })
    const taken = at({ says: since => (since < 1000 ? unhealthy : out) })
    expect(await bringBack([taken], deps)).toEqual({ result: 'serving', keptOut: ['edge'] })
    expect(writes()).toEqual(['restore edge', 'restore edge'])
  })
  it('is not seen in what a slow balancer says from before it was restored', async () => {
    const { at, deps } = setUp()
    const web1 = at({ says: since => (since < 15_000 ? out : serving) })
    expect(await bringBack([web1], deps)).toEqual({ result: 'serving' })
  })
})

describe('traffic after adding', () => {
  const within = (seconds: number, seen: (at: number) => boolean, clock: { now(): number }, asked: boolean[] = []) => ({
    arrival: {
      within: seconds,
      seen: async (atLast: boolean) => {
        asked.push(atLast)
        return seen(clock.now())
      },
    },
  })
  const words = (progress: readonly Progress[]) => progress.map(p => ('what' in p ? p.what : p.text))

  it('is watched for before the balancer is told, and waited for when it says that the server serves', async () => {
    const { at, clock, deps, progress } = setUp()
    const asked: boolean[] = []
    const edge = at({ says: () => serving })
    let before: number | undefined
    const restore = edge.balancer.restore
    const balancer = {
      ...edge.balancer,
      restore: async (...args: Parameters<typeof restore>) => {
        before = asked.length
        await restore(...args)
      },
    }
    const web1 = { ...edge, balancer, ...within(60, now => now > 5000, clock, asked) }
    expect(await bringBack([web1], deps)).toMatchObject({ result: 'serving' })
    expect(before).toBe(1)
    expect(clock.now()).toBeGreaterThan(5000)
    expect(clock.now()).toBeLessThan(6000)
    expect(words(progress)).toEqual(['restored', 'serving', 'for traffic at most (traffic_within)'])
  })

  it('is only missed in a warning, at the end of its time, and counts in doubt', async () => {
    const { at, clock, deps, progress } = setUp()
    const asked: boolean[] = []
    const web1 = { ...at({ says: () => serving }), ...within(60, () => false, clock, asked) }
    expect(await bringBack([web1], deps)).toMatchObject({ result: 'serving' })
    expect(clock.now()).toBe(400 + 60_000)
    expect(words(progress).at(-1)).toContain('web1 saw no traffic within 60 s')
    expect(asked.at(-1)).toBe(true)
    expect(asked.slice(0, -1)).not.toContain(true)
  })

  it('that cannot be seen is no failure either', async () => {
    const { at, deps, progress } = setUp()
    const arrival = { within: 5, seen: () => Promise.reject(new BalancerError('no way there')) }
    expect(await bringBack([{ ...at({ says: () => serving }), arrival }], deps)).toMatchObject({ result: 'serving' })
    expect(words(progress).at(-1)).toContain('no way there')
  })

  it('is waited for while the wait runs, not after it; and the watch ends', async () => {
    const { at, clock, deps } = setUp()
    let ended = 0
    const web1 = {
      ...at({ says: () => serving, settings: { waitAfterAdding: 30 } }),
      ...within(60, now => now > 20_000, clock),
      rest: () => {
        ended++
      },
    }
    await bringBack([web1], deps)
    expect(clock.now()).toBe(30_400)
    expect(ended).toBe(1)
  })

  it('is not waited for at a server that does not serve', async () => {
    const { at, clock, deps } = setUp()
    const web1 = {
      ...at({ says: (_, last) => (last === 'remove' ? out : unhealthy), settings: { addTimeout: 5 } }),
      ...within(600, () => false, clock),
    }
    expect(await bringBack([web1], deps)).toMatchObject({ result: 'left-out' })
    expect(clock.now()).toBeLessThan(60_000)
  })
})
