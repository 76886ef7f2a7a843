/** The rollout's groups and the order in them: left-out servers first, then the migration's, then as listed; servers of no group last. */
import type { Manifest, Server } from '../manifest/manifest.ts'
import type { Strategy } from '../manifest/schema.ts'
import type { PlannedGroup, PlannedMigration } from './plan.ts'
import { effectiveStrategy } from './strategy.ts'

export function plannedGroups(
  manifest: Manifest,
  input: Strategy | null,
  migration: PlannedMigration,
  selected: readonly Server[],
  maxParallelism: number,
  leftOut: readonly string[] = [],
): readonly PlannedGroup[] {
  const make = (name: string, servers: readonly Server[], strategy: Strategy): PlannedGroup[] => {
    if (servers.length === 0) return []
    const turn = (s: Server) => (leftOut.includes(s.name) ? 0 : s.name === migration.server ? 1 : 2)
    const ordered = servers.toSorted((a, b) => turn(a) - turn(b)).map(s => s.name)
    return [{ name, strategy, servers: ordered, limit: strategy === 'serial' ? 1 : maxParallelism }]
  }
  const whole = effectiveStrategy(manifest, input, migration).value
  const { groups } = manifest.rollout
  if (groups.length === 0) return make('all', selected, whole)
  const taken = new Set<string>()
  const named = groups.flatMap(group => {
    const members = selected.filter(s => !taken.has(s.name) && group.roles.some(r => s.roles.includes(r)))
    for (const s of members) taken.add(s.name)
    return make(group.roles.join(', '), members, effectiveStrategy(manifest, input, migration, group).value)
  })
  return [
    ...named,
    ...make(
      'others',
      selected.filter(s => !taken.has(s.name)),
      whole,
    ),
  ]
}
