/** Waits at one balancer until a server that was removed there is drained. */
import { BalancerError, messageOf, StillBusyError } from '../errors.ts'
import { backingOff, writtenAt } from './backing-off.ts'
import type { Evidence, Rotation } from './balancer.ts'
import { type ControllerDeps, describe, inRotation, type Place, pollPause, pollsInARow } from './place.ts'

/** `left`: connections that were still open (null: the balancer does not count them); `cut`: that were ended by `force`. */
export type Drained = { readonly left: number | null; readonly cut: number | null }

/** What one series of polls came to. */
type Seen =
  | { readonly is: 'drained' }
  | { readonly is: 'in'; readonly detail: string }
  | { readonly is: 'old connections'; readonly count: number | null; readonly detail: string }
  | { readonly is: 'unreadable'; readonly error: unknown }

/** How long the steps after drain_timeout are waited for, in milliseconds, at most drain_timeout itself. */
const insistMs = 30_000
/** How often a removal that is forgotten is written again: a balancer that ignores it is not asked for ever. */
const removedAgain = 3
/** Requests that came within this time mean that new ones still arrive, in milliseconds, or five polls. */
const arrivingMs = 2_000

const drainTimeoutMs = (place: Place, evidence: Evidence): number =>
  place.settings.drainTimeout !== undefined
    ? place.settings.drainTimeout * 1000
    : (evidence.longestDrainMs ?? 0) + 60_000

async function poll(
  place: Place,
  evidence: Evidence,
  removedAt: number,
  ms: number,
  deps: ControllerDeps,
): Promise<Seen> {
  const { clock, signal } = deps
  const until = clock.now() + ms
  let inARow = 0
  let servingInARow = 0
  let again = 0
  let served: number | undefined
  let arrivedAt = Number.NEGATIVE_INFINITY
  const throttled = backingOff(evidence.pollMs, deps.random)
  for (;;) {
    let seen: Seen
    let quiet = false
    let pause = pollPause(evidence.pollMs, deps.random)
    try {
      const rotation = await place.balancer.read(place.receipt, signal)
      throttled.after(undefined)
      const total = servedBy(rotation)
      const arrived = total !== undefined && served !== undefined && total > served
      served = total ?? served
      if (arrived) arrivedAt = clock.now()
      const empty = rotation.state === 'out' || (rotation.state === 'draining' && rotation.inFlight === 0 && !arrived)
      // Asked in each poll: the server is watched from the first one on, and says what was in a whole stretch of time.
      quiet = (await place.quiet?.(signal)) ?? true
      inARow = empty ? inARow + 1 : 0
      if (inARow >= pollsInARow && quiet && clock.now() - removedAt >= evidence.settleMs) return { is: 'drained' }
      const arriving = clock.now() - arrivedAt < Math.max(arrivingMs, 5 * evidence.pollMs)
      seen =
        empty && !quiet
          ? { is: 'old connections', count: null, detail: 'the server itself still sees traffic' }
          : judged(rotation, arriving)
      // A reload forgets the removal: it is written again, not waited for until drain_timeout.
      servingInARow = rotation.state === 'serving' ? servingInARow + 1 : 0
      if (servingInARow === pollsInARow && again++ < removedAgain) {
        servingInARow = 0
        await place.balancer.remove(place.receipt, signal)
      }
    } catch (error) {
      if (signal.aborted) throw signal.reason
      inARow = 0
      seen = { is: 'unreadable', error }
      pause = throttled.after(error) ?? pause
    }
    // A series of good answers under way is seen to its end.
    const good = inARow > 0 && quiet
    if (clock.now() >= until && !good) return seen
    // The look at the end is what decides: it is not slept over, however long the API wants to be left alone.
    await clock.sleep(good ? pause : Math.min(pause, Math.max(0, until - clock.now())), signal)
  }
}

const servedBy = (rotation: Rotation): number | undefined =>
  rotation.state === 'draining' ? rotation.served : undefined

function judged(rotation: Rotation, arriving: boolean): Seen {
  if (rotation.state === 'unknown') return { is: 'unreadable', error: new BalancerError(describe(rotation)) }
  if (inRotation(rotation)) return { is: 'in', detail: describe(rotation) }
  if (arriving) return { is: 'in', detail: `new requests still arrive: ${describe(rotation)}` }
  const count = rotation.state === 'draining' ? (rotation.inFlight ?? null) : 0
  return { is: 'old connections', count, detail: describe(rotation) }
}

/**
 * Resolves when drained, or with what is left where `on_drain_timeout` allows it. Throws BalancerError when new requests still
 * arrive at the end, when the balancer cannot be read, or when on_drain_timeout is `fail`. `removedAt`: of `deps.clock.now()`.
 */
export async function waitDrained(
  place: Place,
  evidence: Evidence,
  removedAt: number,
  deps: ControllerDeps,
): Promise<Drained> {
  const { balancer, receipt, settings } = place
  const timeout = drainTimeoutMs(place, evidence)
  const seconds = Math.round(timeout / 1000)
  const fail = (what: string, hint: string, cause?: unknown, Kind = BalancerError): never => {
    throw new Kind(`${balancer.name}: ${receipt.server} ${what}`, {
      server: receipt.server,
      stage: 'draining',
      hint,
      cause,
    })
  }
  const polls = (ms: number, writtenAt: number) => poll(place, evidence, writtenAt, ms, deps)
  const grace = Math.min(Math.max(timeout, evidence.settleMs + 5 * evidence.pollMs), insistMs)

  let seen = await polls(removedAt + timeout - deps.clock.now(), removedAt)
  // Uncounted "old connections" may be new requests: of sticky sessions, or by the server's own account. The step cuts nothing.
  const uncounted = seen.is === 'old connections' && seen.count === null
  if ((seen.is === 'in' || uncounted) && balancer.insist) {
    const insist = balancer.insist.bind(balancer)
    seen = await polls(grace, await writtenAt(deps, () => insist(receipt, deps.signal)))
  }
  if (seen.is === 'drained') return { left: 0, cut: null }
  if (seen.is === 'in')
    return fail(
      `still gets new requests ${seconds} s after its removal: ${seen.detail}`,
      'look at what undoes the removal: another tool, an agent check, a reload of the balancer, cookies that stick',
    )
  if (seen.is === 'unreadable')
    return fail(
      `cannot be seen drained within ${seconds} s: ${messageOf(seen.error)}`,
      'the balancer has to be readable before anything on the server is changed',
      seen.error,
    )
  const number = seen.count ?? 'an unknown number of'
  if (settings.onDrainTimeout === 'continue') return { left: seen.count, cut: null }
  if (settings.onDrainTimeout === 'fail')
    return fail(
      `still has ${number} old connections after ${seconds} s`,
      'raise drain_timeout, or let on_drain_timeout be continue or force',
      undefined,
      StillBusyError,
    )
  if (!balancer.force)
    return fail(
      `still has ${number} old connections after ${seconds} s, and this balancer cannot cut them`,
      'let on_drain_timeout be continue, or raise drain_timeout',
    )
  const force = balancer.force.bind(balancer)
  const after = await polls(grace, await writtenAt(deps, () => force(receipt, deps.signal)))
  if (after.is === 'drained') return { left: 0, cut: seen.count }
  return fail('still has connections after they were cut', 'look at the balancer: it does not do what it is told')
}
