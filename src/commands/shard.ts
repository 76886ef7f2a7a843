/** One part of a fan-out, as the commands see it: which servers are its own, and whose lock it shares. */
import { createHash } from 'node:crypto'
import { InputError } from '../errors.ts'
import type { Request } from '../inputs.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import { selectServers } from '../plan/select.ts'
import { type Shard, shardName, shardServers } from '../plan/shards.ts'
import type { Sharing } from '../release/prelude.ts'

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
      `${shardName(shard)}: ${all.length === 1 ? '1 server is' : `${all.length} servers are`} selected`,
      {
        hint: 'there are never more shards than servers: take them from the output matrix of the command plan',
      },
    )
  return { all, own: shardServers(all, shard), shard }
}

/**
 * The lock that the shards of one run hold together; null: of its own. Its name is made of what has to be the same for all of them, so that
 * shards that do not agree keep each other out, as does another attempt. Throws InputError.
 */
export function sharingOf(
  request: Request,
  manifest: Pick<Manifest, 'application' | 'environment'>,
  { all, shard }: Selection,
): Sharing | null {
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
  const digest = createHash('sha256').update(JSON.stringify(same)).digest('hex')
  return { run: `run-${digest.slice(0, 40)}`, member: shard.index }
}
