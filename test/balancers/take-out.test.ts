import { describe, expect, it } from 'vitest'
import { confirmOut, takeOut } from '../../src/balancers/controller.ts'
import type { Progress } from '../../src/balancers/place.ts'
import { BalancerError } from '../../src/errors.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { type Call, draining, out, place, type ScriptedOptions, serving } from './scripted-balancer.ts'

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
/** Out after a removal, back after a restore. */
const obeys: ScriptedOptions['says'] = (_, last) => (last === 'remove' || last === 'insist' ? out : serving)

describe('taking a server out', () => {
  it('believes "nothing in flight" only after three polls in a row', async () => {
    const { at, calls, deps } = setUp()
    const inFlight = [5, 0, 0, 3, 0, 0, 0]
    const web1 = at({ says: (_, __, reads) => draining(inFlight[reads - 1] ?? 0) })
    expect(await takeOut([web1], deps)).toEqual({ result: 'drained', left: { edge: 0 }, cut: { edge: null } })
    // Seven polls, and the one before anything is changed.
    expect(calls.filter(c => c.what === 'read')).toHaveLength(8)
  })

  it('does not believe "nothing in flight" while requests still arrive between two polls', async () => {
    const { at, clock, deps } = setUp()
    const web1 = at({ says: since => draining(0, Math.min(since, 5000)) })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained' })
    expect(clock.now()).toBeGreaterThanOrEqual(5000)
  })

  it('does not believe it before the settle time has passed', async () => {
    const { at, clock, deps } = setUp()
    await takeOut([at({ says: obeys, evidence: { settleMs: 20_000, pollMs: 5000 } })], deps)
    expect(clock.now()).toBeGreaterThanOrEqual(20_000)
  })

  it('waits until the server itself is quiet', async () => {
    const { at, clock, deps } = setUp()
    const web1 = { ...at({ says: obeys }), quiet: async () => clock.now() > 3000 }
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained' })
    expect(clock.now()).toBeGreaterThan(3000)
  })

  it('watches it from the removal on, also while the balancer still counts requests', async () => {
    const { at, calls, clock, deps } = setUp()
    const asked: number[] = []
    let ended = 0
    const web1 = {
      ...at({ says: since => draining(since < 3000 ? 1 : 0) }),
      quiet: async () => asked.push(clock.now()) > 0 && calls[0]?.what === 'remove',
      rest: () => {
        ended++
      },
    }
    await takeOut([web1], deps)
    expect(asked[0]).toBe(0)
    // Three polls in a row of the balancer's; the server's own word is of a stretch of time already.
    expect(clock.now()).toBe(3400)
    expect(ended).toBe(1)
  })

  it('goes on at drain_timeout with what the server still sees, where only that is left', async () => {
    const { at, clock, deps } = setUp()
    const web1 = { ...at({ says: obeys, settings: { drainTimeout: 5 } }), quiet: async () => false }
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained', left: { edge: null } })
    expect(clock.now()).toBe(5000)
  })

  it('starts the wait when the server is drained, and reads once more after it', async () => {
    const { at, calls, clock, deps, progress } = setUp()
    const web1 = at({
      says: since => (since < 4000 ? draining(1) : out),
      settings: { waitAfterRemoving: 30 },
    })
    await takeOut([web1], deps)
    expect(clock.now()).toBe(4000 + 400 + 30_000)
    expect(calls.at(-1)).toMatchObject({ what: 'read', at: 34_400 })
    expect(progress.map(p => ('what' in p ? p.what : ''))).toEqual([
      'removed',
      'drained',
      'wait_after_removing_servers',
    ])
  })

  it('removes it again when a reload forgot the removal while it drained, long before drain_timeout', async () => {
    const { at, calls, clock, deps, writes } = setUp()
    const web1 = at({ says: () => (calls.filter(c => c.what === 'remove').length < 2 ? serving : out) })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained' })
    expect(writes()).toEqual(['remove edge', 'remove edge'])
    expect(clock.now()).toBeLessThan(5000)
  })

  it('says so when the balancer forgot the removal during the wait', async () => {
    const { at, deps, writes } = setUp()
    const web1 = at({ says: since => (since < 10_000 ? out : serving), settings: { waitAfterRemoving: 30 } })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'serving-again', balancer: 'edge' })
    expect(writes()).toEqual(['remove edge'])
  })

  it('ends at once when it is cancelled', async () => {
    const { at, deps } = setUp()
    const cancel = new AbortController()
    const web1 = at({
      says: (_, __, reads) => {
        if (reads === 2) cancel.abort(new Error('cancelled'))
        return draining(1)
      },
    })
    await expect(takeOut([web1], { ...deps, signal: cancel.signal })).rejects.toThrow('cancelled')
  })
})

