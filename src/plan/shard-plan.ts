/** What of a whole plan one shard may do: its servers, and its part of every limit. Pure. */
import { InputError } from '../errors.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import { membersOf, minInService } from './membership.ts'
import type { Effective, Plan, PlannedShard, PlannedStep } from './plan.ts'
import { divided, ownNotice, type Shard, shardName, shardServers, shardsOf } from './shards.ts'

export interface ShardShare {
  readonly planned: PlannedShard
  readonly maxParallelism: Effective<number>
  readonly maxFailures: number
  /** Its part of each stage, at least 1. */
  readonly sizes: readonly number[]
  readonly notice: string
}

/**
 * `whole`: as if one run did it all, with every selected server. Throws InputError where it may not be divided like this: all shards
 * throw alike, before anything is changed.
 */
export function shareOf(
  manifest: Manifest,
  strategy: Parameters<typeof shardsOf>[1]['strategy'],
  whole: Plan,
  shard: Shard,
): ShardShare {
  const name = shardName(shard)
  const { migration, maxParallelism, maxFailures } = whole
  if (migration.enabled && !migration.done)
    throw new InputError(`a migration has to run (${migration.reason}), and a shard runs none`, {
      hint: `run it in a job before: command deploy with servers: ${migration.server ?? 'the migration’s server'}; then give plan and shards migrate: 'false'`,
    })
  const { count, limit } = shardsOf(manifest, { strategy, mostShards: null }, whole)
  if (shard.of > count)
    throw new InputError(
      `there may be ${count === 1 ? 'one shard' : `${count} shards`} at most, and this is one of ${shard.of}: ${limit.why}`,
      {
        hint: `${limit.more === null ? '' : `for more: ${limit.more}; `}the output matrix of the command plan never has more than there may be`,
      },
    )
  const all = whole.servers.map(s => s.name)
  const parallelism = divided(maxParallelism.value, shard)
  const failures = divided(maxFailures, shard)
  const own = shardServers(all, shard).length
  return {
    planned: { ...shard, selection: all },
    maxParallelism: {
      ...maxParallelism,
      value: parallelism,
      reason: `${maxParallelism.reason}; ${parallelism} is the part of ${name} of ${maxParallelism.value}`,
    },
    maxFailures: failures,
    sizes: (whole.groups[0]?.stages ?? []).map(stage => Math.max(1, divided(stage.length, shard))),
    notice: `${ownNotice(shard)} ${own} of ${all.length} servers, with ${parallelism} of max_parallelism ${maxParallelism.value} and ${failures} of max_failures ${maxFailures}. Shards do not wait for each other; steps that run once, finalize and cleanup are run by the shard of their server.`,
  }
}

/** Steps that run in this shard, and what is said of those that no shard runs. */
export function shardSteps(
  whole: readonly PlannedStep[],
  selected: readonly Server[],
  unreachable: readonly string[],
): { readonly steps: readonly PlannedStep[]; readonly warnings: readonly string[] } {
  const own = new Set(selected.map(s => s.name))
  const gone = (step: PlannedStep) => step.servers.find(server => step.once && unreachable.includes(server))
  return {
    steps: whole.map(step => ({ ...step, servers: step.servers.filter(s => own.has(s)) })),
    warnings: whole.flatMap(step => {
      const server = gone(step)
      return server === undefined
        ? []
        : `The step "${step.name}" runs once, on ${server}, which cannot be reached: no shard runs it.`
    }),
  }
}

/** As a balancer says it, by server (balancers/balancer.ts). */
type Rotations = Readonly<Record<string, { readonly state: string }>>

/**
 * The servers of this shard and of the others behind a balancer, and how many of them each may have out at once (balancers/in-service.ts): of
 * what may be out, without servers that are in no shard and are out by this reading.
 */
export function partsOf(members: readonly string[], needed: number, { index, of, selection }: PlannedShard) {
  const behind = new Set(members)
  const selected = new Set(selection)
  const outside = members.filter(name => !selected.has(name))
  const lists = Array.from({ length: of }, (_, i) =>
    shardServers(selection, { index: i + 1, of }).filter(name => behind.has(name)),
  )
  return (rotations: Rotations) => {
    const away = outside.filter(name => rotations[name]?.state !== 'serving').length
    const mayBeOut = Math.max(0, members.length - needed - away)
    const parts = lists.map((servers, i) => ({ servers, quota: divided(mayBeOut, { index: i + 1, of }) }))
    const own = parts[index - 1] ?? { servers: [], quota: 0 }
    return { own, others: parts.filter(part => part !== own) }
  }
}

/** The same by balancer. */
export function shardParts(manifest: Manifest, shard: PlannedShard) {
  const made = new Map<string, ReturnType<typeof partsOf>>()
  return (balancer: string, rotations: Rotations) => {
    const parts =
      made.get(balancer) ??
      partsOf(
        membersOf(manifest, balancer).map(s => s.name),
        minInService(manifest, balancer),
        shard,
      )
    made.set(balancer, parts)
    return parts(rotations)
  }
}
