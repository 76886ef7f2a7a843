/**
 * One server's way through the rollout, told as a story over `Hands`: what it does to the outside. What happens after a failure is
 * looked up in `way.ts`. A rollback is the same way with another target.
 */
import type { Receipt } from '../balancers/balancer.ts'
import { CancelledError, LockLostError, messageOf, StayError, StillBusyError } from '../errors.ts'
import type { FinalRotation, Outcome } from '../report/events.ts'
import { failureOf } from './failure.ts'
import { type Assignment, type Ended, type Hands, type PutBack, Turned } from './hands-contract.ts'
import { type FailurePoint, mayFollow, rowFor, type Stage } from './way.ts'

/** A failure with the place in the table it belongs to. */
class Failed extends Error {
  readonly at: FailurePoint
  constructor(at: FailurePoint, cause: unknown) {
    super(messageOf(cause), { cause })
    this.at = at
  }
}

const at = async <T>(point: FailurePoint, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    if (error instanceof Failed || error instanceof Turned || error instanceof LockLostError) throw error
    throw new Failed(point, error)
  }
}

/** What cannot be noted does not decide about a server, unless it is the lock that is gone. */
const unlessLost = (error: unknown): LockLostError | null => (error instanceof LockLostError ? error : null)

/** Failures of the balancer itself: they stop the deployment, and another release would change nothing. */
const ofBalancer: readonly FailurePoint[] = ['removing', 'serving again', 'adding: balancer']

/** How often a server that serves again just before the switch is removed once more. */
const removedAgain = 2

