/**
 * Takes servers out of rotation and brings them back: all waiting for all providers is here and in drain.ts and serve.ts.
 * Contract: spec/load-balancers.md, "The controller". An aborted signal ends everything here with its reason.
 */
import { BalancerError, messageOf } from '../errors.ts'
import { awaited, watchArrivals } from './arrival.ts'
import { askedAgainMs, unthrottled, writtenAt } from './backing-off.ts'
import type { Evidence } from './balancer.ts'
import { type Drained, waitDrained } from './drain.ts'
import { type ControllerDeps, describe, inRotation, type Place, type Progress } from './place.ts'
import { type Back, restoreAndWait } from './serve.ts'

export type TakenOut =
  /** Nothing arrives any more. `left`: old connections that were there at drain_timeout, by balancer; null: not counted. */
  | {
      readonly result: 'drained'
      readonly left: Readonly<Record<string, number | null>>
      readonly cut: Readonly<Record<string, number | null>>
    }
  /** In rotation again after it was drained: to be removed once more. Nothing was restored. */
  | { readonly result: 'serving-again'; readonly balancer: string; readonly detail: string }
  /** One balancer failed: restored at all; `back` says whether that was seen. */
  | { readonly result: 'failed'; readonly error: BalancerError; readonly back: BroughtBack }

export type BroughtBack =
  /** `keptOut`: balancers where somebody else took it out meanwhile, so that it stays out there. */
  | { readonly result: 'serving'; readonly keptOut?: readonly string[] }
  /** Not healthy at add_timeout, and removed again. `confirmed`: it was seen out afterwards. */
  | { readonly result: 'left-out'; readonly error: BalancerError; readonly confirmed: boolean }
  /** A balancer could not be written or read until add_timeout: where the server stands is not known. */
  | { readonly result: 'unknown'; readonly error: BalancerError }

export type StillOut =
  | { readonly out: true }
  | { readonly out: false; readonly balancer: string; readonly detail: string }

const seconds = (from: number, to: number): number => (to - from) / 1000

const asBalancerError = (place: Place, error: unknown): BalancerError =>
  error instanceof BalancerError
    ? error
    : new BalancerError(`${place.balancer.name}: ${messageOf(error)}`, { server: place.receipt.server, cause: error })

/** Every `work` at the same time; the first failure ends the others through their signal, and is thrown when all have ended. */
async function together<R>(
  places: readonly Place[],
  deps: ControllerDeps,
  work: (place: Place, deps: ControllerDeps) => Promise<R>,
): Promise<R[]> {
  const others = new AbortController()
  const signal = AbortSignal.any([deps.signal, others.signal])
  let failed: { place: Place; error: unknown } | undefined
  const results = await Promise.all(
    places.map(async place => {
      try {
        return [await work(place, { ...deps, signal })]
      } catch (error) {
        failed ??= { place, error }
        others.abort(error)
        return []
      }
    }),
  )
  if (deps.signal.aborted) throw deps.signal.reason
  if (failed) throw asBalancerError(failed.place, failed.error)
  return results.flat()
}

async function removeAndDrain(places: readonly Place[], deps: ControllerDeps): Promise<Drained[]> {
  const { clock, signal, onProgress } = deps
  const removed: { place: Place; evidence: Evidence; at: number }[] = []
  for (const place of places) {
    try {
      const { balancer, receipt } = place
      const evidence = await unthrottled(deps, askedAgainMs, () => balancer.evidence(receipt, signal))
      const at = await writtenAt(deps, () => balancer.remove(receipt, signal))
      removed.push({ place, evidence, at })
      onProgress(told(place, 'removed', seconds(at, clock.now())))
    } catch (error) {
      if (signal.aborted) throw signal.reason
      throw asBalancerError(place, error)
    }
  }
  return together(places, deps, async (place, own) => {
    const entry = removed.find(r => r.place === place)
    if (!entry) throw new Error(`${place.balancer.name} was not removed from`)
    const drained = await waitDrained(place, entry.evidence, entry.at, own)
    onProgress(told(place, 'drained', seconds(entry.at, clock.now()), detailOf(drained)))
    return drained
  })
}

function detailOf(drained: Drained): string | undefined {
  if (drained.cut !== null) return `${drained.cut} old connections cut`
  if (drained.left === 0) return undefined
  return `${drained.left ?? 'an unknown number of'} old connections left`
}

function told(
  place: Place,
  what: 'removed' | 'drained' | 'restored' | 'serving' | 'kept-out',
  took: number,
  detail?: string,
): Progress {
  const base = {
    type: 'balancer',
    server: place.receipt.server,
    balancer: place.balancer.name,
    what,
    seconds: took,
  } as const
  return detail === undefined ? base : { ...base, detail }
}

/** One wait for all balancers: the largest. */
async function wait(places: readonly Place[], what: 'waitAfterRemoving' | 'waitAfterAdding', deps: ControllerDeps) {
  const longest = Math.max(0, ...places.map(p => p.settings[what]))
  const [first] = places
  if (longest === 0 || !first) return
  const name = what === 'waitAfterRemoving' ? 'wait_after_removing_servers' : 'wait_after_adding_servers'
  deps.onProgress({ type: 'waiting', server: first.receipt.server, what: name, seconds: longest })
  await deps.clock.sleep(longest * 1000, deps.signal)
}

