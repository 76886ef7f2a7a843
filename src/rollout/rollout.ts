/** The rollout: group by group, stage by stage, server by server, until all are done or it stops; and the way back of all of them. */
import type { LoadBalancer } from '../balancers/balancer.ts'
import { messageOf } from '../errors.ts'
import type { Plan, PlannedGroup } from '../plan/plan.ts'
import { shardParts } from '../plan/shard-plan.ts'
import type { Emit } from '../report/events.ts'
import type { Board } from './board.ts'
import type { Deployment } from './deployment.ts'
import { failureOf } from './failure.ts'
import { handsFor } from './hands.ts'
import { type Assignment, type Ended, Turned } from './hands-contract.ts'
import { holdStage } from './hold-stage.ts'
import { createLeaving } from './leaving.ts'
import { goThrough } from './schedule.ts'
import { goServer } from './server.ts'
import { fallen, withdraw } from './withdraw.ts'
import type { Worker } from './worker.ts'

export async function rollOut(
  d: Deployment,
  plan: Plan,
  workers: ReadonlyMap<string, Worker>,
  balancers: ReadonlyMap<string, LoadBalancer>,
  board: Board,
): Promise<void> {
  const { manifest, emit, clock, cancel } = d
  const { on_failure: onFailure } = manifest.rollout
  const say = (text: string) => emit({ type: 'message', level: 'info', text })
  const leaving = createLeaving(clock, plan.shard && shardParts(manifest, plan.shard), say)
  const stop = new AbortController()
  const never = new AbortController().signal
  let balancerFault = false
  // A migration that is to run now is a reason to activate everywhere.
  const mayContinue = !plan.migration.enabled || plan.migration.done
  const target = plan.release?.id ?? null
  /** Servers that were done and are good, in the order in which they were; and those that went bad while they were held. */
  const done: string[] = []
  const wentBad: string[] = []

  const workerOf = (name: string): Worker => {
    const worker = workers.get(name)
    if (worker === undefined) throw new Error(`${name} has no worker`)
    return worker
  }
  const plannedOf = (name: string) => {
    const planned = plan.servers.find(s => s.name === name)
    if (planned === undefined) throw new Error(`${name} is not in the plan`)
    return planned
  }
  const endOf = (name: string): Ended => {
    const ended = board.ended(name)
    if (ended === undefined) throw new Error(`${name} has not ended`)
    return ended
  }
  const handsOf = (name: string, until: AbortSignal) =>
    handsFor(workerOf(name), {
      manifest,
      planned: plannedOf(name),
      balancers,
      leaving,
      emit,
      clock,
      stop: until,
      cancelled: () => cancel.aborted,
    })
  /** What became of it is in its journal before the next one starts. */
  const settled = async (name: string, way: Promise<Ended>): Promise<Ended> => {
    const ended = stillLeftOut(workerOf(name), await way.finally(() => leaving.ended(name)), emit)
    if (ended.balancerFault) balancerFault = true
    // What cannot be written now is written at the end, or found open by the next run.
    await workerOf(name)
      .decide(ended)
      .catch(() => {})
    return ended
  }
  const go = (name: string, job: Omit<Assignment, 'server' | 'mode'>, until: AbortSignal): Promise<Ended> => {
    const mode = plannedOf(name).balancers.length > 0 ? 'taken out' : 'in place'
    return settled(name, goServer({ server: name, mode, ...job }, handsOf(name, until)))
  }
  const tell = (ended: Ended) =>
    board.end(ended, ended.switched ? target : null, workerOf(ended.server).previous, putBackOf(ended, balancers))
  const stopIfReached = () => {
    if (balancerFault || board.failed().length >= plan.maxFailures) stop.abort(new Turned())
  }

  const forward = async (name: string): Promise<void> => {
    const worker = workerOf(name)
    if (mayContinue && (await worker.isDone())) {
      board.skip(name, target)
      done.push(name)
      return
    }
    const ended = await go(name, { target, previous: worker.previous, onFailure }, stop.signal)
    tell(ended)
    if (ended.outcome === 'succeeded') done.push(name)
    stopIfReached()
  }
  /** To what the server ran before this deployment. */
  const back = async (name: string, why: string): Promise<void> => {
    const worker = workerOf(name)
    const before = endOf(name)
    const own = before.failure
    const cut = (error: unknown): Ended => {
      const failure = failureOf(error, 'rolling back')
      const both = own === undefined ? failure.message : `${own.message}; going back: ${failure.message}`
      return { ...before, outcome: 'failed', restored: false, failure: { ...failure, message: both } }
    }
    try {
      await worker.reopen(before.receipts)
    } catch (error) {
      return tell({ ...cut(error), open: true })
    }
    const out = before.leftOut ? { out: before.receipts } : {}
    const job = { target: worker.previous, previous: null, onFailure: 'stop', back: true, ...out } as const
    const ended = await go(name, job, never)
    if (ended.outcome === 'rolled-back')
      return tell({ ...ended, failure: own ?? { message: why, stage: 'rolling back' } })
    const message = [own?.message, ended.failure?.message].filter(Boolean).join('; ')
    tell({ ...ended, failure: { stage: 'rolling back', ...ended.failure, message } })
  }
  /** It was done, and is not good any more. */
  const fell = async (name: string, why: string): Promise<void> => {
    const worker = workerOf(name)
    const before = endOf(name)
    // Told first: whatever comes of it, it is no success any more.
    tell(fallen(before, why))
    done.splice(done.indexOf(name), 1)
    try {
      await worker.reopen([])
      const behind = plannedOf(name).balancers.length > 0
      tell(await settled(name, withdraw(before, why, behind, handsOf(name, never))))
    } catch (error) {
      tell({ ...fallen(before, why, `; it was not taken out: ${messageOf(error)}`), open: true })
    }
    stopIfReached()
    const ended = endOf(name)
    if (onFailure === 'rollback' && !over() && !ended.open && worker.previous !== null) await back(name, why)
    else wentBad.push(name)
  }
  const taken = (name: string, balancer: string): void => {
    const text = `${name} was taken out of ${balancer} by somebody else while it was held; it stays out`
    emit({ type: 'message', level: 'warning', server: name, text })
    tell({ ...endOf(name), rotation: 'out', keptOut: true })
  }

  const over = () => stop.signal.aborted || cancel.aborted
  const runGroup = async (group: PlannedGroup): Promise<void> => {
    const stages = group.stages.map(s => s.filter(name => board.ended(name) === undefined)).filter(s => s.length > 0)
    for (const [n, stage] of stages.entries()) {
      if (over()) return
      if (stages.length > 1) tellStage(emit, group, n, stages)
      await goThrough(stage, group.limit, () => !over(), forward)
      tellWayOn(stage, workers, board, emit)
      const fresh = stage.some(name => board.ended(name)?.outcome === 'succeeded')
      if (group.hold !== null && fresh && n < stages.length - 1 && !over()) {
        const held = done.filter(name => group.hold?.check === undefined || group.servers.includes(name))
        const servers = held.map(name => ({ worker: workerOf(name), planned: plannedOf(name), ended: endOf(name) }))
        await holdStage({
          manifest,
          hold: group.hold,
          servers,
          balancers,
          emit,
          clock,
          cancel,
          target,
          fell,
          taken,
          over,
        })
      }
    }
  }
  for (const group of plan.groups) await runGroup(group)
  tellMissed(plan, board, emit)

  const failed = board.failed()
  if (onFailure !== 'rollback' || failed.length < plan.maxFailures || balancerFault || cancel.aborted) return
  const all = [...wentBad.filter(name => !endOf(name).open), ...done.toReversed()]
  const able = all.filter(name => target !== null && workerOf(name).previous !== null)
  const unable = all.filter(name => !able.includes(name))
  if (unable.length > 0)
    emit({
      type: 'message',
      level: 'warning',
      text: `${unable.join(', ')} ${unable.length === 1 ? 'stays' : 'stay'} on what was deployed: there is no previous release to go back to`,
    })
  if (able.length === 0) return
  emit({
    type: 'message',
    level: 'notice',
    text: `${failed.join(', ')} failed (max_failures: ${plan.maxFailures}); on_failure: rollback takes ${able.join(', ')} back`,
  })
  const why = `went back with the deployment, which failed on ${failed.join(', ')}`
  const tried = new Set<string>()
  const goBack = async (names: readonly string[]) => {
    for (const group of plan.groups.toReversed())
      await goThrough(
        names.filter(name => group.servers.includes(name)),
        // No more of them out at once than on the way there.
        Math.min(group.limit, Math.max(...group.stages.map(stage => stage.length))),
        () => !balancerFault && !cancel.aborted,
        name => {
          tried.add(name)
          return back(name, why)
        },
      )
  }
  // Out ones first: they take nobody out of service. Then newest first.
  const isOut = (name: string) => endOf(name).leftOut
  const out = able.filter(isOut)
  await goBack(out)
  await goBack(able.filter(name => !out.includes(name)))
  for (const name of able.filter(n => !tried.has(n))) {
    const message = 'it was to go back with the deployment, but that was cut off: it still runs what was deployed'
    const before = endOf(name)
    tell({ ...before, outcome: 'failed', failure: before.failure ?? { message, stage: 'rolling back' } })
  }
}

