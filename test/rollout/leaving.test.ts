import { describe, expect, it } from 'vitest'
import type { LoadBalancer, Rotation } from '../../src/balancers/balancer.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import { createLeaving, type Gate } from '../../src/rollout/leaving.ts'

const clock = { now: () => 0, wall: () => 0, sleep: () => new Promise<void>(resolve => setImmediate(resolve)) }
const signal = new AbortController().signal

function edge(states: Record<string, Rotation['state']>, needed: number): Gate {
  const members = Object.keys(states).map(name => ({ name }) as Server)
  const preflight: LoadBalancer['preflight'] = async asked => ({
    rotation: Object.fromEntries(
      asked.map(s => [s.name, { state: states[s.name] ?? 'unknown', detail: '' } as Rotation]),
    ),
    warnings: [],
  })
  return { balancer: { name: 'edge', preflight } as unknown as LoadBalancer, members, needed }
}

describe('min_in_service before each removal', () => {
  it('lets a server leave while the rest suffice', async () =>
    expect(await createLeaving(clock).ask('a', [edge({ a: 'serving', b: 'serving' }, 1)], signal)).toEqual({
      ok: true,
    }))
  it('counts only what serves: an unhealthy or removed server is no help', async () => {
    for (const state of ['unhealthy', 'out', 'draining', 'warming', 'unknown'] as const)
      expect(await createLeaving(clock).ask('a', [edge({ a: 'serving', b: state }, 1)], signal)).toMatchObject({
        ok: false,
        reason: expect.stringContaining('min_in_service'),
      })
  })
  it('asks every balancer of the server', async () =>
    expect(
      await createLeaving(clock).ask(
        'a',
        [edge({ a: 'serving', b: 'serving' }, 1), edge({ a: 'serving', b: 'out' }, 1)],
        signal,
      ),
    ).toMatchObject({ ok: false }))
  it('waits while an own server is on its way, then lets the next one go', async () => {
    const leaving = createLeaving(clock)
    const gate = edge({ a: 'serving', b: 'serving', c: 'serving' }, 2)
    expect(await leaving.ask('a', [gate], signal)).toEqual({ ok: true })
    let second: unknown
    const asked = leaving.ask('b', [gate], signal).then(answer => {
      second = answer
    })
    for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
    expect(second).toBeUndefined()
    leaving.ended('a')
    await asked
    expect(second).toEqual({ ok: true })
  })
  it('reads again, when a server came back while it was read', async () => {
    const leaving = createLeaving(clock)
    const states: Record<string, Rotation['state']> = { a: 'serving', b: 'serving', c: 'serving' }
    const gate = edge(states, 2)
    expect(await leaving.ask('a', [gate], signal)).toEqual({ ok: true })
    states['a'] = 'out'
    const preflight: LoadBalancer['preflight'] = async (...asked) => {
      const answer = await gate.balancer.preflight(...asked)
      states['a'] = 'serving'
      leaving.ended('a')
      return answer
    }
    const slow = { ...gate, balancer: { ...gate.balancer, preflight } }
    expect(await leaving.ask('b', [slow], signal)).toEqual({ ok: true })
  })
  it('never lets two of three go at once although the balancer still tells both as serving', async () => {
    const leaving = createLeaving(clock)
    const gate = edge({ a: 'serving', b: 'serving' }, 1)
    let let_ = 0
    const all = ['a', 'b'].map(name => leaving.ask(name, [gate], signal).then(r => r.ok && let_++))
    for (let i = 0; i < 5; i++) await new Promise(resolve => setImmediate(resolve))
    expect(let_).toBe(1)
    leaving.ended('a')
    leaving.ended('b')
    await Promise.all(all)
  })
})

describe('a shard', () => {
  const parts =
    (own: readonly string[], others: readonly string[], quota = 1) =>
    () => ({
      own: { servers: own, quota },
      others: [{ servers: others, quota: 1 }],
    })
  /** Time that passes only by sleeping. */
  const sleeping = (each: (seconds: number) => void = () => {}) => {
    let now = 0
    return {
      now: () => now,
      wall: () => now,
      sleep: async (ms: number) => {
        now += ms
        each(now / 1000)
      },
    }
  }
  const full = { a: 'serving', b: 'out', c: 'out', d: 'serving' } as const

  it('waits while another shard has more out than its part, for that one brings them back', async () => {
    const states: Record<string, Rotation['state']> = { ...full }
    const clock = sleeping(seconds => {
      if (seconds === 200) states['b'] = 'warming'
      if (seconds === 400) states['b'] = 'serving'
    })
    expect(await createLeaving(clock, parts(['a', 'd'], ['b', 'c'])).ask('a', [edge(states, 2)], signal)).toEqual({
      ok: true,
    })
    expect(clock.now() / 1000).toBe(400)
  })
  it('says once that it waits, for what and how long, and once that it goes on', async () => {
    const states: Record<string, Rotation['state']> = { ...full }
    const said: string[] = []
    const clock = sleeping(seconds => {
      if (seconds > 40) states['b'] = 'serving'
    })
    const leaving = createLeaving(clock, parts(['a', 'd'], ['b', 'c'], 2), text => void said.push(text))
    const one = (name: string) => leaving.ask(name, [edge(states, 2)], signal).then(() => leaving.ended(name))
    await Promise.all(['a', 'd'].map(one))
    expect(said).toEqual([
      'a waits for other shards, at most 300 s from the last change at the balancer (edge: without a 1 would be in service, 2 have to be; b is out, c is out (min_in_service))',
      expect.stringMatching(/^[ad] goes on after \d\d s$/),
    ])
  })
  it('that gives up has said what it waited for', async () => {
    const said: string[] = []
    const leaving = createLeaving(sleeping(), parts(['a', 'd'], ['b', 'c']), text => void said.push(text))
    for (const name of ['a', 'd']) expect(await leaving.ask(name, [edge(full, 2)], signal)).toMatchObject({ ok: false })
    expect(said).toEqual([expect.stringMatching(/^a waits for other shards/)])
  })
  it('does not call it waiting while its own servers are on their way', async () => {
    const said: string[] = []
    const states = { a: 'serving', b: 'serving', c: 'serving', d: 'serving' } as const
    const clock = sleeping(seconds => {
      if (seconds === 20) leaving.ended('a')
    })
    const leaving = createLeaving(clock, parts(['a', 'd'], ['b', 'c']), text => void said.push(text))
    for (const name of ['a', 'd']) await leaving.ask(name, [edge(states, 2)], signal)
    expect([clock.now() / 1000, said]).toEqual([20, []])
  })
  it('waits no longer than five minutes for a change, and once for all of its servers', async () => {
    const clock = sleeping()
    const leaving = createLeaving(clock, parts(['a', 'd'], ['b', 'c']))
    expect(await leaving.ask('a', [edge(full, 2)], signal)).toMatchObject({ ok: false })
    expect(clock.now() / 1000).toBe(300)
    expect(await leaving.ask('d', [edge(full, 2)], signal)).toMatchObject({ ok: false })
    expect(clock.now() / 1000).toBe(300)
  })
  it('without a part is refused at once', async () => {
    const clock = sleeping()
    const leaving = createLeaving(clock, parts(['a', 'd'], ['b', 'c'], 0))
    expect(await leaving.ask('a', [edge({ ...full, b: 'serving' }, 2)], signal)).toMatchObject({
      ok: false,
      reason: expect.stringContaining('one run without the input shard'),
    })
    expect(clock.now()).toBe(0)
  })
})
