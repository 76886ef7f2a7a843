/**
 * Fan-out (action.md): a deployment divided over the jobs of a matrix. How many shards there may be, who is in which, and what each
 * may do of every limit, so that the limits hold over all of them although no shard sees another. Pure.
 */
import type { Manifest } from '../manifest/manifest.ts'
import type { Strategy } from '../manifest/schema.ts'
import { refusedInFanOut } from './fan-out.ts'
import { plannedGroups } from './groups.ts'
import { membersOf, minInService } from './membership.ts'
import type { Plan } from './plan.ts'

/** One of the jobs; `index` from 1. */
export interface Shard {
  readonly index: number
  readonly of: number
}

/** GitHub's limit of jobs in a matrix. */
const mostJobs = 256

/** Every n-th of the selection, as it is before unreachable servers are skipped: each server is in exactly one shard. */
export const shardServers = <T>(selected: readonly T[], { index, of }: Shard): readonly T[] =>
  selected.filter((_, k) => k % of === index - 1)

/** A shard's part of a limit: floor(limit ÷ n), plus one for the first (limit mod n). The parts of all shards make the limit. */
export const divided = (limit: number, { index, of }: Shard): number =>
  Math.floor(limit / of) + (index <= limit % of ? 1 : 0)

export const shardName = ({ index, of }: Shard): string => `shard ${index} of ${of}`

/** What a shard's plan says of the shard itself begins like this: of no interest to who sees all of them. */
export const ownNotice = (shard: Shard): string => `This is ${shardName(shard)}:`

/** What allows no more shards than `most`. */
export interface ShardLimit {
  readonly most: number
  /** As the end of a sentence. */
  readonly why: string
  /** What to set for more; null: nothing. */
  readonly more: string | null
}

export interface Sharding {
  /** How many shards at most; 0: nothing is selected. */
  readonly count: number
  /** The limit that says so. */
  readonly limit: ShardLimit
  /** For people: how many, and why. */
  readonly text: string
  /** Whether it is said: somebody asked, or there may be several. */
  readonly told: boolean
  /** For a job's `strategy.matrix`. */
  readonly matrix: { readonly shard: readonly string[] }
}

/** Where nothing is selected. */
export const noShard: Sharding = shardingOf({ most: 0, why: '', more: null }, false)

type WholePlan = Pick<Plan, 'strategy' | 'groups' | 'maxParallelism' | 'maxFailures' | 'migration' | 'servers'>

const servers = (n: number): string => (n === 1 ? '1 server' : `${n} servers`)

/** Why there is one shard whatever the numbers say. */
function oneAlone(manifest: Manifest, plan: WholePlan): ShardLimit | null {
  const one = (why: string, more: string | null): ShardLimit => ({ most: 1, why, more })
  const { enabled, done, server } = plan.migration
  if (enabled)
    return one(
      'migrations are enabled, which makes the rollout serial',
      done
        ? "the migration has run: give plan the input shard, as shard: '8', and plan and shards migrate: 'false'"
        : `run the migration in a job before (servers: ${server ?? '…'}), and give plan and shards migrate: 'false'`,
    )
  if (plan.strategy.value === 'serial')
    return one(`the strategy is serial (${plan.strategy.reason})`, 'set the strategy to rolling or parallel')
  if (rolesOf(plan).size > 1)
    return one(
      'rollout.groups go one after the other, and shards do not wait for each other',
      'fan out one group after the other, with servers: role:NAME in a job of its own for each',
    )
  for (const name of new Set(plan.servers.flatMap(s => s.balancers))) {
    const provider = manifest.load_balancers[name]?.provider
    const reason = provider === undefined ? null : refusedInFanOut[provider]
    if (reason !== null) return one(`${name}: ${reason}`, null)
  }
  return null
}

/** Servers that failed before have a group of their own beside the one they belong to. */
const rolesOf = (plan: Pick<Plan, 'groups'>) => new Set(plan.groups.map(g => g.name.replace(/, failed before$/, '')))

