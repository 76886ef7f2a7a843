/**
 * One server's way through the rollout, told as a story over `Hands`: what it does to the outside. What happens after a failure is
 * looked up in `way.ts`. A rollback is the same way with another target.
 */
import type { Receipt } from '../balancers/balancer.ts'
import { CancelledError, LockLostError, messageOf } from '../errors.ts'
import type { FinalRotation, Outcome } from '../report/events.ts'
import { type FailureFacts, failureOf } from './failure.ts'
import { type FailurePoint, type Mode, mayFollow, type OnFailure, rowFor, type Stage } from './way.ts'

/** Where a server stands at the balancers when its turn comes. */
export interface Found {
  /** In rotation: to be removed. */
  readonly serving: readonly Receipt[]
  /** Out by a removal of ours in an earlier deployment: goes back. */
  readonly ours: readonly Receipt[]
  /** Balancers where an operator took it out: stays out. */
  readonly operators: readonly string[]
}

export type TakenOut =
  /** Drained everywhere, and read once more. */
  | { readonly is: 'out' }
  /** In rotation again after it was drained: to be removed once more. */
  | { readonly is: 'serving again'; readonly reason: string }
  /** One balancer failed; it was restored at all of them, with what came of that. */
  | { readonly is: 'failed'; readonly error: Error; readonly back: PutBack }
export type PutBack =
  | { readonly state: 'serving' }
  /** Not healthy in time; removed again and read back. */
  | { readonly state: 'unhealthy'; readonly reason: string }
  /** The balancer could not be written or read until add_timeout. */
  | { readonly state: 'unknown'; readonly reason: string }

/** What a server's way does to the outside. Each throws the family of errors.ts; LockLostError ends everything there. */
export interface Hands {
  look(): Promise<Found>
  /** Waits until the balancers' other servers satisfy min_in_service; false with a reason: none may leave. */
  mayLeave(): Promise<{ readonly ok: true } | { readonly ok: false; readonly reason: string }>
  takeOut(receipts: readonly Receipt[]): Promise<TakenOut>
  putBack(receipts: readonly Receipt[]): Promise<PutBack>
  /** Writes the restore calls and waits for nothing: for a cancel. */
  writeBack(receipts: readonly Receipt[]): Promise<void>
  /** `changed`: whether `current` points to the release now, also when it failed. */
  switchTo(release: string): Promise<{ readonly changed: boolean; readonly error?: unknown }>
  activate(release: string | null): Promise<void>
  verify(release: string | null): Promise<'verified' | 'not verified'>
  stage(stage: Stage, detail?: string): void
  /** Writes to the server's journal. */
  note(what: 'removing' | 'activated' | 'rolling-back', receipts: readonly Receipt[]): Promise<void>
  /** Waits inside a stage have ended early: the deployment stops, or was cancelled. */
  readonly stopped: () => boolean
  readonly cancelled: () => boolean
}

export interface Assignment {
  readonly server: string
  /** null: a deployment of steps alone. */
  readonly target: string | null
  readonly previous: string | null
  readonly mode: Mode
  readonly onFailure: OnFailure
}

export interface Ended {
  readonly server: string
  readonly outcome: Outcome
  readonly rotation: FinalRotation
  readonly leftOut: boolean
  readonly keptOut: boolean
  readonly notVerified: boolean
  readonly failure?: FailureFacts
  /** What puts it back, when it is left out. */
  readonly receipts: readonly Receipt[]
  /** The deployment changed `current` here. */
  readonly switched: boolean
  /** A fault of the balancer itself stops the deployment and starts no rollback. */
  readonly balancerFault: boolean
  /** It could not be decided about: its journal stays open. */
  readonly open: boolean
}

/** A failure with the place in the table it belongs to. */
class Failed extends Error {
  readonly at: FailurePoint
  constructor(at: FailurePoint, cause: unknown) {
    super(messageOf(cause), { cause })
    this.at = at
  }
}
/** The deployment stops before this server was switched. */
class Turned extends Error {}

const at = async <T>(point: FailurePoint, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Failed || error instanceof Turned || error instanceof LockLostError) throw error
    throw new Failed(point, error)
  }
}

