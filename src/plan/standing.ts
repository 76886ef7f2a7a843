/** A plan with where its servers stand at the balancers just now: what is out already is not taken out. Pure. */
import type { Manifest } from '../manifest/manifest.ts'
import type { Plan, PlannedServer } from './plan.ts'
import { addedSeconds, plannedWaits } from './waits.ts'

/** Balancers where a server was found out of rotation, by server. */
export interface Standing {
  /** By a removal of an earlier deployment: it goes back. */
  readonly ours: readonly string[]
  /** By anybody else: it stays out. */
  readonly operators: readonly string[]
}

export function withStanding(manifest: Manifest, plan: Plan, standing: Readonly<Record<string, Standing>>): Plan {
  const servers = plan.servers.map((server): PlannedServer => {
    const { ours, operators } = standing[server.name] ?? { ours: [], operators: [] }
    return { ...server, leftOut: ours, keptOut: operators }
  })
  const leaving = servers
    .filter(s => !s.done)
    .map(s => ({ name: s.name, balancers: s.balancers.filter(b => !s.keptOut.includes(b)) }))
  const stored = { waits: plan.storedWaits }
  return {
    ...plan,
    servers,
    waits: plannedWaits(manifest, stored, leaving, plan.groups, plan.shard),
    addedSeconds: addedSeconds(manifest, stored, leaving, plan.groups, plan.shard),
  }
}
