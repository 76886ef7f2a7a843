/** What is done when a balancer's API says that it is asked too often: asked later, and each time later still. */
import { BalancerError } from '../errors.ts'
import type { LoadBalancer } from './balancer.ts'
import type { ControllerDeps } from './place.ts'

/** Own doubling ends here, in milliseconds; what the API itself wants is honoured up to ten times as long. */
const longestMs = 60_000
const longestWantedMs = 10 * longestMs
/** The least a throttled API is left alone, in milliseconds, however often it is polled otherwise. */
const leastMs = 1000

export interface BackingOff {
  /** Milliseconds to leave the API alone after this error; undefined: it does not say that it is throttled. Anything else starts anew. */
  after(error: unknown): number | undefined
}

/** Doubles from `pollMs` with every throttled answer in a row, spread by a quarter so that several runs do not come back at once. */
export function backingOff(pollMs: number, random: () => number = Math.random): BackingOff {
  let inARow = 0
  return {
    after(error) {
      if (!(error instanceof BalancerError) || error.retryAfterMs === undefined) {
        inARow = 0
        return undefined
      }
      inARow++
      const own = Math.min(longestMs, Math.max(pollMs, leastMs) * 2 ** Math.min(inARow, 20))
      const wanted = Math.min(longestWantedMs, error.retryAfterMs)
      // Never sooner than it wants: the spread is upwards.
      return Math.max(own * (0.75 + random() / 2), wanted * (1 + random() / 4))
    },
  }
}

type Deps = Pick<ControllerDeps, 'clock' | 'signal' | 'random'>

/** Repeats `work` while the balancer says that it is asked too often, but begins no call later than `forMs`. Throws what `work` throws. */
export async function unthrottled<T>(
  { clock, signal, random }: Deps,
  forMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const until = clock.now() + forMs
  const pauses = backingOff(leastMs, random)
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (signal.aborted) throw signal.reason
      const pause = pauses.after(error)
      if (pause === undefined || clock.now() + pause > until) throw error
      await clock.sleep(pause, signal)
    }
  }
}

/** How long a question outside of a poll is repeated, in milliseconds. */
export const askedAgainMs = 60_000

/** The same balancer, whose questions before a removal live through throttling; polls and writes back off in the controller. */
export const patient = (balancer: LoadBalancer, deps: Pick<Deps, 'clock' | 'random'>): LoadBalancer => ({
  ...balancer,
  preflight: (servers, signal) =>
    unthrottled({ ...deps, signal }, askedAgainMs, () => balancer.preflight(servers, signal)),
  receipt: (server, signal) => unthrottled({ ...deps, signal }, askedAgainMs, () => balancer.receipt(server, signal)),
})