/** How often a server that serves again just before the switch is removed once more. */
const removedAgain = 2

/** Never throws for anything that happens to the server. */
export async function goServer(job: Assignment, hands: Hands): Promise<Ended> {
  const { mode, target, previous } = job
  let stage: Stage = 'pending'
  let taken: readonly Receipt[] = []
  let keptOut = false
  let removed = false
  /** What came of the restore that followed a failed removal. */
  let alreadyBack: PutBack | null = null
  let switched = false
  let notVerified = false

  const to = (next: Stage, detail?: string) => {
    if (!mayFollow(stage, next)) throw new Error(`a server does not go from ${stage} to ${next}`)
    stage = next
    hands.stage(next, detail)
  }
  const inRotation: FinalRotation = mode === 'in place' ? 'none' : 'in'
  const ended = (outcome: Outcome, rotation: FinalRotation, more: Partial<Ended> = {}): Ended => ({
    server: job.server,
    outcome,
    rotation: keptOut && rotation === 'in' && taken.length === 0 ? 'out' : rotation,
    leftOut: false,
    keptOut,
    notVerified,
    receipts: [],
    switched,
    balancerFault: false,
    open: false,
    ...more,
  })
  const leftOut = (more: Partial<Ended>): Ended =>
    taken.length > 0
      ? ended('failed', 'out', { leftOut: true, receipts: taken, ...more })
      : ended('failed', mode === 'in place' ? 'none' : 'out', more)
  const failure = (error: unknown, hint?: string) => failureOf(error, stage, hint)

  async function leave(): Promise<void> {
    const found = await hands.look()
    keptOut = found.operators.length > 0
    if (found.serving.length > 0) {
      const may = await hands.mayLeave()
      if (!may.ok) throw new Error(may.reason)
      if (hands.stopped()) throw new Turned()
    }
    to('removing')
    taken = [...found.serving, ...found.ours]
    if (found.serving.length === 0) return to('draining', 'found out of rotation')
    await hands.note('removing', taken)
    removed = true
    for (let again = 0; ; again++) {
      to('draining')
      const out = await hands.takeOut(found.serving)
      if (out.is === 'out') break
      if (out.is === 'failed') {
        alreadyBack = out.back
        throw new Failed(again === 0 ? 'removing' : 'serving again', out.error)
      }
      if (hands.stopped()) break
      if (again === removedAgain)
        throw new Failed(
          'serving again',
          new Error(`the balancer serves it again each time it was removed: ${out.reason}`),
        )
      to('removing', `it serves again: ${out.reason}`)
    }
  }

  /** Activates, verifies and puts back what `current` points to now. */
  async function comeBack(release: string | null, pointOf: (p: FailurePoint) => FailurePoint): Promise<void> {
    if (stage !== 'rolling back') to('activating')
    await at(pointOf('activating'), () => hands.activate(release))
    if (stage !== 'rolling back') to('verifying')
    // The note is on its way while the checks run: it costs no time out of rotation.
    const [verdict] = await Promise.all([
      at(pointOf('verifying'), () => hands.verify(release)),
      at(pointOf('activating'), () => hands.note('activated', taken)),
    ])
    notVerified = verdict === 'not verified'
    if (taken.length === 0) return
    if (stage !== 'rolling back') to('adding')
    const back = await at(pointOf('adding: balancer'), () => hands.putBack(taken))
    if (back.state === 'unhealthy') throw new Failed(pointOf('adding: unhealthy'), new Error(back.reason))
    if (back.state === 'unknown') throw new Failed('adding: balancer', new Error(back.reason))
  }

  async function restore(error: unknown, outcome: Outcome, balancerFault: boolean): Promise<Ended> {
    const facts = outcome === 'pending' ? {} : { failure: failure(error) }
    if (!removed) return ended(outcome, inRotation, { ...facts, balancerFault })
    to('restoring')
    const back =
      alreadyBack ??
      (await hands.putBack(taken).catch((e: unknown): PutBack => ({ state: 'unknown', reason: messageOf(e) })))
    if (back.state === 'serving') return ended(outcome, 'in', { ...facts, balancerFault })
    return ended('failed', back.state === 'unknown' ? 'unknown' : 'out', {
      failure: failure(error, `it was not confirmed to serve again: ${back.reason}`),
      leftOut: true,
      receipts: taken,
      balancerFault,
    })
  }

  async function goBack(error: unknown): Promise<Ended> {
    const first = failure(error)
    const stay = (reason: string): Ended =>
      leftOut({
        failure: {
          ...first,
          message: `${first.message}; ${mode === 'in place' ? 'still serving a failed release' : 'left out of rotation'}: ${reason}`,
        },
      })
    if (target === null) return stay('the deployment has no releases to go back to')
    if (previous === null) return stay('there is no previous release to go back to')
    to('rolling back', previous)
    try {
      await hands.note('rolling-back', taken)
      if (switched) {
        const back = await hands.switchTo(previous)
        if (!back.changed) throw back.error
      }
      await comeBack(previous, p => (p === 'adding: balancer' ? p : 'rolling back'))
      return ended('rolled-back', inRotation, { failure: first, switched: false })
    } catch (second) {
      if (second instanceof Failed && second.at === 'adding: balancer')
        return ended('failed', 'unknown', {
          failure: { ...first, message: `${first.message}; going back: ${messageOf(second)}` },
          balancerFault: true,
        })
      return stay(`going back to ${previous} failed: ${messageOf(second)}`)
    }
  }

  try {
    if (mode === 'taken out') await at('removing', leave)
    if (hands.stopped()) throw new Turned()
    to('switching', target ?? undefined)
    if (target !== null) {
      const done = await at('switching', () => hands.switchTo(target))
      switched = done.changed
      if (done.error !== undefined) throw new Failed(done.changed ? 'activating' : 'switching', done.error)
    }
    await comeBack(target, p => p)
    to('done')
    return ended('succeeded', keptOut && taken.length === 0 ? 'out' : inRotation)
  } catch (error) {
    if (error instanceof LockLostError) return ended('failed', 'unknown', { failure: failure(error), open: true })
    if (hands.cancelled()) return cancelledEnd(error)
    if (error instanceof Turned) return restore(error, 'pending', false)
    if (!(error instanceof Failed)) throw error
    const row = rowFor(error.at, mode, job.onFailure)
    const fault = error.at === 'adding: balancer' || (error.at === 'removing' && removed)
    const cause = error.cause instanceof Error ? error.cause : error
    switch (row.remedy) {
      case 'restore':
        return finish(await restore(cause, 'failed', fault))
      case 'leave out':
        return finish(leftOut({ failure: failure(cause) }))
      case 'go back and restore':
      case 'go back in place':
        return finish(await goBack(cause))
      default:
        return finish(
          ended('failed', row.rotation === 'unknown' ? 'unknown' : inRotation, {
            failure: failure(cause),
            balancerFault: fault,
            open: row.rotation === 'unknown',
          }),
        )
    }
  }

  function finish(end: Ended): Ended {
    const last: Stage = end.leftOut
      ? 'left-out'
      : end.outcome === 'rolled-back'
        ? 'rolled-back'
        : end.outcome === 'pending'
          ? 'pending'
          : 'failed'
    if (mayFollow(stage, last)) to(last)
    return end
  }

  /** A cancel has seconds: what is drained and unchanged is written back, the rest is left to the next run, its journal open. */
  async function cancelledEnd(error: unknown): Promise<Ended> {
    const reason = new CancelledError(`the run was cancelled while ${stage}`, { cause: error })
    if (switched || !removed) {
      return switched
        ? ended('failed', taken.length > 0 ? 'out' : 'none', {
            failure: failure(reason),
            leftOut: taken.length > 0,
            receipts: taken,
            open: true,
          })
        : ended('pending', inRotation)
    }
    const wrote = await hands.writeBack(taken).then(
      () => true,
      () => false,
    )
    return wrote
      ? ended('pending', 'in', { open: true })
      : ended('failed', 'unknown', { failure: failure(reason), leftOut: true, receipts: taken, open: true })
  }
}
