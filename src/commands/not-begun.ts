/** The servers of a run that ended before it came to them. */
import type { Manifest, Server } from '../manifest/manifest.ts'
import { selectServers } from '../plan/select.ts'
import { type Shard, shardServers } from '../plan/shards.ts'
import type { Context } from './context.ts'

const changing: ReadonlySet<Context['request']['command']> = new Set(['deploy', 'rollback', 'recover'])

/** Tells of each selected server that has not ended that it is pending: an empty `retry` would be "nothing to do" for the next run. */
export function tellNotBegun({ request, manifest, emit }: Context, hasEnded: (server: string) => boolean): void {
  if (!changing.has(request.command)) return
  const all = selectedOrNone(manifest.servers, request.servers)
  for (const { name } of request.shard === null ? all : shardServers(all, request.shard))
    if (!hasEnded(name))
      emit({
        type: 'server-ended',
        server: name,
        outcome: 'pending',
        rotation: 'none',
        leftOut: false,
        keptOut: false,
        notVerified: false,
        release: null,
        previous: null,
      })
}

/** Of a shard's run: which one it is, and whom all of them have. */
export const shardOf = (
  { shard, servers }: Pick<Context['request'], 'shard' | 'servers'>,
  manifest: Pick<Manifest, 'servers'>,
): { readonly shard?: Shard; readonly selection?: readonly string[] } =>
  shard === null ? {} : { shard, selection: selectedOrNone(manifest.servers, servers).map(s => s.name) }

/** A selection that is wrong is what the run ended with. */
function selectedOrNone(servers: readonly Server[], input: string): readonly Server[] {
  try {
    return selectServers(servers, input)
  } catch {
    return []
  }
}
