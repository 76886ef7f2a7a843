/** What a seed stands for: which deployment is interrupted, and at which moment of it. The same seed is the same case. */

/** How far into an uninterrupted run: by its time, or by the lines of its log and some milliseconds more. Shares from 0 to 1. */
export type Moment =
  | { readonly by: 'time'; readonly share: number }
  | { readonly by: 'lines'; readonly share: number; readonly later: number }

export interface CrashCase {
  readonly seed: number
  readonly strategy: 'serial' | 'rolling' | 'parallel'
  readonly migrate: boolean
  /** The server that an operator has in maintenance meanwhile. */
  readonly operators: string | null
  /** The release that is there is deployed once more. */
  readonly again: boolean
  readonly moment: Moment
}

/** mulberry32: numbers from 0 to 1, the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Multiples of the golden ratio leave no gap: seeds in a row spread over a whole run, and a long series is uniform. */
const spread = (seed: number): number => (seed * 0.618_033_988_75) % 1

/** The last lines come at once, with the run's end, and no two runs take the same time: later moments would find it ended. */
const most = 0.95

/** A case, and the numbers of its seed that follow. `strategies` are equally likely. */
export function caseOf<S extends CrashCase['strategy']>(
  seed: number,
  servers: readonly string[],
  strategies: readonly [S, ...S[]],
): readonly [CrashCase, next: () => number] {
  const next = numbers(seed)
  const among = <T>(all: readonly T[]): T | undefined => all[Math.floor(next() * all.length)]
  const share = spread(seed) * most
  const made = {
    seed,
    strategy: among(strategies) ?? strategies[0],
    migrate: next() < 0.5,
    operators: next() < 1 / 3 ? (among(servers) ?? null) : null,
    again: next() < 0.2,
    moment: next() < 0.5 ? { by: 'time', share } : { by: 'lines', share, later: Math.floor(next() * 150) },
  } as const satisfies CrashCase
  return [made, next]
}

export const crashCase = (seed: number, servers: readonly string[]): CrashCase =>
  caseOf(seed, servers, ['serial', 'rolling', 'parallel'])[0]

/** The same case at an earlier moment: for a run that was faster than the one that was measured, and had ended. */
export const sooner = <C extends CrashCase>(c: C): C => ({ ...c, moment: { ...c.moment, share: c.moment.share * 0.9 } })

/** Runs of one kind take about the same time. The gate makes every run with a migration serial. */
export type Kind = CrashCase['strategy'] | 'serial, migration'
export const kindOf = (c: Pick<CrashCase, 'migrate' | 'strategy'>): Kind =>
  c.migrate ? 'serial, migration' : c.strategy

export const inWords = (c: CrashCase): string =>
  [
    `seed ${c.seed}: ${c.strategy}`,
    c.migrate ? 'migration' : null,
    c.operators === null ? null : `${c.operators} in maintenance`,
    c.again ? 'the same release again' : null,
    c.moment.by === 'time'
      ? `at ${c.moment.share.toFixed(3)} of its time`
      : `${c.moment.later} ms after ${c.moment.share.toFixed(3)} of its lines`,
  ]
    .filter(part => part !== null)
    .join(', ')
