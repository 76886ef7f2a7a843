/**
 * Keeps the lock of one server alive: renewed every 10 s on a channel of its own. The owner counts from the moment it sent the last
 * renewal that was answered, by whichever of its clocks moved more (semantics.md, Lock): a machine that slept knows it on waking.
 */
import type { Clock } from '../clock.ts'
import { ConnectionError, LockLostError, messageOf } from '../errors.ts'
import type { Connection } from '../fleet/connection.ts'
import { LOCK_LOST } from '../release/exit-codes.ts'
import { renewLock } from '../release/lock.ts'
import { leaseSeconds, type Owner } from '../release/prelude.ts'
import type { Site } from '../release/site.ts'

const renewEvery = 10
/** With less than this left nothing is started on the server any more. */
const tooLittle = 15
/** A sleep does not count the time a machine was suspended, so what is left is looked at again and again. */
const lookEvery = 1

export interface Lease {
  /** Aborted with a LockLostError when the lock is known to be another's, or the lease ran out unanswered. */
  readonly lost: AbortSignal
  /** Looks at the clocks, also before the timer does. */
  isLost(): boolean
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
    if (stopped.signal.aborted) return
    lost.abort(
      new LockLostError(`the lock on ${server} is lost: ${why}`, {
        server,
        hint: 'another deployment may have taken over; nothing more is done there by this one',
      }),
    )
    stopped.abort()
  }
  let unanswered = ''
  /** What is lost stays lost: an answer that comes later changes nothing. */
  const isLost = () => {
    if (left() <= 0) lose(`no renewal was answered for ${leaseSeconds} s${unanswered}`)
    return lost.signal.aborted
  }
  const renewing = async () => {
    while (!stopped.signal.aborted) {
      await clock.sleep(renewEvery * 1000, stopped.signal)
      if (isLost()) return
      const sent = { now: clock.now(), wall: clock.wall() }
      try {
        if (!(await renew(stopped.signal))) return lose('it is held by another or gone')
        if (isLost()) return
        confirmed = sent
        unanswered = ''
      } catch (error) {
        unanswered = `: ${messageOf(error)}`
      }
    }
  }
  /** A renewal that hangs keeps nothing alive. */
  const watching = async () => {
    while (!isLost() && !stopped.signal.aborted) await clock.sleep(Math.min(left(), lookEvery) * 1000, stopped.signal)
  }
  renewing().catch(() => {})
  watching().catch(() => {})
  return {
    lost: lost.signal,
    isLost,
    assertHeld() {
      if (isLost()) throw lost.signal.reason
      if (left() < tooLittle)
        throw new LockLostError(
          `the lock on ${server} has ${Math.max(0, Math.round(left()))} s left, too little to start anything`,
          { server },
        )
    },
    stop: () => stopped.abort(),
  }
}

/** Seconds for a renewal, and with the connection that may have to be made for it. */
const renewalSeconds = 20
const withConnection = 30

/** `keepLease`'s renewal on a server. A connection on which it is not answered is closed: the next one is made on another. */
export const renewing =
  (server: string, site: Site, owner: Owner, connect: (signal: AbortSignal) => Promise<Connection>) =>
  async (stopped: AbortSignal): Promise<boolean> => {
    const signal = AbortSignal.any([stopped, AbortSignal.timeout(withConnection * 1000)])
    const connection = await connect(signal)
    const result = await connection.run(renewLock(site, owner), { signal, timeout: renewalSeconds })
    if (result.ended === 'exit' && result.code === 0) return true
    if (result.ended === 'exit' && result.code === LOCK_LOST) return false
    if (result.ended === 'exit')
      throw new ConnectionError(`${server}: ${result.stderr.trim() || `exit code ${result.code}`}`, { server })
    if (!stopped.aborted) connection.close()
    throw new ConnectionError(
      `${server}: ${result.ended === 'lost' ? result.reason : `no answer within ${renewalSeconds} s`}`,
      { server },
    )
  }
