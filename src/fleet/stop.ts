/** Why a script has to be stopped before it ends by itself. */
import { finished, type Readable } from 'node:stream'
import type { RunOptions } from './connection.ts'
import type { Link } from './session.ts'

export type Stop =
  | { readonly stop: 'timeout' | 'cancelled' | 'lost' }
  | { readonly stop: 'input'; readonly cause: NonNullable<unknown> }

export interface Stopping {
  readonly happened: Promise<Stop>
  /** Forgets timer and listeners: signals live longer than scripts. */
  clear(): void
}

/** setTimeout takes 32 bits of milliseconds. */
const longestTimer = 2 ** 31 - 1

/** Watches timeout, signal, connection and input from now on; the input may fail while its script waits for a session. */
export function stopping(link: Link, input: Readable | null, { signal, timeout }: RunOptions): Stopping {
  const undo: (() => void)[] = []
  const happened = new Promise<Stop>(resolve => {
    const on = (source: AbortSignal, stop: 'cancelled' | 'lost') => {
      const listener = () => resolve({ stop })
      if (source.aborted) return listener()
      source.addEventListener('abort', listener, { once: true })
      undo.push(() => source.removeEventListener('abort', listener))
    }
    on(link.closed, 'lost')
    on(signal, 'cancelled')
    const timer = setTimeout(() => resolve({ stop: 'timeout' }), Math.min(timeout * 1000, longestTimer))
    undo.push(() => clearTimeout(timer))
    if (input === null) return
    const forget = finished(input, { writable: false }, cause => cause && resolve({ stop: 'input', cause }))
    undo.push(forget, () => input.on('error', () => undefined))
  })
  return {
    happened,
    clear: () => {
      for (const step of undo) step()
    },
  }
}
