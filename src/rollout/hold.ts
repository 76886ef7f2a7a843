/**
 * Between two stages the servers that are done must stay good (semantics.md, Strategies): each is asked again and again; three bad answers
 * in a row, and it has failed. Knows nothing of servers or balancers.
 */
import type { Clock } from '../clock.ts'

export const badInARow = 3

/** Milliseconds between two rounds of questions: many servers are asked less often. */
const pauseMs = (servers: number): number => Math.min(10_000, Math.max(1_000, servers * 50))

export interface Held {
  readonly server: string
  /** What is wrong with it now, in words; null: nothing. */
  ask(): Promise<string | null>
}

/**
 * Asks for so many seconds, and on while an answer was bad that may have been a coincidence. `failed` is called at once, with the last
 * answer; the server is not asked again. Ends early when `over` says so. Throws what `ask` throws, and the signal's reason.
 */
export async function hold(
  seconds: number,
  servers: readonly Held[],
  failed: (server: string, why: string) => Promise<void>,
  over: () => boolean,
  clock: Clock,
  signal: AbortSignal,
): Promise<void> {
  const until = clock.now() + seconds * 1000
  const bad = new Map<string, number>()
  let asked = [...servers]
  for (;;) {
    const answers = await Promise.all(asked.map(async one => ({ one, wrong: await one.ask() })))
    for (const { one, wrong } of answers) {
      const times = wrong === null ? 0 : (bad.get(one.server) ?? 0) + 1
      bad.set(one.server, times)
      if (wrong === null || times < badInARow) continue
      asked = asked.filter(other => other !== one)
      bad.delete(one.server)
      await failed(one.server, wrong)
    }
    const uncertain = [...bad.values()].some(times => times > 0)
    if (over() || asked.length === 0 || (clock.now() >= until && !uncertain)) return
    const pause = pauseMs(asked.length)
    await clock.sleep(uncertain ? pause : Math.min(pause, Math.max(1, until - clock.now())), signal)
  }
}
