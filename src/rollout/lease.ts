/**
 * Keeps the lock of one server alive: renewed every 10 s on a channel of its own. The owner counts from the moment it sent the last
 * renewal that was answered, by whichever of its clocks moved more (semantics.md, Lock): a machine that slept knows it on waking.
 */
import type { Clock } from '../clock.ts'
import { LockLostError, messageOf } from '../errors.ts'
import { leaseSeconds } from '../release/prelude.ts'

const renewEvery = 10
/** With less than this left nothing is started on the server any more. */
const tooLittle = 15

export interface Lease {
  /** Aborted with a LockLostError when the lock is known to be another's, or the lease ran out unanswered. */
  readonly lost: AbortSignal
  /** Throws LockLostError unless enough of the lease is left to start something. */
  assertHeld(): void
  stop(): void
}

/** `renew` says whether the lock is still ours; it throws when the server cannot be asked. */
export function keepLease(
  server: string,
  takenAt: { readonly now: number; readonly wall: number },
  clock: Clock,
  renew: (signal: AbortSignal) => Promise<boolean>,
): Lease {
  const lost = new AbortController()
  const stopped = new AbortController()
  let confirmed = takenAt
  const left = () => leaseSeconds - Math.max(clock.now() - confirmed.now, clock.wall() - confirmed.wall) / 1000
  const lose = (why: string) => {
    if (!lost.signal.aborted)
      lost.abort(
        new LockLostError(`the lock on ${server} is lost: ${why}`, {
          server,
          hint: 'another deployment may have taken over; nothing more is done there by this one',
        }),
      )
    stopped.abort()
  }
  const loop = async () => {
    while (!stopped.signal.aborted) {
      await clock.sleep(renewEvery * 1000, stopped.signal)
      const sent = { now: clock.now(), wall: clock.wall() }
      try {
        if (!(await renew(stopped.signal))) return lose('it is held by another or gone')
        confirmed = sent
      } catch (error) {
        if (stopped.signal.aborted) return
        if (left() <= 0) return lose(`it could not be renewed: ${messageOf(error)}`)
      }
    }
  }
  loop().catch(() => {})
  return {
    lost: lost.signal,
    assertHeld() {
      if (lost.signal.aborted) throw lost.signal.reason
      if (left() < tooLittle)
        throw new LockLostError(
          `the lock on ${server} has ${Math.max(0, Math.round(left()))} s left, too little to start anything`,
          { server },
        )
    },
    stop: () => stopped.abort(),
  }
}
