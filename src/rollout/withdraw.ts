/** A server that was done and went bad while it was held: taken out if `min_in_service` allows, and left out (semantics.md, Failure: hold). */
import { DeployError } from '../errors.ts'
import { failureOf } from './failure.ts'
import type { Ended, Hands } from './hands-contract.ts'

/** `done`: how it had ended. Its journal is open again. Throws LockLostError. */
export async function withdraw(done: Ended, why: string, hands: Hands): Promise<Ended> {
  const failed = (more: string): Ended => ({
    ...done,
    outcome: 'failed',
    restored: false,
    failure: failureOf(
      new DeployError(`it went bad while it was held: ${why}${more}`, { server: done.server }),
      'hold',
    ),
  })
  if (done.rotation === 'none') return failed('; it has no balancer to be taken out of, and serves on')
  const { serving } = await hands.look()
  if (serving.length === 0) return failed('')
  const may = await hands.mayLeave()
  if (!may.ok) return failed(`; it stays in rotation, for ${may.reason}`)
  await hands.note('removing', serving)
  hands.stage('removing', 'it went bad while it was held')
  const out = await hands.takeOut(serving)
  if (out.is === 'out') return { ...failed(''), rotation: 'out', leftOut: true, receipts: serving }
  const reason = out.is === 'failed' ? out.error.message : out.reason
  const still = { ...failed(`; it could not be taken out: ${reason}`), balancerFault: true }
  return out.is === 'failed' && out.back.state === 'serving'
    ? still
    : { ...still, rotation: 'unknown', leftOut: true, receipts: serving }
}