describe('drain_timeout', () => {
  it('is 60 s where nothing is said, and the longest drain + 60 s where the balancer tells it', async () => {
    for (const [evidence, expected] of [
      [{}, 60_000],
      [{ longestDrainMs: 300_000 }, 360_000],
    ] as const) {
      const { at, clock, deps } = setUp()
      expect(await takeOut([at({ says: () => draining(2), evidence })], deps)).toMatchObject({ left: { edge: 2 } })
      expect(clock.now()).toBe(expected)
    }
  })

  it('takes the second step where new requests still arrive, and waits for it', async () => {
    const { at, deps, writes } = setUp()
    const web1 = at({
      can: ['insist', 'force'],
      says: (since, last) => (last === 'insist' ? (since < 600 ? draining(1) : out) : draining(1, since)),
      settings: { drainTimeout: 5 },
    })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained', left: { edge: 0 } })
    expect(writes()).toEqual(['remove edge', 'insist edge'])
  })

  it('takes that step also when the balancer does not count what still goes there', async () => {
    const { at, writes, deps } = setUp()
    const uncounted: ScriptedOptions['says'] = (_, last) =>
      last === 'insist' ? out : { state: 'draining', detail: 'sticky sessions' }
    expect(await takeOut([at({ can: ['insist', 'force'], says: uncounted })], deps)).toMatchObject({
      result: 'drained',
      left: { edge: 0 },
    })
    expect(writes()).toEqual(['remove edge', 'insist edge'])
  })

  it('believes that step no sooner than the settle time after it', async () => {
    const { at, calls, clock, deps } = setUp()
    const says: ScriptedOptions['says'] = (_, last) => (last === 'insist' ? out : serving)
    await takeOut([at({ can: ['insist'], says, evidence: { settleMs: 20_000, pollMs: 5000 } })], deps)
    expect(clock.now() - (calls.find(c => c.what === 'insist')?.at ?? 0)).toBeGreaterThanOrEqual(20_000)
  })

  it('takes that step also when the server itself still sees traffic', async () => {
    const { at, calls, writes, deps } = setUp()
    const edge = at({ can: ['insist', 'force'], says: obeys })
    const quiet = async () => calls.some(c => c.what === 'insist')
    expect(await takeOut([{ ...edge, quiet }], deps)).toMatchObject({ result: 'drained', left: { edge: 0 } })
    expect(writes()).toEqual(['remove edge', 'insist edge'])
  })

  it.each(['continue', 'force', 'fail'] as const)(
    'has failed where new requests arrive all the same, also with on_drain_timeout: %s',
    async onDrainTimeout => {
      const { at, deps, writes } = setUp()
      const web1 = at({
        can: ['insist', 'force'],
        says: (since, last) => (last === 'restore' ? serving : draining(1, since)),
        settings: { drainTimeout: 5, onDrainTimeout },
      })
      const result = await takeOut([web1], deps)
      expect(result).toMatchObject({ result: 'failed', back: { result: 'serving' } })
      expect(result.result === 'failed' && result.error.message).toMatch(/new requests/)
      expect(writes()).toEqual(['remove edge', 'insist edge', 'restore edge'])
    },
  )

  it('has failed where the server simply goes on serving and there is no second step', async () => {
    const { at, deps, writes } = setUp()
    expect(await takeOut([at({ says: () => serving })], deps)).toMatchObject({ result: 'failed' })
    expect(writes()).toEqual([...Array(4).fill('remove edge'), 'restore edge'])
  })

  it('goes on with the number of old connections by default', async () => {
    const { at, deps, progress } = setUp()
    const web1 = at({ can: ['insist', 'force'], says: () => draining(7), settings: { drainTimeout: 5 } })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained', left: { edge: 7 } })
    expect(progress).toContainEqual(expect.objectContaining({ what: 'drained', detail: '7 old connections left' }))
  })

  it('cuts old connections only where the manifest says force', async () => {
    const { at, deps, writes } = setUp()
    const web1 = at({
      can: ['insist', 'force'],
      says: (_, last) => (last === 'force' ? out : draining(7)),
      settings: { drainTimeout: 5, onDrainTimeout: 'force' },
    })
    expect(await takeOut([web1], deps)).toEqual({ result: 'drained', left: { edge: 0 }, cut: { edge: 7 } })
    expect(writes()).toEqual(['remove edge', 'force edge'])
  })

  it('fails and restores on old connections where the manifest says fail', async () => {
    const { at, deps, writes } = setUp()
    const web1 = at({
      says: (_, last) => (last === 'restore' ? serving : draining(7)),
      settings: { drainTimeout: 5, onDrainTimeout: 'fail' },
    })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'failed', back: { result: 'serving' } })
    expect(writes()).toEqual(['remove edge', 'restore edge'])
  })

  it('never takes a balancer that cannot be read for drained', async () => {
    const { at, deps } = setUp()
    const web1 = at({
      says: (_, last) => (last === 'restore' ? serving : { state: 'unknown', detail: 'two say two things' }),
      settings: { drainTimeout: 5 },
    })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'failed' })
  })

  it('lives through a balancer that cannot be read for a while', async () => {
    const { at, deps } = setUp()
    const web1 = at({
      says: obeys,
      refuses: (what, now) => (what === 'read' && now < 3000 ? new BalancerError('no answer') : undefined),
    })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'drained' })
  })
})

