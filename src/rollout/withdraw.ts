/** A server that was done and went bad while it was held: taken out if `min_in_service` allows, and left out (semantics.md, Failure: hold). */
import { LockLostError, messageOf } from '../errors.ts'
import { failureOf } from './failure.ts'
import type { Ended, Hands } from './hands-contract.ts'

/** How it ends before anything is done about it: it has failed, whatever becomes of it. */
export const fallen = (done: Ended, why: string, more = ''): Ended => ({
  ...done,
  outcome: 'failed',
  restored: false,
  failure: failureOf(new Error(`it went bad while it was held: ${why}${more}`), 'hold'),
})

/** `done`: how it had ended. `behind`: it stands behind a balancer. Its journal is open again. Never throws for what happens to it. */
export async function withdraw(done: Ended, why: string, behind: boolean, hands: Hands): Promise<Ended> {
  const failed = (more = ''): Ended => fallen(done, why, more)
  if (!behind) return failed('; it has no balancer to be taken out of, and serves on')
  let removed: Ended['receipts'] = []
  try {
    const { serving } = await hands.look()
    if (serving.length === 0) return failed()
    const may = await hands.mayLeave()
    if (!may.ok) return { ...failed(`; it stays in rotation, for ${may.reason}`), rotation: 'in' }
    await hands.note('removing', serving)
    hands.stage('removing', 'it went bad while it was held')
    removed = serving
    const out = await hands.takeOut(serving)
    if (out.is === 'out') return { ...failed(), rotation: 'out', leftOut: true, receipts: serving }
    const reason = out.is === 'failed' ? out.error.message : out.reason
    const still = { ...failed(`; it could not be taken out: ${reason}`), balancerFault: true }
    return out.is === 'failed' && out.back.state === 'serving'
      ? { ...still, rotation: 'in' }
      : { ...still, rotation: 'unknown', leftOut: true, receipts: serving }
  } catch (error) {
    // Cut off half-way: post, or the next run, verifies it before anything else.
    if (hands.cancelled() || error instanceof LockLostError)
      return removed.length === 0
        ? { ...failed(`; ${messageOf(error)}`), rotation: 'in', open: true }
        : { ...failed(`; ${messageOf(error)}`), rotation: 'unknown', leftOut: true, receipts: removed, open: true }
    const cannot = { ...failed(`; it could not be taken out: ${messageOf(error)}`), balancerFault: true }
    return removed.length === 0
      ? { ...cannot, rotation: 'unknown' }
      : { ...cannot, rotation: 'unknown', leftOut: true, receipts: removed }
  }
}
