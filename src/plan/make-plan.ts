/** The one pure function from manifest, request and facts to a Plan. No I/O, no clock. */
import type { Manifest } from '../manifest/manifest.ts'
import type { Strategy } from '../manifest/schema.ts'
import { confirmTexts } from './confirms.ts'
import { type Asked, gateNotices, type MigrationFacts, migrationGate } from './gate.ts'
import { plannedGroups } from './groups.ts'
import { balancersOf, removalOf } from './membership.ts'
import type { Effective, Plan, PlannedGroup, PlannedRelease, PlannedServer } from './plan.ts'
import { selectServers } from './select.ts'
import { shardSteps, shareOf } from './shard-plan.ts'
import { type Shard, shardServers } from './shards.ts'
import { atLeastOne } from './shares.ts'
import { plannedSteps } from './steps.ts'
import type { Believed } from './sticky-waits.ts'
import { effectiveStrategy } from './strategy.ts'
import { addedSeconds, plannedWaits, waitWarnings } from './waits.ts'

/** What a person asked for, as far as the plan depends on it. */
export interface Wish {
  readonly command: Plan['command']
  readonly servers: string
  readonly strategy: Strategy | null
  readonly maxParallelism: number | null
  readonly migrate: boolean | null
  /** One part of a fan-out; null, or 1/1: all of it. */
  readonly shard?: Shard | null
  /** Into how many shards it is to be divided; null: it is not asked. */
  readonly mostShards?: number | null
}

/** What was found out before: by reading, without changing anything. */
export interface Facts {
  readonly release: PlannedRelease | null
  readonly migration: MigrationFacts
  /** Release each server's `current` points to now, by server name. */
  readonly current: Readonly<Record<string, string | null>>
  readonly url: string | null
  /** Servers that failed last time, or that an earlier deployment left out: they go first, so that the others may leave after them. */
  readonly earlier: readonly string[]
  /** Selected servers that cannot be reached and are to be skipped. */
  readonly unreachable: readonly string[]
  readonly storedWaits: Believed
  /** Servers that an unfinished deployment of this release was done with. */
  readonly done: readonly string[]
}

function effectiveParallelism(manifest: Manifest, wish: Wish): Effective<number> {
  if (wish.maxParallelism !== null)
    return {
      value: wish.maxParallelism,
      origin: 'input',
      reason: 'asked for by the input max-parallelism, for this deployment only',
    }
  const value = manifest.rollout.max_parallelism
  return manifest.written.has('rollout.max_parallelism')
    ? { value, origin: 'manifest', reason: 'rollout.max_parallelism says so' }
    : { value, origin: 'default', reason: 'nothing else is asked for' }
}

/** What a rollout of groups ran as: neither the gate nor the input asks a group, and each may say for itself. */
function overall(manifest: Manifest, whole: Effective<Strategy>, groups: readonly PlannedGroup[]): Plan['strategy'] {
  const own = manifest.rollout.groups.some(g => g.strategy !== undefined)
  if (!own || whole.origin === 'gate' || whole.origin === 'input') return whole
  const [first, ...others] = new Set(groups.map(g => g.strategy))
  if (first === undefined) return whole
  if (others.length === 0) return { value: first, origin: 'manifest', reason: 'rollout.groups says so' }
  const reason = groups.map(g => `${g.name}: ${g.strategy}`).join('; ')
  return { value: 'mixed', origin: 'manifest', reason: `rollout.groups: ${reason}` }
}

