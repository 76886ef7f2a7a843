/** Sets one origin of a pool, and notices who else wrote the list: all others have to be afterwards what they were before. */
import { BalancerError } from '../errors.ts'
import type { CloudflareApi, PoolRead } from './cloudflare-api.ts'
import { othersChanged, withEnabled } from './cloudflare-origins.ts'
import { isEnabled } from './cloudflare-rotation.ts'
import { oneAtATime } from './one-at-a-time.ts'
import { RestError } from './rest-errors.ts'

export interface PoolWrite {
  readonly pool: string
  readonly server: string
  readonly enabled: boolean
  /** Where the server's origin stands in the list. Throws BalancerError. */
  readonly index: (pool: PoolRead) => number
}

/** A write whose result was not seen yet. */
interface Open {
  readonly before: PoolRead
  readonly write: PoolWrite
}

/** Writes nothing where it is so already. Throws BalancerError, also when the write was done and others were changed meanwhile. */
export function poolWriter(name: string, api: CloudflareApi) {
  /** What could not be read back is compared before the next write. */
  const open = new Map<string, Open>()

  const where = (pool: PoolRead) => `${name}: pool ${pool.name || pool.id}`
  const modified = (pool: PoolRead) => (pool.modified_on ? `, last at ${pool.modified_on}` : '')
  const hint =
    "a pool's origins can only be written as a whole: let one deployment at a time write this pool, and nothing else meanwhile; the account's audit log says who did"

  function compareOthers({ before, write }: Open, after: PoolRead): void {
    const changed = othersChanged(before, after, { before: write.index(before), after: write.index(after) })
    if (changed.length === 0) return
    const doing = `${write.server} was ${write.enabled ? 'enabled' : 'disabled'}`
    throw new BalancerError(
      `${where(after)} was written by somebody else while ${doing}${modified(after)}: ${changed.join('; ')}`,
      { server: write.server, hint },
    )
  }

  function compareOwn({ server, enabled, index }: PoolWrite, after: PoolRead): void {
    const origin = after.origins[index(after)]
    if (origin !== undefined && isEnabled(origin) === enabled) return
    throw new BalancerError(
      `${where(after)}: ${server} is not ${enabled ? 'enabled' : 'disabled'} although Cloudflare said so: it ignored the change, or somebody else wrote the list after us${modified(after)}`,
      { server, hint },
    )
  }

  return (write: PoolWrite, signal: AbortSignal): Promise<void> =>
    oneAtATime(`${api.base()}/pools/${write.pool}`, signal, async () => {
      const before = await api.pool(write.pool, signal)
      const earlier = open.get(write.pool)
      open.delete(write.pool)
      if (earlier !== undefined) compareOthers(earlier, before)

      const index = write.index(before)
      const origin = before.origins[index]
      if (origin === undefined || isEnabled(origin) === write.enabled) return
      open.set(write.pool, { before, write })
      const doing = `${write.enabled ? 'enable' : 'disable'} ${write.server} in pool ${before.name || before.id}`
      try {
        await api.write(write.pool, withEnabled(before, index, write.enabled), doing, write.server, signal)
      } catch (error) {
        // Refused: nothing was written. Without an answer nobody knows.
        if (error instanceof RestError && error.status !== undefined && error.status < 500) open.delete(write.pool)
        throw error
      }
      const after = await api.pool(write.pool, signal)
      open.delete(write.pool)
      compareOthers({ before, write }, after)
      compareOwn(write, after)
    })
}
