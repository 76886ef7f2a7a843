/** A clock that moves by itself, to the next sleeper, whenever nothing else is left to do. An hour passes in no time. */
import type { Clock } from '../../src/clock.ts'

interface Sleeper {
  readonly due: number
  readonly wake: () => void
}

export function fakeClock(): Clock {
  let now = 0
  let sleepers: Sleeper[] = []
  const step = () => {
    const next = sleepers.toSorted((a, b) => a.due - b.due)[0]
    if (!next) return
    sleepers = sleepers.filter(s => s !== next)
    now = Math.max(now, next.due)
    next.wake()
  }
  return {
    now: () => now,
    wall: () => 1_800_000_000_000 + now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason)
        const stop = () => {
          sleepers = sleepers.filter(s => s !== sleeper)
          reject(signal.reason)
        }
        const sleeper: Sleeper = {
          due: now + ms,
          wake: () => {
            signal.removeEventListener('abort', stop)
            resolve()
          },
        }
        signal.addEventListener('abort', stop, { once: true })
        sleepers.push(sleeper)
        // After all promises that can be settled now: the work between two sleeps takes no time.
        setImmediate(step)
      }),
  }
}
