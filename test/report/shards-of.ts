/** A recorded run of all servers, as its shards would have recorded it, each on its own runner; and their reports as files hold them. */
import type { Plan } from '../../src/plan/plan.ts'
import { divided, type Shard, shardServers } from '../../src/plan/shards.ts'
import type { Event, Result } from '../../src/report/events.ts'
import type { Report } from '../../src/report/merge.ts'
import { createRecorder, reportJson } from '../../src/report/report-json.ts'
import { readReport } from '../../src/report/report-schema.ts'
import { outcomeOf } from '../../src/report/server-state.ts'
import { replay } from '../../src/report/state.ts'

export const runUrl = 'https://github.com/octo/shop/actions/runs/4711'

export const allShards = (of: number): readonly Shard[] => Array.from({ length: of }, (_, i) => ({ index: i + 1, of }))

/** The plan of one shard: its servers, and its part of each limit. */
export function planOfShard(plan: Plan, selection: readonly string[], shard: Shard): Plan {
  const own = new Set(shardServers(selection, shard))
  const mine = (names: readonly string[]) => names.filter(name => own.has(name))
  return {
    ...plan,
    maxParallelism: { ...plan.maxParallelism, value: divided(plan.maxParallelism.value, shard) },
    maxFailures: divided(plan.maxFailures, shard),
    servers: plan.servers.filter(s => own.has(s.name)),
    groups: plan.groups.map(g => ({
      ...g,
      servers: mine(g.servers),
      limit: divided(g.limit, shard),
      stages: g.stages.map(mine),
    })),
    steps: plan.steps.map(s => ({ ...s, servers: mine(s.servers) })),
  }
}

/** What each shard ends with: the whole's word where it has a server that did not do well, else success. */
function resultOf(events: readonly Event[], own: ReadonlySet<string>, whole: Result): Result {
  const servers = [...replay(events).servers.values()].filter(s => own.has(s.name))
  return servers.every(s => ['succeeded', 'skipped'].includes(outcomeOf(s))) ? 'success' : whole
}

/** The stream of one shard. Without a plan the selection has to be said. */
export function streamOf(events: readonly Event[], shard: Shard, selection: readonly string[], attempt = '1'): Event[] {
  const own = new Set(shardServers(selection, shard))
  return events.flatMap((event): Event[] => {
    if (event.type === 'run-started')
      return [{ ...event, runUrl, subject: 'storefront → production', attempt, shard, selection }]
    if (event.type === 'planned') return [{ ...event, plan: planOfShard(event.plan, selection, shard) }]
    if (event.type === 'run-ended') {
      const result = resultOf(events, own, event.result)
      const { error, ...rest } = event
      return [{ ...rest, result, ...(error !== undefined && result === event.result ? { error } : {}) }]
    }
    if ('server' in event && event.server !== undefined) return own.has(event.server) ? [event] : []
    return [event]
  })
}

export const selectionOf = (events: readonly Event[]): readonly string[] =>
  events.flatMap(e => (e.type === 'planned' ? e.plan.servers.map(s => s.name) : []))

/** What main writes at `report-path`. */
export function reportOf(events: readonly Event[]): string {
  const recorder = createRecorder()
  for (const event of events) recorder.listener(event)
  return reportJson(replay(events), recorder.events())
}

/** As the command reads it. */
export function readBack(json: string): Report {
  const { shard, selection, ...rest } = readReport(json)
  if (shard === null || selection === null) throw new Error('not the report of a shard')
  return { ...rest, shard, selection }
}

/** The reports of all shards, by the shard's number less one. */
export const shardReportsOf = (
  events: readonly Event[],
  of: number,
  selection: readonly string[] = selectionOf(events),
): readonly Report[] => allShards(of).map(shard => readBack(reportOf(streamOf(events, shard, selection))))

/** The command's merge wants at least one. */
export function some<T>(all: readonly T[]): readonly [T, ...T[]] {
  const [first, ...more] = all
  if (first === undefined) throw new Error('none')
  return [first, ...more]
}
