/** Which of the reports that were found make up one run: of each shard the newest. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { InputError } from '../errors.ts'
import { type Shard, shardName } from '../plan/shards.ts'
import { headOf } from './markdown.ts'
import type { Report } from './merge.ts'
import { shardList } from './merge-result.ts'
import { nameList } from './name-list.ts'

export interface FoundReport {
  /** Where it was found, for people. */
  readonly file: string
  readonly report: Report
}

export interface Chosen {
  readonly reports: readonly [Report, ...Report[]]
  /** What was left aside, in sentences. */
  readonly notices: readonly string[]
  /** Where none of them is of the present attempt; null: one is, or there was no other. */
  readonly warning: string | null
}

const attemptOf = ({ report }: FoundReport) => Number(report.attempt ?? 0)
const newestFirst = (a: FoundReport, b: FoundReport) =>
  attemptOf(b) - attemptOf(a) || (b.report.startedAt ?? 0) - (a.report.startedAt ?? 0)

/** What is the same in all reports of one run; null: this report does not say. */
const ofRun: Readonly<Record<string, (report: Report) => string | null>> = {
  run: r => r.runUrl ?? '(not on GitHub)',
  command: r => r.command,
  manifest: r => r.manifest,
  application: r => r.subject,
}
/** What another attempt may have changed. */
const ofAttempt: Readonly<Record<string, (report: Report) => string | null>> = {
  'number of shards': r => String(r.shard.of),
  'selected servers': r => r.selection.join(', ') || '(none)',
}

const hint =
  'give the command report a directory that holds the reports of one run only: clean it before, and download with a pattern'

function refuseMixed(found: readonly FoundReport[], facts: typeof ofRun): void {
  for (const [what, factOf] of Object.entries(facts)) {
    const kinds = Map.groupBy(
      found.filter(f => factOf(f.report) !== null),
      f => factOf(f.report),
    )
    if (kinds.size < 2) continue
    const each = [...kinds].map(
      ([value, some]) =>
        `${headOf(value ?? '', 200)}: ${nameList(
          some.map(f => f.file),
          5,
        )}`,
    )
    throw new InputError(`these reports are not of one run; they differ in the ${what}:\n${each.join('\n')}`, { hint })
  }
}

/** null: it has none; undefined: it did not come to a plan. */
const releaseOf = ({ report }: FoundReport) => (report.plan === null ? undefined : (report.plan.release?.id ?? null))

/** Made of the same deployment as the newest attempt: its shards still count where they were not run again. */
function goesWith(newest: FoundReport, last: readonly FoundReport[]): (f: FoundReport) => boolean {
  // Different builds in one attempt are a failure that merge tells of; all of them are of this deployment.
  const releases = new Set(last.map(releaseOf).filter(release => release !== undefined))
  return f => {
    const release = releaseOf(f)
    return (
      f.report.shard.of === newest.report.shard.of &&
      isDeepStrictEqual(f.report.selection, newest.report.selection) &&
      (release === undefined || releases.size === 0 || releases.has(release))
    )
  }
}

/** `present`: the attempt that asks; null: not on GitHub. Throws InputError for none, and for reports of more than one run. */
export function chooseReports(found: readonly FoundReport[], present: number | null = null): Chosen {
  const sorted = found.toSorted(newestFirst)
  const [newest] = sorted
  if (newest === undefined) throw new InputError('no report of a shard was found')
  refuseMixed(sorted, ofRun)
  const last = sorted.filter(f => attemptOf(f) === attemptOf(newest))
  refuseMixed(last, ofAttempt)
  const fits = goesWith(newest, last)
  const [of, other] = [sorted.filter(fits), sorted.filter(f => !fits(f))]
  const notices = other.map(
    f => `${f.file} does not count: attempt ${attemptOf(f)} was of another release, or divided in another way`,
  )
  const byShard = Map.groupBy(of, f => f.report.shard.index)
  const chosen: FoundReport[] = []
  for (const [first, ...older] of byShard.values()) {
    if (first === undefined) continue
    chosen.push(first)
    for (const f of older) notices.push(laidAside(first, f))
  }
  const kept = chosen.filter(f => attemptOf(f) < attemptOf(newest)).map(f => f.report.shard)
  if (kept.length > 0) notices.push(notAgain(kept, attemptOf(newest)))
  const [first = newest, ...more] = chosen
  return {
    reports: [first.report, ...more.map(f => f.report)],
    notices,
    warning: present === null || present < 2 ? null : noneOf(present, chosen),
  }
}

const laidAside = (first: FoundReport, older: FoundReport): string =>
  attemptOf(first) === attemptOf(older)
    ? `${shardName(first.report.shard)} has two reports of the same attempt; the newer one counts (${first.file}), not ${older.file}`
    : `${shardName(first.report.shard)} was run again: attempt ${attemptOf(first)} counts (${first.file}), not attempt ${attemptOf(older)} (${older.file})`

const notAgain = (shards: readonly Shard[], newest: number): string =>
  `${shardList(shards)} left no report in attempt ${newest}: what an earlier attempt reported counts`

/** Rightly so where only the job that puts reports together was run again; whether it was, no report says. */
function noneOf(present: number, chosen: readonly FoundReport[]): string | null {
  const attempts = [...new Set(chosen.map(attemptOf))].toSorted((a, b) => a - b)
  if (attempts.includes(present)) return null
  const those = `${attempts.length === 1 ? 'attempt' : 'attempts'} ${attempts.join(', ')}`
  return `no shard left a report in attempt ${present}: what follows is of ${those}`
}
