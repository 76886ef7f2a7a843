/** One after the other, by key. For lists that can only be written as a whole: two writers in this process would lose each other's changes. */

const last = new Map<string, Promise<unknown>>()

/** Runs `work` when all that was given earlier for this key, anywhere in this process, has ended. Throws what it throws, or the signal's reason. */
export async function oneAtATime<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  const before = last.get(key) ?? Promise.resolve()
  const own = before.then(() => {
    signal.throwIfAborted()
    return work()
  })
  // Those behind wait for its end, not for its success.
  const ended = own.then(
    () => undefined,
    () => undefined,
  )
  last.set(key, ended)
  try {
    return await own
  } finally {
    if (last.get(key) === ended) last.delete(key)
  }
}