function tellStage(emit: Emit, group: PlannedGroup, n: number, stages: readonly (readonly string[])[]): void {
  const who = stages[n]?.join(', ') ?? ''
  const of = group.name === 'all' ? '' : ` of ${group.name}`
  emit({ type: 'message', level: 'info', text: `stage ${n + 1} of ${stages.length}${of}: ${who}` })
}

/** A step of `activate` that runs once, on a server that was not done: it is for all, and nobody else runs it. */
function tellMissed(plan: Plan, board: Board, emit: Emit): void {
  for (const step of plan.steps.filter(s => s.phase === 'activate' && s.once))
    for (const server of step.servers) {
      const outcome = board.ended(server)?.outcome
      if (outcome === 'succeeded' || outcome === 'skipped') continue
      const text = `the step "${step.name}" runs once, on ${server}, which is not done: it did not run to its end`
      emit({ type: 'message', level: 'warning', server, text })
    }
}

/** Where a server failed that was left out before, too: how to go on without it. */
function tellWayOn(stage: readonly string[], workers: ReadonlyMap<string, Worker>, board: Board, emit: Emit): void {
  const again = stage.filter(name => {
    const failed = board.ended(name)?.outcome === 'failed' || board.ended(name)?.outcome === 'rolled-back'
    return failed && workers.get(name)?.failedBefore
  })
  if (again.length === 0) return
  const without = again.map(name => `!${name}`).join(',')
  const text = `to deploy without ${again.join(', ')}, which failed before too: servers: '${without}'`
  emit({ type: 'message', level: 'notice', text })
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
    .map(receipt => balancers.get(receipt.balancer)?.byHand(receipt) ?? 'run this action with command: recover')
    .filter((line, i, all) => all.indexOf(line) === i)
    .join('\n')
