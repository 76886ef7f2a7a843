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
  release: r => r.plan?.release?.id ?? null,
  'selected servers': r => r.selection.join(', '),
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

/** Made of the same deployment as the newest attempt: its shards still count where they were not run again. */
const goesWith = (newest: Report) => (report: Report) =>
  report.shard.of === newest.shard.of &&
  isDeepStrictEqual(report.selection, newest.selection) &&
  (report.plan?.release === undefined || newest.plan?.release === undefined
    ? true
    : report.plan.release?.id === newest.plan.release?.id)

/** Throws InputError for none, and for reports of more than one run. */
export function chooseReports(found: readonly FoundReport[]): Chosen {
  const sorted = found.toSorted(newestFirst)
  const [newest] = sorted
  if (newest === undefined) throw new InputError('no report of a shard was found')
  refuseMixed(sorted, ofRun)
  const last = sorted.filter(f => attemptOf(f) === attemptOf(newest))
  refuseMixed(last, ofAttempt)
  const fits = goesWith(last.find(f => f.report.plan !== null)?.report ?? newest.report)
  const [of, other] = [sorted.filter(f => fits(f.report)), sorted.filter(f => !fits(f.report))]
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
  return { reports: [first.report, ...more.map(f => f.report)], notices }
}

const laidAside = (first: FoundReport, older: FoundReport): string =>
  attemptOf(first) === attemptOf(older)
    ? `${shardName(first.report.shard)} has two reports of the same attempt; the newer one counts (${first.file}), not ${older.file}`
    : `${shardName(first.report.shard)} was run again: attempt ${attemptOf(first)} counts (${first.file}), not attempt ${attemptOf(older)} (${older.file})`

const notAgain = (shards: readonly Shard[], newest: number): string =>
  `${shardList(shards)} ${shards.length === 1 ? 'was' : 'were'} not run again in attempt ${newest}: what an earlier attempt reported counts`
