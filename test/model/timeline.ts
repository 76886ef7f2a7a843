/** Virtual time for everything in the model, and owners that can be stopped, put to sleep or killed while it goes on. */
import type { Clock } from '../../src/clock.ts'

/** Numbers from a seed (mulberry32): every latency and every tie of a case comes from here. */
export function randomFrom(seed: number): () => number {
  let a = seed >>> 0
  return () => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

export interface Timeline {
  now(): number
  /** Runs `work` in `ms`; returns what takes it back. */
  at(ms: number, work: () => void): () => void
  /** Lets all promises settle, then runs the next event; false: there is none. */
  step(): Promise<boolean>
}

export function timeline(random: () => number): Timeline {
  let now = 0
  let events: { readonly due: number; readonly tie: number; readonly work: () => void }[] = []
  return {
    now: () => now,
    at(ms, work) {
      const event = { due: now + Math.max(0, ms), tie: random(), work }
      events.push(event)
      return () => {
        events = events.filter(e => e !== event)
      }
    },
    async step() {
      await new Promise(resolve => setImmediate(resolve))
      let next = events[0]
      if (next === undefined) return false
      for (const e of events) if (e.due < next.due || (e.due === next.due && e.tie < next.tie)) next = e
      events.splice(events.indexOf(next), 1)
      now = Math.max(now, next.due)
      next.work()
      return true
    },
  }
}

const epoch = 1_800_000_000_000

/** One process that deploys, on a machine of its own: nothing reaches it while it is stopped, and nothing ever again when it is dead. */
export interface Owner {
  readonly name: string
  readonly clock: Clock
  readonly dead: () => boolean
  /** It has done something to the outside, or ended: what it does before is in its own memory. */
  begun: boolean
  /** Servers it cannot reach, and until when. */
  readonly cutOff: Map<string, number>
  stop(seconds: number): void
  /** The machine sleeps: its monotonic clock stands still, the other goes on. */
  sleep(seconds: number): void
  setWall(seconds: number): void
  kill(): void
  /** Told when it dies. */
  onDeath(work: () => void): void
  /** Hands something to the process, as soon as it can take it. */
  deliver(work: () => void): void
}

export function owner(name: string, time: Timeline): Owner {
  let until = 0
  const asleep: { readonly from: number; readonly until: number }[] = []
  let wall = 0
  let dead = false
  const mourners: (() => void)[] = []
  const now = () => {
    const t = time.now()
    return asleep.reduce((left, { from, until }) => left - Math.max(0, Math.min(t, until) - from), t)
  }
  const deliver = (work: () => void) => {
    if (dead) return
    if (time.now() < until) time.at(until - time.now(), () => deliver(work))
    else work()
  }
  const pause = (seconds: number) => {
    until = Math.max(until, time.now() + seconds * 1000)
  }
  const clock: Clock = {
    now,
    wall: () => epoch + time.now() + wall,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const due = now() + ms
        const stop = () => {
          cancel()
          reject(signal.reason)
        }
        const wake = () =>
          deliver(() => {
            if (signal.aborted) return
            if (now() < due) {
              cancel = time.at(due - now(), wake)
              return
            }
            signal.removeEventListener('abort', stop)
            resolve()
          })
        let cancel = time.at(ms, wake)
        signal.addEventListener('abort', stop, { once: true })
      }),
  }
  return {
    name,
    clock,
    dead: () => dead,
    begun: false,
    cutOff: new Map(),
    stop: pause,
    sleep(seconds) {
      // Stopped already: it sleeps from then on.
      const from = Math.max(until, time.now())
      until = from + seconds * 1000
      asleep.push({ from, until })
    },
    setWall(seconds) {
      wall += seconds * 1000
    },
    kill() {
      dead = true
      for (const work of mourners) work()
    },
    onDeath: work => void mourners.push(work),
    deliver,
  }
}
