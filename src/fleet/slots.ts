/** A limit on how many do something at the same time; who waits longest comes first. */

export interface Slots {
  /** Resolves with what gives the slot back, to be called once. Rejects with the signal's reason. */
  take(signal?: AbortSignal): Promise<() => void>
  /** How many are taken. */
  taken(): number
  /** Does it in a slot. */
  run<T>(work: () => Promise<T>): Promise<T>
}

export function slots(limit: number): Slots {
  let taken = 0
  const waiting = new Set<() => void>()

  const giveBack = () => {
    let done = false
    return () => {
      if (done) return
      done = true
      taken--
      const [next] = waiting
      next?.()
    }
  }

  const take = (signal?: AbortSignal) =>
    new Promise<() => void>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = () => {
        waiting.delete(enter)
        reject(signal?.reason)
      }
      const enter = () => {
        waiting.delete(enter)
        signal?.removeEventListener('abort', stop)
        taken++
        resolve(giveBack())
      }
      if (taken < limit) return enter()
      waiting.add(enter)
      signal?.addEventListener('abort', stop, { once: true })
    })

  return {
    take,
    taken: () => taken,
    async run(work) {
      const leave = await take()
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
