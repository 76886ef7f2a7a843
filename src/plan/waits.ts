/** What the waits around a removal add to a deployment, and what is said of those that an earlier deployment stored. */

import type { StoredWait, StoredWaits } from '../manifest/kept-waits.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { clockTime } from '../times.ts'
import { membersOf, minInService } from './membership.ts'
import type { PlannedGroup, PlannedServer, PlannedWait } from './plan.ts'
import { divided, type Shard } from './shards.ts'
import { type Believed, keptWaits, type WaitSource, waitInForce, waitKeys } from './sticky-waits.ts'

type Removed = Pick<PlannedServer, 'name' | 'balancers'>

const whole: Shard = { index: 1, of: 1 }

/** Places in which servers of a group are out at the same time: `limit`, and never more than `min_in_service` lets go. */
function atOnce(manifest: Manifest, group: PlannedGroup, balancers: readonly string[], shard: Shard): number {
  const mayBeOut = (b: string) => divided(Math.max(0, membersOf(manifest, b).length - minInService(manifest, b)), shard)
  return Math.max(1, Math.min(group.limit, ...balancers.map(mayBeOut)))
}

/** Stage by stage, servers removed ÷ servers at once, rounded up, over the groups. */
const rounds = (
  manifest: Manifest,
  balancer: string,
  groups: readonly PlannedGroup[],
  removed: ReadonlySet<string>,
  shard: Shard,
) =>
  groups.reduce((sum, group) => {
    const places = atOnce(manifest, group, [balancer], shard)
    return sum + group.stages.reduce((n, s) => n + Math.ceil(s.filter(name => removed.has(name)).length / places), 0)
  }, 0)

/** One row for each balancer that has waits and servers to remove. */
export function plannedWaits(
  manifest: Manifest,
  { waits: stored }: Pick<Believed, 'waits'>,
  servers: readonly Removed[],
  groups: readonly PlannedGroup[],
  shard: Shard = whole,
): readonly PlannedWait[] {
  return Object.keys(manifest.load_balancers).flatMap(balancer => {
    const removing = waitInForce(manifest, stored, balancer, 'removing')
    const adding = waitInForce(manifest, stored, balancer, 'adding')
    const each = removing.seconds + adding.seconds
    const removed = servers.filter(s => s.balancers.includes(balancer))
    if (each === 0 || removed.length === 0) return []
    const times = rounds(manifest, balancer, groups, new Set(removed.map(s => s.name)), shard)
    const several = times === removed.length ? '' : `: ${removed.length} servers, several at a time`
    return [
      {
        balancer,
        removing: removing.seconds,
        adding: adding.seconds,
        sources: { removing: removing.source, adding: adding.source },
        servers: removed.length,
        adds: each * times,
        reason: `(${removing.seconds} s + ${adding.seconds} s) × ${times}${several}`,
      },
    ]
  })
}

/** Seconds that all waits add together: for one server the largest of several balancers' waits counts once. */
export function addedSeconds(
  manifest: Manifest,
  { waits: stored }: Pick<Believed, 'waits'>,
  servers: readonly Removed[],
  groups: readonly PlannedGroup[],
  shard: Shard = whole,
): number {
  const most = (balancers: readonly string[], which: 'removing' | 'adding') =>
    Math.max(0, ...balancers.map(b => waitInForce(manifest, stored, b, which).seconds))
  const waits = new Map(servers.map(s => [s.name, most(s.balancers, 'removing') + most(s.balancers, 'adding')]))
  const behind = new Map(servers.map(s => [s.name, s.balancers]))
  return groups.reduce((sum, group) => {
    const balancers = [...new Set(group.servers.flatMap(s => behind.get(s) ?? []))]
    const places = atOnce(manifest, group, balancers, shard)
    return group.stages.reduce(
      (total, stage) =>
        total +
        lastEnd(
          stage.map(s => waits.get(s) ?? 0),
          places,
        ),
      sum,
    )
  }, 0)
}

/** When the last one ends, each starting in the place that is free first. */
function lastEnd(seconds: readonly number[], places: number): number {
  const free: number[] = Array.from({ length: places }, () => 0)
  for (const s of seconds) {
    const first = Math.min(...free)
    free[free.indexOf(first)] = first + s
  }
  return Math.max(...free)
}

/** Which deployment stored a wait, as people look for it. */
const storedBy = ({ at, run, deployment }: StoredWait): string =>
  `stored by the deployment of ${clockTime(at)} (${run ?? deployment.slice(0, 8)})`

/** Where a wait comes from, as a phrase. */
export const sourceText = (source: WaitSource): string => (source.from === 'stored' ? storedBy(source) : source.from)

/** What is in force without being in the manifest, for balancers that servers leave, with the lines that settle it. */
export function waitWarnings(manifest: Manifest, believed: Believed, used: ReadonlySet<string>): readonly string[] {
  const { waits, doubted, held, copies } = believed
  const alone = held.length === 1 && copies > 1 ? `, by the word of ${held[0]} alone` : ''
  const kept = keptWaits(manifest, waits).filter(k => used.has(k.balancer))
  const others = doubted === null ? [] : (['removing', 'adding'] as const)
  return [
    ...kept.map(
      ({ balancer, key, wait }) =>
        `${balancer}: the manifest names no ${key} any more, and ${wait.seconds} s stay in force, ${storedBy(wait)}${alone}. ` +
        `Write \`${key}: ${wait.seconds}\` under load_balancers.${balancer} to keep it, \`${key}: 0\` to remove it.`,
    ),
    ...[...used].flatMap(balancer =>
      others.flatMap(which => {
        const now = waitInForce(manifest, waits, balancer, which).seconds
        const said = waitInForce(manifest, doubted?.waits ?? null, balancer, which).seconds
        if (now === said) return []
        return `${balancer}: only ${doubted?.server} says that a later deployment stored ${said} s for ${waitKeys[which]}; the other servers agree on ${now} s, which counts. Write \`${waitKeys[which]}: …\` under load_balancers.${balancer} to settle it.`
      }),
    ),
  ]
}

/** A copy in words, one text for each balancer. */
export const storedWaitTexts = (waits: StoredWaits | null): readonly string[] =>
  Object.entries(waits?.balancers ?? {}).map(([balancer, kept]) => {
    const each = (['removing', 'adding'] as const).flatMap(which => {
      const wait = kept[which]
      return wait === undefined ? [] : [`${waitKeys[which]} ${wait.seconds} s, ${storedBy(wait)}`]
    })
    return `${balancer}: ${each.join('; ')}`
  })