/**
 * Removes one server from all its balancers in the order given, waits until it is drained at each, waits, and reads once more. When
 * one balancer fails the server is restored at all. Throws only the signal's reason.
 */
export async function takeOut(places: readonly Place[], deps: ControllerDeps): Promise<TakenOut> {
  let drained: Drained[]
  try {
    drained = await removeAndDrain(places, deps)
  } catch (error) {
    if (deps.signal.aborted) throw deps.signal.reason
    if (!(error instanceof BalancerError)) throw error
    return { result: 'failed', error, back: await putAsBefore(places, deps) }
  } finally {
    for (const place of places) place.rest?.()
  }
  await wait(places, 'waitAfterRemoving', deps)
  const still = await confirmOut(places, deps)
  if (!still.out) return { result: 'serving-again', balancer: still.balancer, detail: still.detail }
  const byName = (pick: (d: Drained) => number | null) =>
    Object.fromEntries(places.flatMap((p, i) => (drained[i] ? [[p.balancer.name, pick(drained[i])]] : [])))
  return { result: 'drained', left: byName(d => d.left), cut: byName(d => d.cut) }
}

/**
 * Reads once more: a reload of the balancer forgets a removal. What cannot be read is not out. Throws only the signal's reason.
 */
export async function confirmOut(
  places: readonly Place[],
  deps: Pick<ControllerDeps, 'clock' | 'signal' | 'random'>,
): Promise<StillOut> {
  const all = await Promise.all(
    places.map(async ({ balancer, receipt }): Promise<StillOut> => {
      try {
        const rotation = await unthrottled(deps, askedAgainMs, () => balancer.read(receipt, deps.signal))
        return inRotation(rotation) || rotation.state === 'unknown'
          ? { out: false, balancer: balancer.name, detail: describe(rotation) }
          : { out: true }
      } catch (error) {
        if (deps.signal.aborted) throw deps.signal.reason
        return { out: false, balancer: balancer.name, detail: messageOf(error) }
      }
    }),
  )
  return all.find(s => !s.out) ?? { out: true }
}

/** Restored in reverse order; what is still not serving at its add_timeout decides. */
async function restoreAll(places: readonly Place[], deps: ControllerDeps, good: 'serving' | 'as before') {
  const reverse = [...places].reverse()
  const start = deps.clock.now()
  const backs = await restoreAndWait(reverse, { ...deps, good })
  for (const { place, back } of backs)
    if (back.is === 'good') deps.onProgress(told(place, 'serving', seconds(start, back.at)))
    else if (back.is === 'kept') deps.onProgress(told(place, 'kept-out', seconds(start, back.at), back.detail))
  return backs
}

const firstOf = <K extends Back['is']>(backs: readonly { place: Place; back: Back }[], is: K) =>
  backs.flatMap(({ place, back }) => (back.is === is ? [{ place, back: back as Extract<Back, { is: K }> }] : []))[0]

const keptOut = (backs: readonly { place: Place; back: Back }[]): readonly string[] =>
  backs.flatMap(({ place, back }) => (back.is === 'kept' ? [place.balancer.name] : []))

const served = (kept: readonly string[]): BroughtBack =>
  kept.length === 0 ? { result: 'serving' } : { result: 'serving', keptOut: kept }

/** After a removal that failed: what the receipts say, and nothing is removed again. */
async function putAsBefore(places: readonly Place[], deps: ControllerDeps): Promise<BroughtBack> {
  const backs = await restoreAll(places, deps, 'as before')
  const bad = firstOf(backs, 'bad')
  if (bad) return { result: 'left-out', error: bad.back.error, confirmed: false }
  const unknown = firstOf(backs, 'unknown')
  return unknown ? { result: 'unknown', error: unknown.back.error } : served(keptOut(backs))
}

/**
 * Restores one server at all its balancers, in reverse order, waits until it serves at each, then the wait and, where that is asked
 * for, traffic. What is not healthy at add_timeout is removed again and read back. Throws only the signal's reason.
 */
export async function bringBack(places: readonly Place[], deps: ControllerDeps): Promise<BroughtBack> {
  try {
    watchArrivals(places)
    return await restoreAndServe(places, deps)
  } finally {
    for (const place of places) place.rest?.()
  }
}

async function restoreAndServe(places: readonly Place[], deps: ControllerDeps): Promise<BroughtBack> {
  const backs = await restoreAll(places, deps, 'serving')
  const bad = firstOf(backs, 'bad')
  const kept = keptOut(backs)
  const ours = places.filter(p => !kept.includes(p.balancer.name))
  if (bad) return { result: 'left-out', error: bad.back.error, confirmed: await removeAgain(ours, deps) }
  const unknown = firstOf(backs, 'unknown')
  if (unknown) return { result: 'unknown', error: unknown.back.error }
  await Promise.all([wait(ours, 'waitAfterAdding', deps), ...ours.map(place => awaited(place, deps))])
  return served(kept)
}

/** Each balancer by itself: one that cannot be written must not keep the server in at the others. */
async function removeAgain(places: readonly Place[], deps: ControllerDeps): Promise<boolean> {
  await Promise.allSettled(places.map(place => removeAndDrain([place], deps)))
  if (deps.signal.aborted) throw deps.signal.reason
  return (await confirmOut(places, deps)).out
}
