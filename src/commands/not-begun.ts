/** The servers of a run that ended before it came to them. */
import type { Server } from '../manifest/manifest.ts'
import { selectServers } from '../plan/select.ts'
import type { Context } from './context.ts'

const changing: ReadonlySet<Context['request']['command']> = new Set(['deploy', 'rollback', 'recover'])

/** Tells of each selected server that has not ended that it is pending: an empty `retry` would be "nothing to do" for the next run. */
export function tellNotBegun({ request, manifest, emit }: Context, hasEnded: (server: string) => boolean): void {
  if (!changing.has(request.command)) return
  for (const { name } of selectedOrNone(manifest.servers, request.servers))
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

/** A selection that is wrong is what the run ended with. */
function selectedOrNone(servers: readonly Server[], input: string): readonly Server[] {
  try {
    return selectServers(servers, input)
  } catch {
    return []
  }
}
