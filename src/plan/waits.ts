/** What the waits around a removal add to a deployment. */
import type { Manifest } from '../manifest/manifest.ts'
import type { PlannedGroup, PlannedServer, PlannedWait } from './plan.ts'

/** Seconds per server: after drained, and after serving. */
export function waitOf(manifest: Manifest, balancer: string): { removing: number; adding: number } {
  const settings = manifest.load_balancers[balancer]
  return { removing: settings?.wait_after_removing_servers ?? 0, adding: settings?.wait_after_adding_servers ?? 0 }
}

/** Servers removed ÷ servers at once, rounded up, over the groups. */
const rounds = (groups: readonly PlannedGroup[], removed: ReadonlySet<string>) =>
  groups.reduce((sum, g) => sum + Math.ceil(g.servers.filter(s => removed.has(s)).length / g.limit), 0)

/** One row for each balancer that has waits and servers to remove. */
export function plannedWaits(
  manifest: Manifest,
  servers: readonly PlannedServer[],
  groups: readonly PlannedGroup[],
): readonly PlannedWait[] {
  return Object.keys(manifest.load_balancers).flatMap(balancer => {
    const { removing, adding } = waitOf(manifest, balancer)
    const removed = servers.filter(s => s.balancers.includes(balancer))
    if (removing + adding === 0 || removed.length === 0) return []
    const times = rounds(groups, new Set(removed.map(s => s.name)))
    return [
      {
        balancer,
        removing,
        adding,
        servers: removed.length,
        adds: (removing + adding) * times,
        reason: `(${removing} s + ${adding} s) × ${times}`,
      },
    ]
  })
}

/** Seconds that all waits add together: for one server the largest of several balancers' waits counts once. */
export function addedSeconds(
  manifest: Manifest,
  servers: readonly PlannedServer[],
  groups: readonly PlannedGroup[],
): number {
  const waits = new Map(
    servers.map(s => {
      const each = s.balancers.map(b => waitOf(manifest, b))
      return [s.name, Math.max(0, ...each.map(w => w.removing)) + Math.max(0, ...each.map(w => w.adding))]
    }),
  )
  return groups.reduce((sum, group) => {
    const seconds = group.servers.map(s => waits.get(s) ?? 0)
    // With equal waits this is seconds × rounds; with different ones the mean keeps the estimate honest.
    const removed = seconds.filter(s => s > 0)
    if (removed.length === 0) return sum
    const mean = removed.reduce((a, b) => a + b, 0) / removed.length
    return sum + mean * Math.ceil(removed.length / group.limit)
  }, 0)
}
