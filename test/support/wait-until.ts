/** Waits for something to become true, with a limit that only says when a test is hopeless, never how fast it has to be. */
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Polls `check` until it gives something other than false, null or undefined. Throws after `ms`, naming `what`; default 50 s, less than the
 * usual limit of a test, so that it is named.
 */
export async function waitUntil<T>(
  what: string | (() => string),
  check: () => T | Promise<T>,
  ms = 50_000,
): Promise<Exclude<T, false | null | undefined>> {
  const end = performance.now() + ms
  for (;;) {
    const found = await check()
    if (found !== false && found !== null && found !== undefined) return found as Exclude<T, false | null | undefined>
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${typeof what === 'string' ? what : what()}`)
    await sleep(20)
  }
}
