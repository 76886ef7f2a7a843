/**
 * FAKE of what stands behind ELB's API: who is registered since when, health, draining, and where requests really go, which lags behind
 * what the API says (aws-load-balancer-controller#2366: "draining" after 2 s, last new request after 19 s).
 */
import type { Clock } from '../../../src/clock.ts'

export interface FakeTarget {
  readonly id: string
  readonly port?: number
  readonly zone?: string
}

export interface FakeMachine {
  readonly name: string
  /** Where a classic load balancer sends requests to. */
  readonly port: number
}

export interface ListOptions {
  readonly name: string
  readonly type?: 'instance' | 'ip' | 'lambda'
  /** Of targets that are registered without one. */
  readonly port?: number
  readonly delaySeconds?: number
  readonly draining?: boolean
  readonly intervalSeconds?: number
  readonly threshold?: number
  readonly slowStartSeconds?: number
  /** Whether a listener leads to it; default true. */
  readonly used?: boolean
  readonly targets: readonly FakeTarget[]
}

export interface Listed {
  readonly target: FakeTarget
  readonly state: 'initial' | 'healthy' | 'unhealthy' | 'draining' | 'unused'
}

interface Entry {
  readonly target: FakeTarget
  readonly since: number
  left?: number
  /** Drained, or registered anew. */
  gone?: number
}

export interface ModelFacts {
  readonly clock: Pick<Clock, 'now'>
  readonly isUp: (target: FakeTarget) => boolean
  readonly inFlight: (target: FakeTarget) => number
  /** New requests still arrive for so long after a removal, in milliseconds. */
  readonly lagMs: number
}

/** The least a drain takes, in milliseconds. */
const leastDrainMs = 2000

export const same = (one: FakeTarget, other: FakeTarget): boolean => one.id === other.id && one.port === other.port

export type FakeList = ReturnType<typeof fakeList>

export function fakeList(options: ListOptions, { clock, isUp, inFlight, lagMs }: ModelFacts) {
  const { delaySeconds = 300, draining = true, intervalSeconds = 5, threshold = 2, used = true } = options
  const begun = clock.now()
  let entries: Entry[] = options.targets.map(target => ({ target, since: begun - 3_600_000 }))

  /** What ended by itself until now. */
  function pass(): void {
    const now = clock.now()
    for (const entry of entries)
      if (entry.left !== undefined && entry.gone === undefined) {
        const end = entry.left + (draining ? delaySeconds * 1000 : 0)
        if (now >= end) entry.gone = end
        else if (now >= entry.left + leastDrainMs && inFlight(entry.target) === 0) entry.gone = now
      }
  }

  const stateOf = (entry: Entry, at: number): Listed['state'] => {
    if (entry.left !== undefined && entry.left <= at) return 'draining'
    if (!used) return 'unused'
    if (!isUp(entry.target)) return 'unhealthy'
    return at < entry.since + intervalSeconds * threshold * 1000 ? 'initial' : 'healthy'
  }
  const thereAt = (at: number) => entries.filter(e => e.since <= at && (e.gone === undefined || e.gone > at))

  return {
    options: { ...options, delaySeconds, draining, intervalSeconds, threshold, used },
    /** `agoMs`: as an answer that is old would have it. */
    list(agoMs = 0): readonly Listed[] {
      pass()
      const at = clock.now() - agoMs
      return thereAt(at).map(entry => ({ target: entry.target, state: stateOf(entry, at) }))
    },
    register(target: FakeTarget): void {
      pass()
      const now = clock.now()
      const current = entries.find(e => e.gone === undefined && same(e.target, target))
      if (current && current.left === undefined) return
      if (current) current.gone = now
      entries = [...entries, { target, since: now }]
    },
    /** One that is not registered like that is no error, and nothing happens. */
    deregister(target: FakeTarget): void {
      pass()
      const current = entries.find(e => e.gone === undefined && e.left === undefined && same(e.target, target))
      if (current) current.left = clock.now()
    },
    /** Who gets new requests at this moment. */
    routes(): readonly FakeTarget[] {
      pass()
      const now = clock.now()
      const lagging = entries.filter(e => e.left !== undefined && now < e.left + lagMs && isUp(e.target))
      const healthy = thereAt(now).filter(e => stateOf(e, now) === 'healthy')
      const all = [...healthy, ...lagging].map(e => e.target)
      return all.filter((t, i) => all.findIndex(o => same(o, t)) === i)
    },
    /** Gone at once, as if somebody had removed it long ago. */
    forget(target: FakeTarget): void {
      entries = entries.filter(e => !same(e.target, target))
    },
    /** As when the test began. */
    reset(): void {
      const now = clock.now()
      entries = options.targets.map(target => ({ target, since: now - 3_600_000 }))
    },
  }
}
