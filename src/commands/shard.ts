/** One part of a fan-out, as the commands see it: which servers are its own, and whose lock it shares. */
import { createHash } from 'node:crypto'
import { InputError } from '../errors.ts'
import type { Request } from '../inputs.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import { selectServers } from '../plan/select.ts'
import { type Shard, shardName, shardServers } from '../plan/shards.ts'
import type { LockInfo } from '../release/lock.ts'
import type { Sharing } from '../release/prelude.ts'

/** `shards`: what is told of them to whoever finds the lock held. */
export type ShardsLock = Sharing & { readonly shards: NonNullable<LockInfo['shards']> }

export interface Selection {
  /** The selected servers of all shards. */
  readonly all: readonly Server[]
  /** This run's. */
  readonly own: readonly Server[]
  /** null: a run that is not divided, also 1/1. */
  readonly shard: Shard | null
}

/** Throws InputError. */
export function selectionOf(request: Request, manifest: Pick<Manifest, 'servers'>): Selection {
  const all = selectServers(manifest.servers, request.servers)
  const shard = request.shard === null || request.shard.of === 1 ? null : request.shard
  if (shard === null || all.length === 0) return { all, own: all, shard: null }
  if (shard.of > all.length)
    throw new InputError(
      `${all.length === 1 ? '1 server is' : `${all.length} servers are`} selected, and this is one of ${shard.of} shards`,
      {
        hint: 'there are never more shards than servers: take them from the output matrix of the command plan',
      },
    )
  return { all, own: shardServers(all, shard), shard }
}

/**
 * The lock that the shards of one run hold together; null: of its own. Its name is made of what has to be the same for all of them, so that
 * shards that do not agree keep each other out, as does another attempt. `build`: the content id of what is deployed, for jobs that each
 * build for themselves may well come to different ones. Throws InputError.
 */
export function sharingOf(
  request: Request,
  manifest: Pick<Manifest, 'application' | 'environment'>,
  { all, shard }: Selection,
  build: string,
): ShardsLock | null {
  if (shard === null) return null
  const { repository, runId, attempt } = request.run
  if (runId === null)
    throw new InputError(`${shardName(shard)}: shards are the jobs of one workflow run, and GITHUB_RUN_ID is not set`, {
      hint: 'leave the input shard out: one run deploys to all servers',
    })
  const { command, strategy, maxParallelism, migrate, release, source } = request
  const same = [
    [repository, runId, attempt, manifest.application, manifest.environment],
    [shard.of, all.map(s => s.name)],
    [command, strategy, maxParallelism, migrate, release, source],
  ]
  return { run: `run-${digestOf([...same, build])}`, member: shard.index, shards: { of: digestOf(same), build } }
}

const digestOf = (value: unknown) => createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 40)
