/** What is done when a balancer's API says that it is asked too often: asked later, and each time later still. */
import { BalancerError } from '../errors.ts'
import type { LoadBalancer } from './balancer.ts'
import type { ControllerDeps } from './place.ts'

/** Own doubling ends here, in milliseconds; what the API itself wants is honoured up to ten times as long. */
const longestMs = 60_000
const longestWantedMs = 10 * longestMs
/** The least a throttled API is left alone, in milliseconds, however often it is polled otherwise, unless it wants less itself. */
const leastMs = 1000
/** Who wants to be left alone for less is full for a moment, not throttled: its pause is doubled so often, and no more. */
const briefDoublings = 2
/** So long that moment may last, in milliseconds: sshd tells a socket that is full and one that is not there alike. */
const longestMomentMs = 5000

const isBrief = (wantedMs: number): boolean => wantedMs > 0 && wantedMs < leastMs

export interface BackingOff {
  /** Milliseconds to leave the API alone after this error; undefined: it does not say that it is throttled. Anything else starts anew. */
  after(error: unknown): number | undefined
}

/**
 * Doubles from `pollMs`, or from what the API wants where that is less than a second, with every throttled answer in a row; spread by a
 * quarter so that several runs do not come back at once.
 */
export function backingOff(pollMs: number, random: () => number = Math.random): BackingOff {
  let inARow = 0
  return {
    after(error) {
      if (!(error instanceof BalancerError) || error.retryAfterMs === undefined) {
        inARow = 0
        return undefined
      }
      inARow++
      const wanted = Math.min(longestWantedMs, error.retryAfterMs)
      const own = isBrief(wanted)
        ? wanted * 2 ** Math.min(inARow, briefDoublings)
        : Math.min(longestMs, Math.max(pollMs, leastMs) * 2 ** Math.min(inARow, 20))
      // Never sooner than it wants: the spread is upwards.
      return Math.max(own * (0.75 + random() / 2), wanted * (1 + random() / 4))
    },
  }
}

const patienceMs = (error: unknown, forMs: number): number =>
  error instanceof BalancerError && isBrief(error.retryAfterMs ?? 0) ? Math.min(forMs, longestMomentMs) : forMs

type Deps = Pick<ControllerDeps, 'clock' | 'signal' | 'random'>

/**
 * Repeats `work` while the balancer says that it is asked too often, but begins no call later than `forMs`, or 5 s where it is only full
 * for a moment. Throws what `work` throws.
 */
export async function unthrottled<T>(
  { clock, signal, random }: Deps,
  forMs: number,
  work: () => Promise<T>,
): Promise<T> {
  const start = clock.now()
  const pauses = backingOff(leastMs, random)
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (signal.aborted) throw signal.reason
      const pause = pauses.after(error)
      if (pause === undefined || clock.now() + pause > start + patienceMs(error, forMs)) throw error
      await clock.sleep(pause, signal)
    }
  }
}

/** How long a question outside of a poll is repeated, in milliseconds. */
export const askedAgainMs = 60_000

/** Writes, and again while the balancer is throttled. When the write that was done began, of the clock. */
export async function writtenAt(deps: Deps, write: () => Promise<void>): Promise<number> {
  let at = deps.clock.now()
  await unthrottled(deps, askedAgainMs, () => {
    at = deps.clock.now()
    return write()
  })
  return at
}

/** The same balancer, whose questions before a removal live through throttling; polls and writes back off in the controller. */
export function patient(balancer: LoadBalancer, deps: Pick<Deps, 'clock' | 'random'>): LoadBalancer {
  const { isOurs } = balancer
  const again = <T>(signal: AbortSignal, work: () => Promise<T>) => unthrottled({ ...deps, signal }, askedAgainMs, work)
  return {
    ...balancer,
    preflight: (servers, signal) => again(signal, () => balancer.preflight(servers, signal)),
    receipt: (server, signal) => again(signal, () => balancer.receipt(server, signal)),
    ...(isOurs && { isOurs: (receipt, signal) => again(signal, () => isOurs.call(balancer, receipt, signal)) }),
  }
}
