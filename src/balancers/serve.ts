/** Restores a server at its balancers and waits until it is seen serving. */
import { BalancerError, messageOf } from '../errors.ts'
import { askedAgainMs, backingOff, unthrottled } from './backing-off.ts'
import type { Evidence, Rotation } from './balancer.ts'
import { type ControllerDeps, describe, inRotation, type Place, pollPause, pollsInARow } from './place.ts'

export type Back =
  /** `at`: of the clock. */
  | { readonly is: 'good'; readonly at: number }
  /** Somebody else took it out while it was out, or while it came back: it stays out. */
  | { readonly is: 'kept'; readonly at: number; readonly detail: string }
  /** The balancer answers, and does not send it requests. */
  | { readonly is: 'bad'; readonly error: BalancerError }
  /** The balancer could not be written or read to the end. */
  | { readonly is: 'unknown'; readonly error: BalancerError }

interface ServeDeps extends ControllerDeps {
  /** `as before`: a server that did not serve before needs only to be where it was. */
  readonly good: 'serving' | 'as before'
}

/** How often a balancer that tells nothing of itself is asked, in milliseconds. */
const defaultPollMs = 1000

const addTimeoutMs = (place: Place, evidence: Evidence | undefined): number => {
  if (place.settings.addTimeout !== undefined) return place.settings.addTimeout * 1000
  return evidence?.longestAddMs === undefined ? 120_000 : evidence.longestAddMs + 60_000
}

const attempt = async <T>(
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<{ readonly value: T } | { readonly error: unknown }> => {
  try {
    return { value: await work() }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    return { error }
  }
}

/** The restore calls one after the other in the order given, then the waits at the same time. Throws only the signal's reason. */
export async function restoreAndWait(places: readonly Place[], deps: ServeDeps) {
  const started: { place: Place; written: boolean; error: unknown }[] = []
  const kept: { place: Place; back: Back }[] = []
  const start = deps.clock.now()
  for (const place of places) {
    const askWhose = async () => (await place.theirs?.(deps.signal)) ?? false
    // What cannot be asked is found out by restoring it; one that is only asked too often will say.
    const theirs = await attempt(deps.signal, () => unthrottled(deps, askedAgainMs, askWhose))
    if ('value' in theirs && theirs.value) {
      kept.push({ place, back: { is: 'kept', at: deps.clock.now(), detail: 'taken out by somebody else meanwhile' } })
      continue
    }
    const wrote = await attempt(deps.signal, () => place.balancer.restore(place.receipt, deps.signal))
    const error = 'error' in wrote ? wrote.error : undefined
    if (!('error' in wrote)) deps.onProgress(restored(place, (deps.clock.now() - start) / 1000))
    started.push({ place, written: !('error' in wrote), error })
  }
  const waited = await Promise.all(
    started.map(async ({ place, written, error }) => ({
      place,
      back: await waitServing(place, start, written, error, deps),
    })),
  )
  return [...kept, ...waited]
}

const restored = (place: Place, seconds: number) =>
  ({
    type: 'balancer',
    server: place.receipt.server,
    balancer: place.balancer.name,
    what: 'restored',
    seconds,
  }) as const

async function waitServing(place: Place, start: number, wasWritten: boolean, firstError: unknown, deps: ServeDeps) {
  const { clock, signal } = deps
  const { balancer, receipt } = place
  let written = wasWritten
  let error = firstError
  let rotation: Rotation | undefined
  let evidence: Evidence | undefined
  let inARow = 0
  let wasIn = false
  let outInARow = 0
  const throttled = backingOff(defaultPollMs, deps.random)
  for (;;) {
    const tried = await attempt(signal, async () => {
      evidence ??= await balancer.evidence(receipt, signal)
      if (!written) {
        const again = await attempt(signal, () => balancer.restore(receipt, signal))
        // Who may not write took nothing out either: where it stands as before, there is nothing to write.
        if ('error' in again) {
          const now = deps.good === 'as before' ? await balancer.read(receipt, signal) : undefined
          if (now && isGood(now, place, deps)) return now
          throw again.error
        }
        written = true
        deps.onProgress(restored(place, (clock.now() - start) / 1000))
      }
      return balancer.read(receipt, signal)
    })
    rotation = 'value' in tried ? tried.value : undefined
    error = 'error' in tried ? tried.error : undefined
    const settled = clock.now() - start >= (evidence?.addSettleMs ?? 0)
    inARow = settled && rotation && isGood(rotation, place, deps) ? inARow + 1 : 0
    if (inARow >= pollsInARow) return { is: 'good', at: clock.now() } as const
    // Nobody of us takes it out here, so one that was in and is not any more was taken out by a person.
    if (settled && rotation && inRotation(rotation)) wasIn = true
    outInARow = wasIn && rotation && isOut(rotation) ? outInARow + 1 : 0
    if (outInARow >= pollsInARow && rotation)
      return { is: 'kept', at: clock.now(), detail: describe(rotation) } as const
    const timeout = addTimeoutMs(place, evidence)
    // A series of good answers under way is seen to its end.
    if (clock.now() - start >= timeout && inARow === 0) return notServing(place, timeout, rotation, error)
    const pause = throttled.after(error) ?? pollPause(evidence?.pollMs ?? defaultPollMs, deps.random)
    // At least a millisecond: what is left of a timeout may round to nothing before it is over.
    await clock.sleep(inARow > 0 ? pause : Math.min(pause, Math.max(1, start + timeout - clock.now())), signal)
  }
}

const isOut = (rotation: Rotation): boolean => !inRotation(rotation) && rotation.state !== 'unknown'

const isGood = (rotation: Rotation, place: Place, deps: ServeDeps): boolean =>
  rotation.state === 'serving' || (deps.good === 'as before' && rotation.state === place.receipt.before)

function notServing(place: Place, timeout: number, rotation: Rotation | undefined, error: unknown): Back {
  const { balancer, receipt } = place
  const what = `${balancer.name}: ${receipt.server} does not serve ${Math.round(timeout / 1000)} s after it was put back`
  const facts = { server: receipt.server, stage: 'adding' }
  if (rotation === undefined || rotation.state === 'unknown')
    return {
      is: 'unknown',
      error: new BalancerError(`${what}: ${rotation ? describe(rotation) : messageOf(error)}`, {
        ...facts,
        cause: error,
        hint: 'the balancer cannot be written or read: where the server stands is not known',
      }),
    }
  return {
    is: 'bad',
    error: new BalancerError(`${what}: ${describe(rotation)}`, {
      ...facts,
      hint: "look at the balancer's own health check, and at add_timeout if it only needs longer",
    }),
  }
}
