/** The rollout's groups, the order in them and their stages: the migration's server first, then as listed; servers of no group last. */
import type { Manifest, Server } from '../manifest/manifest.ts'
import type { Group, Strategy } from '../manifest/schema.ts'
import type { PlannedGroup, PlannedMigration } from './plan.ts'
import { stagesOf } from './stages.ts'
import { effectiveStrategy } from './strategy.ts'

/**
 * `earlier`: servers that failed last time or were left out; they have a stage of their own, before the others. `sizes`: of a shard, its
 * part of each stage.
 */
export function plannedGroups(
  manifest: Manifest,
  input: Strategy | null,
  migration: PlannedMigration,
  selected: readonly Server[],
  maxParallelism: number,
  earlier: readonly string[] = [],
  sizes: readonly number[] | null = null,
): readonly PlannedGroup[] {
  const before = new Set(earlier)
  const { rollout } = manifest
  const make = (name: string, servers: readonly Server[], own: Group | null): PlannedGroup[] => {
    if (servers.length === 0) return []
    const strategy = effectiveStrategy(manifest, input, migration, own).value
    const turn = (s: Server) => (s.name === migration.server ? 0 : 1)
    const ordered = servers.toSorted((a, b) => turn(a) - turn(b)).map(s => s.name)
    const rolling = strategy === 'rolling'
    const written = sizes?.map(count => ({ count })) ?? own?.batch ?? rollout.batch ?? []
    const batch = rolling ? written : null
    const limit = strategy === 'serial' ? 1 : maxParallelism
    const hold = rolling ? (own?.hold ?? rollout.hold ?? null) : null
    const planned = (called: string, some: readonly string[], again: ReadonlySet<string>): PlannedGroup => {
      const stages = stagesOf(some, again, batch)
      return { name: called, strategy, servers: stages.flat(), limit, stages, hold }
    }
    if (rollout.groups.length === 0) return [planned(name, ordered, before)]
    // Of all groups they come first: what another group needs in service may be among them.
    const [first, rest] = [ordered.filter(n => before.has(n)), ordered.filter(n => !before.has(n))]
    return [
      ...(first.length > 0 ? [planned(`${name}, failed before`, first, new Set(first))] : []),
      ...(rest.length > 0 ? [planned(name, rest, new Set())] : []),
    ]
  }
  if (rollout.groups.length === 0) return make('all', selected, null)
  const taken = new Set<string>()
  const named = rollout.groups.flatMap(group => {
    const members = selected.filter(s => !taken.has(s.name) && group.roles.some(r => s.roles.includes(r)))
    for (const s of members) taken.add(s.name)
    return make(group.roles.join(', '), members, group)
  })
  const others = selected.filter(s => !taken.has(s.name))
  const all = [...named, ...make('others', others, null)]
  const again = (group: PlannedGroup) => (group.servers.some(name => before.has(name)) ? 0 : 1)
  return all.toSorted((a, b) => again(a) - again(b))
}
