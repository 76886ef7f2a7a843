/** What the reports of a run say that cannot stand: against each other, against themselves, or of nobody who was reached. Pure. */
import { shardName, shardServers } from '../plan/shards.ts'
import type { Outcome } from './events.ts'
import { headOf } from './markdown.ts'
import type { Report } from './merge.ts'
import { type Fault, shardList } from './merge-result.ts'
import { nameList } from './name-list.ts'
import { newServer, outcomeOf, type ServerState } from './server-state.ts'

const mostBuilds = 20

/** The reports by the release that their shard deployed; of shards that came to no plan nothing is known. */
const buildsOf = (reports: readonly Report[]): ReadonlyMap<string, readonly Report[]> =>
  Map.groupBy(
    reports.filter(r => r.plan?.release),
    r => r.plan?.release?.id ?? '',
  )

export const isOneBuild = (reports: readonly Report[]): boolean => buildsOf(reports).size < 2

function builds(reports: readonly Report[]): readonly Fault[] {
  if (isOneBuild(reports)) return []
  const each = [...buildsOf(reports)].map(([id, some]) => `${shardList(some.map(r => r.shard))}: ${headOf(id, 100)}`)
  const more = each.length > mostBuilds ? ` and ${each.length - mostBuilds} more` : ''
  return [
    {
      message: `shards deployed different builds: ${each.slice(0, mostBuilds).join(', ')}${more}`,
      hint: 'build once and hand it on as an artifact, then deploy again',
    },
  ]
}

/** More than that a message names it: the lead of the environment, say. */
const wasWorkedOn = ({ planned, ended, steps }: ServerState) => planned !== null || ended !== null || steps.length > 0

function strangers(reports: readonly Report[], selection: ReadonlySet<string>): readonly Fault[] {
  return reports.flatMap(({ shard, servers }) => {
    const names = [...servers.values()]
      .filter(s => !selection.has(s.name) && wasWorkedOn(s))
      .map(s => headOf(s.name, 100))
    return names.length === 0
      ? []
      : [{ message: `${shardName(shard)} reports on servers that are not selected: ${nameList(names)}` }]
  })
}

/** Its servers that did not end as a run with its result ends them. A fork's run is skipped before any server is looked at. */
export function deniedBy({ result, shard, selection, servers }: Report): readonly string[] {
  if (result !== 'success' && result !== 'skipped') return []
  const bad: readonly Outcome[] = ['failed', 'rolled-back', ...(result === 'success' ? (['pending'] as const) : [])]
  return shardServers(selection, shard).filter(name => bad.includes(outcomeOf(servers.get(name) ?? newServer(name))))
}

const denied = (reports: readonly Report[]): readonly Fault[] =>
  reports.flatMap(report => {
    const names = deniedBy(report)
    const said = `${shardName(report.shard)} reports ${report.result}, against what it says of ${nameList(names)}`
    return names.length === 0 ? [] : [{ message: said }]
  })

/** A shard may skip all of its servers. Where every shard did, nothing was deployed. */
function nobody(reports: readonly Report[], selection: readonly string[]): readonly Fault[] {
  const ownOf = ({ shard, servers }: Report) => shardServers(selection, shard).map(name => servers.get(name))
  const own = reports.flatMap(ownOf)
  const gone = own.length > 0 && own.every(s => s !== undefined && outcomeOf(s) === 'unreachable')
  // Of others it is known that they did not do well.
  const well = reports.every(r => r.result === 'success' || r.result === 'skipped')
  return gone && well && own.length === selection.length
    ? [{ message: 'none of the selected servers could be reached', hint: 'nothing was deployed: look at the network' }]
    : []
}

/** In the order of shards. Each is a failure of the whole, whatever the shards say of themselves. */
export const faultsOf = (reports: readonly Report[], selection: readonly string[]): readonly Fault[] => [
  ...builds(reports),
  ...denied(reports),
  ...strangers(reports, new Set(selection)),
  ...nobody(reports, selection),
]