/** Never throws for anything that happens to the server. */
export async function goServer(job: Assignment, hands: Hands): Promise<Ended> {
  const { mode, target, previous } = job
  let stage: Stage = 'pending'
  let taken: readonly Receipt[] = []
  let keptOut = false
  /** Of those, what was in rotation when its turn came: only that goes back without a check. */
  let removed: readonly Receipt[] = []
  /** Something on the server may have changed: from the moment the switch, or the first script, was sent. */
  let touched = false
  /** What came of the restore that followed a failed removal. */
  let alreadyBack: PutBack | null = null
  let switched = job.back === true
  let restored = false
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
    restored,
    switched,
    balancerFault: false,
    open: false,
    ...more,
  })
  const leftOut = (more: Partial<Ended>): Ended =>
    taken.length > 0
      ? ended('failed', 'out', { leftOut: true, receipts: taken, ...more })
      : ended('failed', mode === 'in place' ? 'none' : 'out', more)
  const failure = (error: unknown, hint?: string, at: Stage = stage === 'pending' ? 'removing' : stage) => {
    const failed = failureOf(error, at, hint)
    return job.back ? { ...failed, message: `going back to ${target}: ${failed.message}` } : failed
  }

  async function leave(): Promise<void> {
    if (job.out !== undefined) {
      taken = job.out
      to('removing')
      return to('draining', 'it is out already')
    }
    let found = await hands.look()
    if (found.serving.length > 0) {
      const may = await hands.mayLeave()
      // That may have taken long: a person who took it out meanwhile is not overruled.
      found = await hands.look()
      if (found.serving.length > 0) assertLeave(may)
    }
    keptOut = found.operators.length > 0
    to('removing')
    taken = [...found.serving, ...found.ours]
    if (found.serving.length === 0) return to('draining', 'found out of rotation')
    await hands.note('removing', found.serving)
    removed = found.serving
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
      assertLeave(await hands.mayLeave())
      to('removing', `it serves again: ${out.reason}`)
    }
  }
  function assertLeave(may: Awaited<ReturnType<Hands['mayLeave']>>): void {
    if (!may.ok)
      throw new StayError(may.reason, {
        server: job.server,
        hint: 'bring the others up first (the command recover puts back what was left out and is good); where none serves yet, deploy once with strategy: parallel, or set min_in_service: 0',
      })
    if (hands.stopped()) throw new Turned()
  }

  /** Activates, verifies and puts back what `current` points to now. */
  async function comeBack(release: string | null, pointOf: (p: FailurePoint) => FailurePoint): Promise<void> {
    if (stage !== 'rolling back') to('activating')
    await at(pointOf('activating'), () => hands.activate(release))
    if (stage !== 'rolling back') to('verifying')
    // The note is on its way while the checks run: it costs no time out of rotation.
    // Where it cannot be written, recovery takes the safe row; the activation itself was good.
    const noted = hands.note('activated', taken).then(() => null, unlessLost)
    const verdict = await at(pointOf('verifying'), () => hands.verify(release)).finally(() => noted)
    const lost = await noted
    if (lost !== null) throw lost
    notVerified = verdict === 'not verified'
    if (taken.length === 0) return
    if (stage !== 'rolling back') to('adding')
    const back = await at(pointOf('adding: balancer'), () => hands.putBack(taken))
    if (back.state === 'unhealthy') throw new Failed(pointOf('adding: unhealthy'), new Error(back.reason))
    if (back.state === 'unknown') throw new Failed('adding: balancer', new Error(back.reason))
    stayOut(back)
    restored = true
  }
  /** What a person took out while it was out, or came back, stays out: it is the person's now. */
  function stayOut(back: PutBack): void {
    const theirs = back.state === 'serving' ? (back.keptOut ?? []) : []
    if (theirs.length === 0) return
    keptOut = true
    taken = taken.filter(t => !theirs.includes(t.balancer))
  }

  async function restore(error: unknown, outcome: Outcome, balancerFault: boolean): Promise<Ended> {
    const facts = outcome === 'pending' ? {} : { failure: failure(error) }
    if (removed.length === 0)
      return taken.length > 0
        ? ended('failed', 'out', { failure: failure(error), leftOut: true, receipts: taken, balancerFault })
        : ended(outcome, inRotation, { ...facts, balancerFault })
    const failedAt = stage
    to('restoring')
    const back =
      alreadyBack ??
      (await hands.putBack(removed).catch((e: unknown): PutBack => {
        if (e instanceof LockLostError) throw e
        return { state: 'unknown', reason: messageOf(e) }
      }))
    const ours = taken.filter(t => !removed.includes(t))
    stayOut(back)
    restored = back.state === 'serving' && ours.length === 0
    if (back.state === 'serving')
      return ours.length === 0
        ? ended(outcome, 'in', { ...facts, balancerFault })
        : ended(outcome, 'out', { ...facts, balancerFault, leftOut: true, receipts: ours })
    return ended('failed', back.state === 'unknown' ? 'unknown' : 'out', {
      // The balancer that failed is often the one that cannot be asked: its words once are enough.
      failure: failure(
        error,
        `it was not confirmed to serve again${back.reason.includes(messageOf(error)) ? '' : `: ${back.reason}`}`,
        failedAt,
      ),
      leftOut: true,
      receipts: taken,
      balancerFault,
    })
  }

  async function returnTo(release: string): Promise<void> {
    to('rolling back', release)
    const lost = await hands.note('rolling-back', taken).then(() => null, unlessLost)
    if (lost !== null) throw lost
    if (switched) {
      const back = await hands.switchTo(release)
      if (!back.changed) throw back.error
    }
    await comeBack(release, p => (p === 'adding: balancer' ? p : 'rolling back'))
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
    try {
      await returnTo(previous)
      return ended('rolled-back', inRotation, { failure: first, switched: false })
    } catch (second) {
      if (second instanceof LockLostError) throw second
      if (second instanceof Failed && second.at === 'adding: balancer')
        return ended('failed', 'unknown', {
          failure: { ...first, message: `${first.message}; going back: ${messageOf(second)}` },
          balancerFault: true,
          open: true,
        })
      return stay(`going back to ${previous} failed: ${messageOf(second)}`)
    }
  }

  try {
    if (mode === 'taken out') await at('removing', leave)
    if (hands.stopped()) throw new Turned()
    touched = true
    if (job.back && target !== null) {
      await at('rolling back', () => returnTo(target))
      return finish(ended('rolled-back', keptOut && taken.length === 0 ? 'out' : inRotation, { switched: false }))
    }
    to('switching', target ?? undefined)
    if (target !== null) {
      const done = await at('switching', () => hands.switchTo(target))
      switched = done.changed
      touched = done.changed
      if (done.error !== undefined) throw new Failed(done.changed ? 'activating' : 'switching', done.error)
    }
    await comeBack(target, p => p)
    to('done')
    return ended('succeeded', keptOut && taken.length === 0 ? 'out' : inRotation)
  } catch (error) {
    try {
      return await afterwards(error)
    } catch (second) {
      if (second instanceof LockLostError) return ended('failed', 'unknown', { failure: failure(second), open: true })
      throw second
    }
  }

  async function afterwards(error: unknown): Promise<Ended> {
    if (error instanceof LockLostError) throw error
    hands.assertHeld()
    if (hands.cancelled()) return cancelledEnd(error)
    if (error instanceof Turned) return restore(error, 'pending', false)
    if (!(error instanceof Failed)) throw error
    const row = rowFor(error.at, mode, job.onFailure)
    const cause = error.cause instanceof Error ? error.cause : error
    // On the way back of all of them one that has to stay is no reason to leave the others where they are.
    const own = cause instanceof StillBusyError || (job.back === true && cause instanceof StayError)
    const fault = ofBalancer.includes(error.at) && !own
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
    const cut = (rotation: FinalRotation) =>
      ended('failed', rotation, { failure: failure(reason), leftOut: taken.length > 0, receipts: taken, open: true })
    // Put back and not seen serving yet: where it stands is for post to find out, and no reason for an alarm.
    if (stage === 'adding') return { ...cut('unknown'), leftOut: false }
    if (touched) return cut(mode === 'in place' ? 'none' : 'out')
    if (job.out !== undefined) return cut('out')
    const unchanged = (rotation: FinalRotation, more: Partial<Ended>) =>
      job.back ? ended('failed', rotation, { failure: failure(reason), ...more }) : ended('pending', rotation, more)
    if (removed.length === 0) return unchanged(inRotation, {})
    const wrote = await hands.writeBack(removed).then(
      () => true,
      () => false,
    )
    return wrote ? unchanged('in', { open: true }) : cut('unknown')
  }
}
