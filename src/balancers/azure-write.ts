/** Sets the admin state of one address of a pool, which can only be written as a whole, and follows the change until it has ended. */
import type { Clock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import { type PoolAddress, type PoolRead, withAdminState } from './azure-answers.ts'
import type { AzureApi, Following, PoolPath } from './azure-api.ts'
import { isDown } from './azure-pool.ts'
import { oneAtATime } from './one-at-a-time.ts'
import { RestError, shortened } from './rest-errors.ts'

export type Change = 'remove' | 'restore'

interface Remembered {
  readonly what: Change
  readonly following: Following
  /** Of the clock; undefined: it runs. */
  readonly ended?: number
}

export interface AzureWriter {
  /** Writes nothing where it is so already. Throws BalancerError; with `retryAfterMs` where somebody else wrote at that moment. */
  set(server: string, what: Change, signal: AbortSignal): Promise<void>
  /** The change that still runs. One that failed is an error, once. */
  running(server: string, signal: AbortSignal): Promise<{ readonly what: Change; readonly detail: string } | undefined>
  /** Milliseconds since a restore of this process has ended; undefined: none has. */
  sinceRestore(server: string): number | undefined
  /** Said when a server was found not to be Down: there is nothing to wait for when it is restored. */
  stands(server: string): void
}

export function azureWriter(
  name: string,
  api: AzureApi,
  path: () => PoolPath,
  address: (server: string, pool: PoolRead) => PoolAddress,
  clock: Pick<Clock, 'now'>,
  outdated: () => void,
): AzureWriter {
  const all = new Map<string, Remembered>()
  /** Not Down when looked at, and not removed since. */
  const standing = new Set<string>()

  /** Follows the last change. `failed`: it ended so; told once. */
  async function look(server: string, signal: AbortSignal) {
    const last = all.get(server)
    if (last?.following === undefined || last.ended !== undefined) return undefined
    const now = await api.follow(last.following, signal)
    if (now.state === 'running') {
      const detail = `the change to its admin state is ${shortened(now.detail)}`
      return { what: last.what, detail, failed: undefined }
    }
    outdated()
    if (all.get(server) === last) {
      if (now.state === 'ended') all.set(server, { ...last, ended: clock.now() })
      else all.delete(server)
    }
    return now.state === 'ended' ? undefined : { what: last.what, detail: '', failed: shortened(now.why) }
  }

  return {
    set: (server, what, signal) =>
      // Each write changes the ETag of the whole load balancer: two of this process would refuse each other.
      oneAtATime(`${api.base()}${path().balancer.toLowerCase()}`, signal, async () => {
        outdated()
        const last = await look(server, signal)
        const runs = last?.failed === undefined ? last : undefined
        if (runs?.what === what) return
        const pool = await api.pool(path(), signal)
        const { index, ...at } = address(server, pool)
        const wanted = what === 'remove' ? 'Down' : 'None'
        if (isDown(at) === (what === 'remove')) {
          // It is so only until that change ends.
          if (runs !== undefined)
            throw new BalancerError(`${name}: ${server} cannot be changed yet: ${runs.detail}`, {
              server,
              retryAfterMs: 0,
              hint: 'it is tried again until the time-out',
            })
          // Somebody else restored it, a moment ago for all that is known: its probes have to pass first.
          const waited = standing.has(server) || all.get(server)?.what === 'restore'
          if (what === 'restore' && !waited) all.set(server, { what, following: undefined, ended: clock.now() })
          return
        }
        try {
          const doing = `set the admin state of ${server} to ${wanted}`
          const body = withAdminState(pool, index, wanted)
          const following = await api.write(path(), body, pool.etag, doing, server, signal)
          all.set(server, { what, following, ...(following === undefined ? { ended: clock.now() } : {}) })
          if (what === 'remove') standing.delete(server)
        } catch (error) {
          if (!(error instanceof RestError) || error.status !== 412) throw error
          throw new BalancerError(`${error.message}: nothing was written`, {
            server,
            cause: error,
            // The next try begins with the pool as it is then.
            retryAfterMs: 0,
            hint: 'it is tried again; where that does not end, look who else writes this load balancer: its activity log says',
          })
        } finally {
          outdated()
        }
      }),
    async running(server, signal) {
      const last = await look(server, signal)
      if (last?.failed === undefined) return last
      throw new BalancerError(`${name}: Azure could not ${last.what} ${server}: ${last.failed}`, {
        server,
        hint: "look at the load balancer's activity log",
      })
    },
    sinceRestore(server) {
      const last = all.get(server)
      return last?.what === 'restore' && last.ended !== undefined ? clock.now() - last.ended : undefined
    },
    stands(server) {
      if (all.get(server)?.what !== 'restore') standing.add(server)
    },
  }
}
