/**
 * The reports of a run's shards → the report of the whole, as one run would have made it. Pure. A server is in one shard, and what is
 * known of it is what its own shard's report says: that holds more than the events do, which have no output and may be cut.
 */
import type { Plan } from '../plan/plan.ts'
import { ownNotice, type Shard, shardName, shardServers } from '../plan/shards.ts'
import type { Event } from './events.ts'
import { deniedBy, faultsOf, isOneBuild } from './merge-faults.ts'
import { mergePlans } from './merge-plan.ts'
import { errorOf, resultOf, shardReports } from './merge-result.ts'
import { newServer, type ServerState, serverAfter } from './server-state.ts'
import type { ReportState } from './state.ts'

/** A shard's report, as it was read. */
export interface Report extends ReportState {
  readonly shard: Shard
  readonly selection: readonly string[]
  /** What happened, without what scripts printed and without the plan; of many events the rest is only counted. */
  readonly events: readonly Event[]
}

export interface Merged {
  readonly state: ReportState
  readonly events: readonly Event[]
}

const present = <T>(values: readonly (T | null)[]): readonly T[] =>
  values.flatMap(value => (value === null ? [] : [value]))
const earliest = (times: readonly number[]) => (times.length === 0 ? null : Math.min(...times))
const latest = (times: readonly number[]) => (times.length === 0 ? null : Math.max(...times))
const byTime = (a: { readonly at: number }, b: { readonly at: number }) => a.at - b.at

/** The first of each kind; null: it is one of its own. */
function firstOf<T>(all: readonly T[], kindOf: (item: T) => string | null): readonly T[] {
  const seen = new Set<string>()
  return all.filter(item => {
    const kind = kindOf(item)
    if (kind === null) return true
    const isFirst = !seen.has(kind)
    seen.add(kind)
    return isFirst
  })
}

interface Said {
  readonly level: string
  readonly text: string
  readonly server?: string | null
  readonly hint?: string | null
}
/** Every shard warns of what is so for all of them. */
const sameWords = ({ level, text, server = null, hint = null }: Said) => JSON.stringify([level, text, server, hint])

/** Servers of no report: what there is to say of them. */
const unheardOf = (shard: Shard, server: string, at: number): Event => ({
  type: 'stage',
  server,
  stage: 'pending',
  detail: `${shardName(shard)} left no report: what was done here is not known`,
  at,
})

/** What a shard says of its server. Whom it left out as it was cancelled or killed its post step brings back, after the report. */
function ownWord({ result, servers }: Report, name: string): ServerState | undefined {
  const server = servers.get(name)
  if (!server?.ended?.leftOut || (result !== null && result !== 'cancelled')) return server
  const { putBack: _, ...ended } = server.ended
  return { ...server, ended, beforePost: true }
}

/** In the selection's order. Others, that warnings name, are none of this run's. */
function serversOf(
  selection: readonly string[],
  own: ReadonlyMap<string, Report>,
  unheard: readonly Event[],
): ReadonlyMap<string, ServerState> {
  const servers = new Map(
    selection.map(name => {
      const report = own.get(name)
      return [name, (report && ownWord(report, name)) ?? newServer(name)] as const
    }),
  )
  for (const event of unheard)
    if (event.type === 'stage') servers.set(event.server, serverAfter(newServer(event.server), event))
  return servers
}

/** One stream by time, begun once; each server's events are those of its own shard. It has no end: that is said by who merges. */
function eventsOf(reports: readonly Report[], own: ReadonlyMap<string, Report>, unheard: readonly Event[]) {
  const all = reports.flatMap(report =>
    report.events.filter(event => {
      if (event.type === 'message' || !('server' in event)) return event.type !== 'run-ended'
      return (own.get(event.server) ?? report) === report
    }),
  )
  const kindOf = (event: Event): string | null => {
    if (event.type === 'run-started') return event.type
    if (event.type === 'phase') return event.phase
    return event.type === 'message' ? sameWords(event) : null
  }
  const whole = (event: Event): Event => {
    if (event.type !== 'run-started') return event
    const { shard: _, ...rest } = event
    return rest
  }
  return [...firstOf(all.toSorted(byTime), kindOf).map(whole), ...unheard]
}

/** Without what the shard's plan says of the shard itself. */
const planOf = ({ plan, shard }: Report): Plan | null =>
  plan && { ...plan, notices: plan.notices.filter(text => !text.startsWith(ownNotice(shard))) }

/** Each report is of another shard of the same run. Times are those of the shards' own clocks. */
export function merge(reports: readonly [Report, ...Report[]]): Merged {
  const { selection, shard, command, manifest, runUrl } = reports[0]
  const inOrder = reports.toSorted((a, b) => a.shard.index - b.shard.index)
  const byIndex = new Map(inOrder.map(report => [report.shard.index, report]))
  const shards = shardReports(shard.of, byIndex, report => deniedBy(report).length > 0)
  const faults = faultsOf(inOrder, selection)
  const startedAt = earliest(present(inOrder.map(r => r.startedAt)))
  const lastAt = latest(present(inOrder.flatMap(r => [r.startedAt, r.lastAt])))
  const plan = mergePlans(present(inOrder.map(planOf)), selection, shard.of)
  const own = new Map(
    inOrder.flatMap(report => shardServers(selection, report.shard).map(name => [name, report] as const)),
  )
  const unheard = shards
    .filter(s => s.result === 'missing')
    .flatMap(s => shardServers(selection, s).map(name => unheardOf(s, name, lastAt ?? 0)))
  const state: ReportState = {
    command,
    manifest,
    runUrl,
    subject: present(inOrder.map(r => r.subject))[0] ?? null,
    attempt: latest(present(inOrder.map(r => r.attempt)).map(Number))?.toString() ?? null,
    shard: null,
    selection,
    shards,
    eventsLeftOut: inOrder.reduce((n, r) => n + r.eventsLeftOut, 0),
    startedAt,
    lastAt,
    // None is the release of all.
    plan: plan && !isOneBuild(inOrder) ? { ...plan, release: null } : plan,
    phases: firstOf(inOrder.flatMap(r => r.phases).toSorted(byTime), p => p.phase),
    servers: serversOf(selection, own, unheard),
    messages: firstOf(inOrder.flatMap(r => r.messages).toSorted(byTime), sameWords),
    result: faults.length > 0 ? 'failure' : resultOf(shards),
    error: errorOf(shards, byIndex, selection, faults),
  }
  return { state, events: eventsOf(inOrder, own, unheard) }
}
