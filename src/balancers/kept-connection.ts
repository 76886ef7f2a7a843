/** One connection for a machine, made when first needed, kept, and made again when it was lost. */
import type { Connection } from '../fleet/connection.ts'
import type { Server } from '../manifest/manifest.ts'

/** Opens a connection that the balancer may keep and will close. */
export type Connect = (server: Server, signal: AbortSignal) => Promise<Connection>

export interface KeptConnection {
  /** Throws what `connect` throws. */
  get(signal: AbortSignal): Promise<Connection>
  close(): void
}

/** Opens nothing yet. */
export function keptConnection(server: Server, connect: Connect): KeptConnection {
  let current: Promise<Connection> | undefined
  return {
    async get(signal) {
      for (;;) {
        const seen = current
        const open = await seen?.catch(() => undefined)
        if (open && !open.closed.aborted) return open
        // Someone else may have begun another one while this one was looked at.
        if (current === seen) break
      }
      const next = connect(server, signal)
      current = next
      return next
    },
    close() {
      current?.then(
        open => open.close(),
        () => undefined,
      )
      current = undefined
    },
  }
}