/** Throws InputError where the wish cannot be fulfilled. */
export function makePlan(manifest: Manifest, wish: Wish, facts: Facts): Plan {
  const all = selectServers(manifest.servers, wish.servers)
  const shard = wish.shard === undefined || wish.shard === null || wish.shard.of === 1 ? null : wish.shard
  // Limits are those of all shards: what one of them found on its servers, the others do not know.
  const whole =
    shard === null
      ? null
      : makePlan(manifest, { ...wish, shard: null, mostShards: shard.of }, { ...facts, unreachable: [], earlier: [] })
  const share = whole === null || shard === null ? null : shareOf(manifest, wish.strategy, whole, shard)
  const selected = (shard === null ? all : shardServers(all, shard)).filter(s => !facts.unreachable.includes(s.name))
  const back = wish.command === 'rollback'
  const asked: Asked = {
    migrate: wish.migrate,
    rollback: back,
    fanOut: (wish.shard ?? wish.mostShards ?? null) !== null,
  }
  const migration = whole?.migration ?? migrationGate(manifest, asked, selected, facts.migration, facts.unreachable)
  const maxParallelism = share?.maxParallelism ?? effectiveParallelism(manifest, wish)
  const groups = plannedGroups(
    manifest,
    wish.strategy,
    migration,
    selected,
    maxParallelism.value,
    facts.earlier,
    share?.sizes,
  )
  const strategy = overall(manifest, effectiveStrategy(manifest, wish.strategy, migration), groups)
  const strategyOf = new Map(groups.flatMap(g => g.servers.map(s => [s, g.strategy] as const)))
  const servers = selected.map((server): PlannedServer => {
    const removal = removalOf(manifest, strategyOf.get(server.name) ?? 'serial', server)
    return {
      name: server.name,
      host: server.host,
      roles: server.roles,
      balancers: removal.from,
      inPlace: removal.inPlace,
      // A migration that is to run now is a reason to activate everywhere.
      done: facts.done.includes(server.name) && (!migration.enabled || migration.done),
      leftOut: [],
      keptOut: [],
      current: facts.current[server.name] ?? null,
    }
  })
  const notices: string[] = []
  const warnings: string[] = []
  const own = whole === null ? null : shardSteps(whole.steps, selected, facts.unreachable)
  if (share !== null) notices.push(share.notice)
  warnings.push(...(own?.warnings ?? []))
  const ungated = { ...migration, enabled: false }
  const without = overall(
    manifest,
    effectiveStrategy(manifest, wish.strategy, ungated),
    plannedGroups(manifest, wish.strategy, ungated, selected, maxParallelism.value),
  )
  notices.push(...gateNotices(manifest, asked, facts.migration, migration, without))
  if (facts.unreachable.length > 0)
    warnings.push(
      `${facts.unreachable.join(', ')} cannot be reached and ${facts.unreachable.length === 1 ? 'is' : 'are'} skipped (rollout.unreachable: skip); deploy there later with the output retry.`,
    )
  for (const s of servers) if (s.inPlace !== null) notices.push(`${s.name} is deployed in place: ${s.inPlace}.`)
  if (
    strategy.value === 'parallel' &&
    strategy.origin === 'default' &&
    selected.some(s => balancersOf(manifest, s).length > 0)
  )
    warnings.push(
      `Parallel by default (web_server: ${manifest.web_server}): no server is taken out of its balancer, so \`activate\` must refuse no request. Write rollout.strategy to choose.`,
    )
  const leaving = servers.filter(s => !s.done)
  notices.push(...confirmTexts(manifest, leaving))
  warnings.push(...waitWarnings(manifest, facts.storedWaits, new Set(servers.flatMap(s => s.balancers))))
  return {
    command: wish.command,
    application: manifest.application,
    environment: manifest.environment,
    url: facts.url,
    release: facts.release,
    strategy,
    maxParallelism,
    maxFailures: share?.maxFailures ?? atLeastOne(manifest.rollout.max_failures, selected.length),
    migration,
    servers,
    groups,
    steps: own?.steps ?? plannedSteps(manifest, selected).filter(step => !back || step.phase !== 'prepare'),
    waits: plannedWaits(manifest, facts.storedWaits, leaving, groups, share?.planned),
    addedSeconds: addedSeconds(manifest, facts.storedWaits, leaving, groups, share?.planned),
    storedWaits: facts.storedWaits.waits,
    notices,
    warnings,
    ...(share && { shard: share.planned }),
  }
}
