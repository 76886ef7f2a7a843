/**
 * What the command `rollback` goes back to (semantics.md, Failure): the release asked for, or the newest of the environment whose
 * deployment succeeded, other than the one the servers are on. Pure.
 */

import { InputError } from '../errors.ts'
import { clockTime } from '../times.ts'

/** What one server knows of releases. Times are seconds since 1970, by the server's clock. */
export interface ReleasesThere {
  readonly server: string
  readonly current: string | null
  /** Of a deployment that was cut off there; null: none. */
  readonly unfinished: string | null
  /** Complete, prepared releases that lie there. */
  readonly marks: readonly { readonly id: string; readonly result: 'prepared' | 'good' | 'bad' }[]
  readonly history: readonly {
    readonly at: number
    readonly release: string | null
    readonly outcome: string
    readonly result?: string | undefined
    readonly commit: string | null
  }[]
}

export interface RollbackTarget {
  readonly id: string
  /** As it was recorded when the release came; null: not known. */
  readonly commit: string | null
  /** Why this one, for people. */
  readonly reason: string
}

/** Releases whose deployment succeeded and that went bad nowhere since, newest first. */
function succeeded(all: readonly ReleasesThere[]): readonly { readonly id: string; readonly at: number }[] {
  const bad = new Set(all.flatMap(s => s.marks.filter(m => m.result === 'bad').map(m => m.id)))
  const newest = new Map<string, number>()
  for (const { history } of all)
    for (const { release, result, at } of history)
      if (release !== null && result === 'success' && !bad.has(release))
        newest.set(release, Math.max(at, newest.get(release) ?? 0))
  return [...newest].map(([id, at]) => ({ id, at })).toSorted((a, b) => b.at - a.at)
}

/**
 * The release to leave: of those the servers run, the one that came last; several at once: the one that most run. After a deployment that
 * broke off on its first server that is the new release, though most servers still run the one before.
 */
function present(all: readonly ReleasesThere[]): string | null {
  const cutOff = all.find(s => s.unfinished !== null)
  if (cutOff !== undefined) return cutOff.unfinished
  const runs = Map.groupBy(
    all.filter(s => s.current !== null),
    s => s.current,
  )
  const cameAt = (id: string | null) =>
    Math.max(0, ...all.flatMap(s => s.history.filter(h => h.release === id).map(h => h.at)))
  const [first] = [...runs].toSorted(([a, on], [b, others]) => cameAt(b) - cameAt(a) || others.length - on.length)
  return first?.[0] ?? null
}

const commitOf = (all: readonly ReleasesThere[], id: string): string | null =>
  all.flatMap(s => s.history).findLast(h => h.release === id && h.commit !== null)?.commit ?? null

/** What each server could go back to, one line each. */
const list = (all: readonly ReleasesThere[]): string =>
  all
    .map(s => {
      const there = s.marks.filter(m => m.id !== s.current).map(m => (m.result === 'bad' ? `${m.id} (went bad)` : m.id))
      return `${s.server}: runs ${s.current ?? 'nothing'}; ${there.length === 0 ? 'has nothing else' : `has ${there.join(', ')}`}`
    })
    .join('\n')

/**
 * `all`: the selected servers; `others`: those of the environment that are not, whose history counts. `asked`: the input `release`. Throws
 * InputError with what each server has.
 */
export function rollbackTarget(
  all: readonly ReleasesThere[],
  others: readonly ReleasesThere[],
  asked: string | null,
): RollbackTarget {
  const now = present(all)
  const found = asked === null ? succeeded([...all, ...others]).find(r => r.id !== now) : { id: asked, at: null }
  const hint = `name one that every selected server has, with the input release:\n${list(all)}`
  if (found === undefined)
    throw new InputError(
      'there is nothing to go back to: no other release of this environment was deployed with success',
      { hint },
    )
  const { id } = found
  const without = all.filter(s => !s.marks.some(m => m.id === id)).map(s => s.server)
  if (without.length > 0)
    throw new InputError(
      `the release ${id} is not there, or was never prepared wholly, on ${without.join(', ')}; nothing was changed`,
      { hint },
    )
  const wentBad = all.filter(s => s.marks.some(m => m.id === id && m.result === 'bad')).map(s => s.server)
  if (wentBad.length > 0)
    throw new InputError(`the release ${id} failed on ${wentBad.join(', ')}: it is not gone back to`, { hint })
  const reason =
    found.at === null
      ? 'asked for by the input release'
      : `the newest release that was deployed with success (${clockTime(found.at)}), other than ${now ?? 'the present one'}`
  return { id, commit: commitOf([...all, ...others], id), reason }
}
