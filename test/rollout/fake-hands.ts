/** A server and its balancer in memory: what a way does to the outside, with any of it failing on demand. */
import type { Receipt } from '../../src/balancers/balancer.ts'
import type { Found, Hands, PutBack } from '../../src/rollout/hands-contract.ts'

export interface World {
  current: string | null
  running: string | null
  rotation: 'in' | 'out'
  journal: string[]
  stages: string[]
  calls: string[]
}

export interface Faults {
  look?: () => Error
  mayLeave?: string
  takeOut?: (time: number) => string | undefined
  servesAgain?: (time: number) => boolean
  switchTo?: (release: string, time: number) => { changed: boolean; error: unknown } | undefined
  activate?: (release: string | null, time: number) => Error | undefined
  verify?: (release: string | null, time: number) => Error | undefined
  putBack?: (time: number) => Exclude<PutBack, { state: 'serving' }> | Error | undefined
  stopped?: () => boolean
  cancelled?: () => boolean
}

export const receipt: Receipt = { balancer: 'edge', server: 'web1', before: 'serving', data: {} }

export function fakeHands(
  faults: Faults = {},
  found: Found = { serving: [receipt], ours: [], operators: [] },
): { hands: Hands; world: World } {
  const world: World = {
    current: 'old',
    running: 'old',
    rotation: found.serving.length > 0 ? 'in' : 'out',
    journal: [],
    stages: [],
    calls: [],
  }
  const times = new Map<string, number>()
  const time = (call: string): number => {
    world.calls.push(call)
    const n = (times.get(call) ?? 0) + 1
    times.set(call, n)
    return n
  }
  const putBack = (n: number): PutBack => {
    const result = faults.putBack?.(n)
    if (result instanceof Error) throw result
    if (result !== undefined) return result
    world.rotation = 'in'
    return { state: 'serving' }
  }
  const hands: Hands = {
    async look() {
      time('look')
      if (faults.look) throw faults.look()
      return found
    },
    async mayLeave() {
      time('mayLeave')
      return faults.mayLeave === undefined ? { ok: true } : { ok: false, reason: faults.mayLeave }
    },
    async takeOut() {
      const n = time('takeOut')
      const reason = faults.takeOut?.(n)
      if (reason !== undefined) {
        world.calls.push('putBack')
        return { is: 'failed', error: new Error(reason), back: putBack(1) }
      }
      if (faults.servesAgain?.(n)) return { is: 'serving again', reason: 'a reload' }
      world.rotation = 'out'
      return { is: 'out' }
    },
    async putBack() {
      const n = time('putBack')
      return putBack(n)
    },
    async writeBack() {
      time('writeBack')
      world.rotation = 'in'
    },
    async switchTo(release) {
      const n = time('switchTo')
      const result = faults.switchTo?.(release, n)
      if (result === undefined || result.changed) world.current = release
      return result ?? { changed: true }
    },
    async activate(release) {
      const n = time('activate')
      const error = faults.activate?.(release, n)
      if (error) throw error
      world.running = release
    },
    async verify(release) {
      const n = time('verify')
      const error = faults.verify?.(release, n)
      if (error) throw error
      return 'verified'
    },
    assertHeld: () => {},
    stage: stage => world.stages.push(stage),
    note: async what => void world.journal.push(what),
    stopped: () => faults.stopped?.() ?? false,
    cancelled: () => faults.cancelled?.() ?? false,
  }
  return { hands, world }
}
