/** How each shard of a fan-out ended, for the log and the summary of the report that was put together. */
import { shardServers } from '../plan/shards.ts'
import { duration } from './durations.ts'
import { table } from './markdown.ts'
import { count } from './name-list.ts'
import { counts, resultIcon } from './outcome-words.ts'
import type { ReportState, ShardReport } from './state.ts'
import { columns } from './text-columns.ts'

const words = {
  success: 'success',
  failure: 'failure',
  cancelled: 'cancelled',
  skipped: 'skipped',
  unfinished: 'did not end',
  missing: 'no report',
} as const satisfies Record<ShardReport['result'], string>

const icons = { ...resultIcon, unfinished: '❌', missing: '❓' } as const satisfies Record<
  ShardReport['result'],
  string
>

const isGood = ({ result }: ShardReport) => result === 'success' || result === 'skipped'

/** Its servers, by what became of them. */
function serversOf(state: ReportState, shard: ShardReport): string {
  const own = shardServers(state.selection ?? [], shard)
  const servers = own.flatMap(name => {
    const server = state.servers.get(name)
    return server === undefined ? [] : [[name, server] as const]
  })
  return shard.result === 'missing' ? count(own.length, 'server') : counts({ servers: new Map(servers) })
}

const cells = (state: ReportState, shard: ShardReport) => [
  serversOf(state, shard),
  shard.seconds === null ? '' : duration(shard.seconds),
  shard.attempt === null || shard.attempt === '1' ? '' : `attempt ${shard.attempt}`,
]

/** A line for each shard: plain text, not sanitised yet. */
export function shardLines(state: ReportState): readonly { readonly text: string; readonly good: boolean }[] {
  const shards = state.shards ?? []
  const texts = columns(shards.map(s => [`shard ${s.index}/${s.of}`, words[s.result], ...cells(state, s)]))
  return shards.map((shard, i) => ({ text: texts[i] ?? '', good: isGood(shard) }))
}

/** Markdown; empty where nothing was put together. At most 256 rows. */
export function shardTable(state: ReportState): string {
  if (state.shards === null) return ''
  const rows = state.shards.map(s => [
    `${s.index}/${s.of}`,
    `${icons[s.result]} ${words[s.result]}`,
    ...cells(state, s),
  ])
  // Attempts are worth a column only where something was run again.
  const again = rows.some(row => row.at(-1) !== '')
  const head = ['shard', 'result', 'servers', 'took', ...(again ? ['try'] : [])]
  const shown = rows.map(row => row.slice(0, head.length))
  return `## Shards\n\n${table(head, shown)}`
}
