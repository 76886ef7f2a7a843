/** Things that are opened once and shared by all who ask: each by its name, opened again only when it is gone. */

export interface Pool<T> {
  /**
   * What is open under `name`, else what `open` makes; who asks meanwhile waits for the same attempt. The attempt goes on while
   * at least one of them still wants it. Rejects with the signal's reason, and with the attempt's error.
   */
  get(name: string, open: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T>
  /** Ends attempts with this reason, and closes what is open. */
  clear(reason: unknown): void
}

interface Entry<T> {
  readonly attempt: Promise<T>
  readonly abort: AbortController
  value: T | undefined
  waiting: number
}

export interface Kind<T> {
  isGone(value: T): boolean
  close(value: T): void
}

export function pool<T extends object>(kind: Kind<T>): Pool<T> {
  const entries = new Map<string, Entry<T>>()

  function begin(name: string, open: (signal: AbortSignal) => Promise<T>): Entry<T> {
    const abort = new AbortController()
    const attempt = open(abort.signal)
    const entry: Entry<T> = { attempt, abort, value: undefined, waiting: 0 }
    entries.set(name, entry)
    attempt.then(
      value => {
        entry.value = value
        if (abort.signal.aborted) kind.close(value) // made all the same, and nobody knows of it
      },
      () => {
        if (entries.get(name) === entry) entries.delete(name)
      },
    )
    return entry
  }

  function leave(name: string, entry: Entry<T>, reason: unknown): void {
    if (entry.waiting > 0 || entry.value !== undefined) return
    // Forgotten first: who asks from now on gets an attempt of its own.
    if (entries.get(name) === entry) entries.delete(name)
    entry.abort.abort(reason)
  }

  return {
    get(name, open, signal) {
      if (signal.aborted) return Promise.reject(signal.reason)
      let entry = entries.get(name)
      if (entry?.value !== undefined && kind.isGone(entry.value)) entry = undefined
      const mine = entry ?? begin(name, open)
      mine.waiting++
      return new Promise((resolve, reject) => {
        const stop = () => {
          mine.waiting--
          reject(signal.reason)
          leave(name, mine, signal.reason)
        }
        signal.addEventListener('abort', stop, { once: true })
        mine.attempt.then(resolve, reject).finally(() => {
          if (!signal.aborted) mine.waiting--
          signal.removeEventListener('abort', stop)
        })
      })
    },
    clear(reason) {
      for (const entry of entries.values()) {
        if (entry.value === undefined) entry.abort.abort(reason)
        else kind.close(entry.value)
      }
      entries.clear()
    },
  }
}
