/** What a seed stands for when a run is cancelled: the deployment and its moment, and how the runner ends it. */
import { type CrashCase, caseOf, inWords } from './crash-case.ts'

export type End =
  /** SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL. */
  | { readonly how: 'cancelled' }
  /** SIGKILL so many milliseconds after SIGINT. */
  | { readonly how: 'killed'; readonly afterMs: number }

export interface CancelCase extends CrashCase {
  readonly end: End
  /** When post is ended as well, in milliseconds from its start, and `recover` has to follow; null: post is left alone. */
  readonly postEndsMs: number | null
}

/** Longer than post takes to connect and begin; most have gone back to the release before by then, too. */
const postMs = 2_500

export function cancelCase(seed: number, servers: readonly string[]): CancelCase {
  // Serial and rolling promise something to the users; parallel is there for what it leaves.
  const [made, next] = caseOf(seed, servers, ['serial', 'rolling', 'serial', 'parallel'])
  const end: End = next() < 0.6 ? { how: 'cancelled' } : { how: 'killed', afterMs: Math.floor(next() ** 2 * 400) }
  return { ...made, end, postEndsMs: next() < 0.25 ? Math.floor(next() * postMs) : null }
}

export const cancelInWords = (c: CancelCase): string =>
  [
    inWords(c),
    c.end.how === 'cancelled' ? 'cancelled' : `SIGKILL ${c.end.afterMs} ms after SIGINT`,
    c.postEndsMs === null ? null : `post ended after ${c.postEndsMs} ms`,
  ]
    .filter(part => part !== null)
    .join(', ')
