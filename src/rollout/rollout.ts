/** The rollout: group by group, server by server, until all are done or it stops; and the way back of all of them. */
import type { LoadBalancer } from '../balancers/balancer.ts'
import type { Plan } from '../plan/plan.ts'
import type { Emit } from '../report/events.ts'
import type { Board } from './board.ts'
import type { Deployment } from './deployment.ts'
import { failureOf } from './failure.ts'
import { handsFor } from './hands.ts'
import { type Assignment, type Ended, Turned } from './hands-contract.ts'
import { createLeaving } from './leaving.ts'
import { goThrough } from './schedule.ts'
import { goServer } from './server.ts'
import type { Worker } from './worker.ts'

export async function rollOut(
  d: Deployment,
  plan: Plan,
  workers: ReadonlyMap<string, Worker>,
  balancers: ReadonlyMap<string, LoadBalancer>,
  board: Board,
): Promise<void> {
  const { manifest, emit, clock, cancel } = d
  const leaving = createLeaving(clock)
  const stop = new AbortController()
  let balancerFault = false
  // A migration that is to run now is a reason to activate everywhere.
  const mayContinue = !plan.migration.enabled || plan.migration.done
  const target = plan.release?.id ?? null
  /** Done servers, in the order in which they were. */
  const done: string[] = []

  const workerOf = (name: string): Worker => {
    const worker = workers.get(name)
    if (worker === undefined) throw new Error(`${name} has no worker`)
    return worker
  }
  const go = async (
    name: string,
    job: Pick<Assignment, 'target' | 'previous' | 'onFailure' | 'back'>,
    until: AbortSignal,
  ): Promise<Ended> => {
    const worker = workerOf(name)
    const planned = plan.servers.find(s => s.name === name)
    if (planned === undefined) throw new Error(`${name} is not in the plan`)
    const cancelled = () => cancel.aborted
    const hands = handsFor(worker, { manifest, planned, balancers, leaving, emit, clock, stop: until, cancelled })
    const mode = planned.balancers.length > 0 ? 'taken out' : 'in place'
    const way = goServer({ server: name, mode, ...job }, hands)
    const ended = stillLeftOut(worker, await way.finally(() => leaving.ended(name)), emit)
    if (ended.balancerFault) balancerFault = true
    // What cannot be written now is written at the end, or found open by the next run.
    await worker.decide(ended).catch(() => {})
    return ended
  }
  const forward = async (name: string): Promise<void> => {
    const worker = workerOf(name)
    if (mayContinue && (await worker.isDone())) {
      board.skip(name, target)
      done.push(name)
      return
    }
    const { previous } = worker
    const ended = await go(name, { target, previous, onFailure: manifest.rollout.on_failure }, stop.signal)
    if (ended.outcome === 'failed' && Object.keys(worker.earlierReceipts).length > 0)
      emit({
        type: 'message',
        level: 'notice',
        server: name,
        text: `to deploy without ${name}, which failed before too: servers: '!${name}'`,
      })
    board.end(ended, ended.switched ? target : null, previous, putBackOf(ended, balancers))
    if (ended.outcome === 'succeeded') done.push(name)
    if (balancerFault || board.failed().length >= plan.maxFailures) stop.abort(new Turned())
  }
  /** To what the server ran before this deployment. */
  const back = async (name: string, why: string): Promise<void> => {
    const worker = workerOf(name)
    const { previous } = worker
    try {
      await worker.reopen()
    } catch (error) {
      const failure = failureOf(error, 'rolling back')
      const stays = { ...(board.ended(name) as Ended), outcome: 'failed', failure } as const
      board.end(stays, target, previous)
      return
    }
    const never = new AbortController().signal
    const ended = await go(name, { target: previous, previous: null, onFailure: 'stop', back: true }, never)
    const told: Ended =
      ended.outcome === 'rolled-back' ? { ...ended, failure: { message: why, stage: 'rolling back' } } : ended
    board.end(told, ended.switched ? target : null, previous, putBackOf(told, balancers))
  }

  for (const group of plan.groups)
    await goThrough(
      group.servers.filter(name => board.ended(name) === undefined),
      group.limit,
      () => !stop.signal.aborted && !cancel.aborted,
      forward,
    )

  const failed = board.failed()
  if (manifest.rollout.on_failure !== 'rollback' || failed.length < plan.maxFailures || balancerFault) return
  const able = done.filter(name => target !== null && workerOf(name).previous !== null)
  const unable = done.filter(name => !able.includes(name))
  if (unable.length > 0)
    emit({
      type: 'message',
      level: 'warning',
      text: `${unable.join(', ')} ${unable.length === 1 ? 'stays' : 'stay'} on what was deployed: there is no previous release to go back to`,
    })
  if (able.length === 0) return
  const why = `went back with the deployment, which failed on ${failed.join(', ')}`
  emit({
    type: 'message',
    level: 'notice',
    text: `${failed.join(', ')} failed (max_failures: ${plan.maxFailures}); on_failure: rollback takes ${able.toReversed().join(', ')} back`,
  })
  // Newest first.
  for (const group of plan.groups.toReversed())
    await goThrough(
      able.filter(name => group.servers.includes(name)).toReversed(),
      group.limit,
      () => !balancerFault && !cancel.aborted,
      name => back(name, why),
    )
}

/** A server that an earlier deployment left out, deployed in place: nothing of this one puts it back, so it is told of. */
function stillLeftOut(worker: Worker, ended: Ended, emit: Emit): Ended {
  const receipts = Object.values(worker.earlierReceipts)
  if (ended.rotation !== 'none' || receipts.length === 0) return ended
  const server = ended.server
  const hint = 'deploy in serial, or run the command recover'
  emit({
    type: 'message',
    level: 'warning',
    server,
    text: `${server} was left out of rotation by an earlier deployment, and still is`,
    hint,
  })
  return { ...ended, rotation: 'out', leftOut: true, receipts }
}

const putBackOf = (ended: Ended, balancers: ReadonlyMap<string, LoadBalancer>): string =>
  ended.receipts
    .map(receipt => balancers.get(receipt.balancer)?.byHand(receipt) ?? '')
    .filter(Boolean)
    .join('\n')