/** Stages before the last: what goes first is to stay that small over all shards. */
function stageLimits(manifest: Manifest, strategy: Strategy | null, plan: WholePlan): readonly ShardLimit[] {
  const named = new Set(plan.servers.map(s => s.name))
  const selected = manifest.servers.filter(s => named.has(s.name))
  const groups = plannedGroups(manifest, strategy, plan.migration, selected, plan.maxParallelism.value)
  return groups.flatMap(group =>
    group.stages.slice(0, -1).map((stage, i) => ({
      most: stage.length,
      why: `stage ${i + 1} of batch is of ${servers(stage.length)}, and each shard has a part of each stage`,
      more: 'set larger batch sizes, or deploy the first ones in a job before (servers: …) with batch: 100% for the shards',
    })),
  )
}

/**
 * How many shards there may be at most: the smallest of all limits, of what was asked for and of what GitHub's matrix takes. `plan`: of
 * the whole selection. `mostShards` null: as many as the limits allow. `away`: by balancer, servers outside of the selection that are not in
 * service, as far as it is known.
 */
export function shardsOf(
  manifest: Manifest,
  wish: { readonly strategy: Strategy | null; readonly mostShards: number | null },
  plan: WholePlan,
  away: Readonly<Record<string, readonly string[]>> = {},
): Sharding {
  const leaving = new Set(plan.servers.flatMap(s => s.balancers))
  const alone = oneAlone(manifest, plan)
  const { value: parallelism } = plan.maxParallelism
  const limits: readonly ShardLimit[] = [
    { most: plan.servers.length, why: `${servers(plan.servers.length)} selected`, more: null },
    ...(alone === null ? [] : [alone]),
    {
      most: plan.maxFailures,
      why: `max_failures is ${plan.maxFailures}, and each shard needs at least one of it`,
      more: 'set rollout.max_failures to the number of shards or more; it may be a percentage',
    },
    {
      most: parallelism,
      why: `max_parallelism is ${parallelism}, and each shard needs at least one of it`,
      more: 'set rollout.max_parallelism, or the input max-parallelism, to the number of shards or more',
    },
    ...[...leaving].map(name => balancerLimit(manifest, name, away[name] ?? [])),
    ...stageLimits(manifest, wish.strategy, plan),
    ...(wish.mostShards === null
      ? []
      : [{ most: wish.mostShards, why: 'as many as the input shard asks for', more: null }]),
    { most: mostJobs, why: `a matrix has at most ${mostJobs} jobs`, more: null },
  ]
  return shardingOf(
    limits.reduce((least, next) => (next.most < least.most ? next : least)),
    wish.mostShards !== null,
  )
}

function shardingOf(limit: ShardLimit, asked: boolean): Sharding {
  const count = Math.max(0, limit.most)
  const shard = Array.from({ length: count }, (_, i) => `${i + 1}/${count}`)
  return { count, limit, text: textOf(count, limit), told: asked || count > 1, matrix: { shard } }
}

function balancerLimit(manifest: Manifest, name: string, away: readonly string[]): ShardLimit {
  const members = membersOf(manifest, name).length
  const needed = minInService(manifest, name)
  const most = Math.max(0, members - needed - away.length)
  const [who, are] = [away.join(', '), away.length === 1 ? 'is' : 'are']
  const out = away.length === 0 ? '' : `, and ${who}, which ${are} not selected, ${are} not in service`
  return {
    most: Math.max(1, most),
    why: `of the ${servers(members)} behind ${name} ${needed} have to stay in service (min_in_service)${out}, so ${most} may be out at once over all shards`,
    more: `${away.length === 0 ? '' : `bring ${who} back, or `}lower min_in_service of ${name}`,
  }
}

function textOf(count: number, { why, more }: ShardLimit): string {
  if (count === 0) return 'Fan-out: nothing is selected, so there is no shard.'
  const many = count === 1 ? 'one shard' : `${count} shards at most`
  return `Fan-out: ${many}: ${why}.${more === null ? '' : ` For more: ${more}.`}`
}