describe('a balancer that may not be written', () => {
  it('is left as it was: a server that was never taken out is known to serve, without waiting', async () => {
    const { at, clock, deps } = setUp()
    const web1 = at({
      says: () => serving,
      refuses: what => (what === 'read' ? undefined : new BalancerError('no rights')),
    })
    const result = await takeOut([web1], deps)
    expect(result).toMatchObject({ result: 'failed', back: { result: 'serving' } })
    expect(result.result === 'failed' && result.error.message).toBe('no rights')
    expect(clock.now()).toBeLessThan(5000)
  })

  it('and took the server out all the same is not believed to have it back', async () => {
    const { at, deps } = setUp()
    const web1 = at({
      says: () => out,
      refuses: what => (what === 'read' ? undefined : new BalancerError('no rights')),
    })
    expect(await takeOut([web1], deps)).toMatchObject({ result: 'failed', back: { result: 'unknown' } })
  })
})

describe('several balancers', () => {
  it('are removed from in the order listed and drain at the same time; the largest wait counts once', async () => {
    const { at, clock, deps, writes } = setUp()
    const slow = (name: string, wait: number) =>
      at({ name, says: since => (since < 10_000 ? draining(1) : out), settings: { waitAfterRemoving: wait } })
    expect(await takeOut([slow('edge', 5), slow('inner', 20)], deps)).toMatchObject({ result: 'drained' })
    expect(writes()).toEqual(['remove edge', 'remove inner'])
    expect(clock.now()).toBeLessThan(10_000 + 2_000 + 20_000)
    expect(clock.now()).toBeGreaterThanOrEqual(10_000 + 20_000)
  })

  it('are all restored, in reverse, when one of them cannot be written', async () => {
    const { at, calls, deps, writes } = setUp()
    const edge = at({ name: 'edge', says: obeys })
    const inner = at({
      name: 'inner',
      says: obeys,
      refuses: what => (what === 'remove' ? new BalancerError('No such server.') : undefined),
    })
    const result = await takeOut([edge, inner], deps)
    expect(result).toMatchObject({ result: 'failed', back: { result: 'serving' } })
    expect(result.result === 'failed' && result.error.message).toBe('No such server.')
    expect(writes()).toEqual(['remove edge', 'remove inner', 'restore inner', 'restore edge'])
    expect(calls.filter(c => c.what === 'read').length).toBeGreaterThanOrEqual(6)
  })

  it('do not wait for one another once one has failed', async () => {
    const { at, clock, deps } = setUp()
    const stuck = at({
      name: 'edge',
      says: (_, last) => (last === 'restore' ? serving : draining(1)),
      settings: { drainTimeout: 3000 },
    })
    const failing = at({
      name: 'inner',
      says: (_, last) => (last === 'restore' ? serving : draining(1)),
      settings: { drainTimeout: 5, onDrainTimeout: 'fail' },
    })
    expect(await takeOut([stuck, failing], deps)).toMatchObject({ result: 'failed' })
    expect(clock.now()).toBeLessThan(60_000)
  })
})

describe('the read just before the switch', () => {
  it('is out only where every balancer says so', async () => {
    const { at, deps } = setUp()
    const is = (says: ScriptedOptions['says'], name = 'edge') => at({ name, says })
    expect(await confirmOut([is(() => out), is(() => draining(0), 'inner')], deps)).toEqual({ out: true })
    expect(await confirmOut([is(() => out), is(() => serving, 'inner')], deps)).toMatchObject({
      out: false,
      balancer: 'inner',
    })
    expect(await confirmOut([is(() => ({ state: 'unhealthy', detail: 'DOWN' }))], deps)).toMatchObject({ out: false })
  })

  it('does not take a balancer that cannot be read for out', async () => {
    const { at, deps } = setUp()
    const web1 = at({ says: obeys, refuses: () => new BalancerError('no answer') })
    expect(await confirmOut([web1], deps)).toEqual({ out: false, balancer: 'edge', detail: 'no answer' })
  })
})
