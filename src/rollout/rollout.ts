/** The rollout: group by group, server by server, until all are done or it stops. */
import type { LoadBalancer } from '../balancers/balancer.ts'
import type { Plan } from '../plan/plan.ts'
import { atLeastOne } from '../plan/shares.ts'
import type { Emit } from '../report/events.ts'
import type { Board } from './board.ts'
import type { Deployment } from './deployment.ts'
import { handsFor } from './hands.ts'
import type { Ended } from './hands-contract.ts'
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
  const most = atLeastOne(manifest.rollout.max_failures, plan.servers.length)
  let stopped = false
  // A migration that is to run now is a reason to activate everywhere.
  const mayContinue = !plan.migration.enabled || plan.migration.done
  const target = plan.release?.id ?? null

  const go = async (
    name: string,
    release: string | null,
    previous: string | null,
    onFailure: 'stop' | 'rollback',
  ): Promise<Ended> => {
    const worker = workers.get(name)
    const planned = plan.servers.find(s => s.name === name)
    if (worker === undefined || planned === undefined) throw new Error(`${name} has no worker`)
    const deps = {
      manifest,
      planned,
      balancers,
      leaving,
      emit,
      clock,
      stopped: () => stopped || cancel.aborted,
      cancelled: () => cancel.aborted,
    }
    const mode = planned.balancers.length > 0 ? 'taken out' : 'in place'
    const way = goServer({ server: name, target: release, previous, mode, onFailure }, handsFor(worker, deps))
    const ended = stillLeftOut(worker, await way.finally(() => leaving.ended(name)), emit)
    // What cannot be written now is written at the end, or found open by the next run.
    await worker.decide(ended).catch(() => {})
    return ended
  }
  const told = (ended: Ended, previous: string | null) =>
    board.end(ended, ended.switched ? target : null, previous, putBackOf(ended, balancers))

  for (const group of plan.groups) {
    await goThrough(
      group.servers,
      group.limit,
      () => !stopped && !cancel.aborted,
      async name => {
        const worker = workers.get(name)
        if (mayContinue && (await worker?.isDone())) {
          board.skip(name, target)
          return
        }
        const previous = worker?.previous ?? null
        const ended = await go(name, target, previous, manifest.rollout.on_failure)
        if (ended.outcome === 'failed' && Object.keys(worker?.earlierReceipts ?? {}).length > 0)
          emit({
            type: 'message',
            level: 'notice',
            server: name,
            text: `to deploy without ${name}, which failed before too: servers: '!${name}'`,
          })
        told(ended, previous)
        if (ended.balancerFault || board.failures() >= most) stopped = true
      },
    )
  }
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
