/** How a run ended by how its shards did, and what they say went wrong. Pure. */
import { type Shard, shardName, shardServers } from '../plan/shards.ts'
import type { Result } from './events.ts'
import { nameList, withoutName } from './name-list.ts'
import type { ReportState, ShardReport } from './state.ts'

/** What is wrong besides what the shards say themselves. */
export interface Fault {
  readonly message: string
  readonly hint?: string
}

type Ended = Pick<ReportState, 'result' | 'attempt' | 'startedAt' | 'lastAt' | 'error'>

/** All shards, in order; `reports` by the shard's number. `isDenied`: its report says that it did well, and of its servers otherwise. */
export const shardReports = <R extends Ended>(
  of: number,
  reports: ReadonlyMap<number, R>,
  isDenied: (report: R) => boolean,
): readonly ShardReport[] =>
  Array.from({ length: of }, (_, i): ShardReport => {
    const shard = { index: i + 1, of }
    const report = reports.get(shard.index)
    if (report === undefined) return { ...shard, result: 'missing', attempt: null, seconds: null }
    const { result, attempt, startedAt, lastAt } = report
    // Clocks go back, and times can be made up.
    const seconds = Math.max(0, (lastAt ?? 0) - (startedAt ?? 0)) / 1000
    return { ...shard, result: isDenied(report) ? 'failure' : (result ?? 'unfinished'), attempt, seconds }
  })

/** One that was cancelled is no failure; one whose end nobody heard is. */
export function resultOf(shards: readonly ShardReport[]): Result {
  const all = new Set(shards.map(s => s.result))
  if (all.has('failure') || all.has('missing') || all.has('unfinished')) return 'failure'
  if (all.has('cancelled')) return 'cancelled'
  return all.has('success') ? 'success' : 'skipped'
}

/** `shard 3 of 8`, `shards [3-5], 8 of 8` */
export function shardList(shards: readonly Shard[]): string {
  const [first, ...more] = shards
  if (first === undefined) return ''
  return more.length === 0 ? shardName(first) : `shards ${nameList(shards.map(s => String(s.index)))} of ${first.of}`
}

/** A sentence of a shard without the shard: those that say the same are told of together. */
function withoutShard(text: string, shard: Shard): string {
  const name = shardName(shard)
  return withoutName(text, name).replaceAll(` (${name})`, '').replaceAll(name, 'a shard')
}

const look = 'look at the log of that job; the output retry has the servers that were not done'

/** Each sentence once, with the shards that say it; null: all went well. */
export function errorOf(
  shards: readonly ShardReport[],
  reports: ReadonlyMap<number, Ended>,
  selection: readonly string[],
  faults: readonly Fault[],
): ReportState['error'] {
  const missing = shards.filter(s => s.result === 'missing')
  const unfinished = shards.filter(s => s.result === 'unfinished')
  const unknown = new Set(missing.flatMap(s => shardServers(selection, s)))
  const names = nameList(selection.filter(name => unknown.has(name)))
  const errors = shards.flatMap(shard => {
    const error = reports.get(shard.index)?.error
    return error ? [{ shard, error }] : []
  })
  const alike = Map.groupBy(errors, ({ shard, error }) =>
    JSON.stringify([withoutShard(error.message, shard), error.hint ?? null]),
  )
  const said = [...alike.values()]
  const texts = [
    ...faults.map(fault => fault.message),
    ...(missing.length > 0 ? [`${shardList(missing)} left no report: what became of ${names} is not known`] : []),
    ...(unfinished.length > 0 ? [`${shardList(unfinished)} did not come to an end: the report stops before it`] : []),
    ...said.flatMap(([one, ...more]) => {
      if (one === undefined) return []
      const { shard, error } = one
      const text = more.length > 0 ? withoutShard(error.message, shard) : withoutName(error.message, shardName(shard))
      return [`${shardList([shard, ...more.map(s => s.shard)])}: ${text}`]
    }),
  ]
  const hints = [
    ...faults.flatMap(fault => fault.hint ?? []),
    ...(missing.length + unfinished.length > 0 ? [look] : []),
    ...said.flatMap(some => some[0]?.error.hint ?? []),
  ]
  if (texts.length === 0) return null
  return { message: texts.join('\n'), ...(hints.length === 0 ? {} : { hint: [...new Set(hints)].join('\n') }) }
}
