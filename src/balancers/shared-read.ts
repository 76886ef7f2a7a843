/** One call for all servers of a group: who asks at about the same time gets the same answer, and nobody one from before a write. */
import type { Clock } from '../clock.ts'

/** Milliseconds an answer is good for: at most 60 calls a minute, however many servers are polled. */
const freshMs = 1000

export interface SharedRead<T> {
  /** Throws what the call throws, or the signal's reason. */
  get(signal: AbortSignal): Promise<T>
  /** To be said when a write begins and when it has ended: what was read before is not given to anyone any more. */
  outdated(): void
  close(): void
}

/** `call` gets a signal of its own: one asker that is cancelled takes nobody else's answer away. */
export function sharedRead<T>(call: (signal: AbortSignal) => Promise<T>, clock: Pick<Clock, 'now'>): SharedRead<T> {
  const closed = new AbortController()
  let current: { readonly answer: Promise<T>; readonly at: number } | undefined

  function begin(): Promise<T> {
    const answer = call(closed.signal)
    const begun = { answer, at: clock.now() }
    current = begun
    // A failure is told to those who wait for it, and to nobody who asks later.
    answer.catch(() => {
      if (current === begun) current = undefined
    })
    return answer
  }

  return {
    async get(signal) {
      signal.throwIfAborted()
      const fresh = current !== undefined && clock.now() - current.at < freshMs
      const answer = fresh && current !== undefined ? current.answer : begin()
      let stop = () => {}
      const cancelled = new Promise<never>((_, reject) => {
        stop = () => reject(signal.reason)
        signal.addEventListener('abort', stop, { once: true })
      })
      try {
        return await Promise.race([answer, cancelled])
      } finally {
        signal.removeEventListener('abort', stop)
      }
    },
    outdated() {
      current = undefined
    },
    close() {
      current = undefined
      closed.abort(new Error('the balancer was closed'))
    },
  }
}
