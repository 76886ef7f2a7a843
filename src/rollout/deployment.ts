/**
 * Carries a deployment out, phase by phase (semantics.md, Phases). Every selected server ends in exactly one outcome; whatever happens,
 * locks are given back and each server's journal says how it ended.
 */
import type { LoadBalancer } from '../balancers/balancer.ts'
import type { Clock } from '../clock.ts'
import { BalancerError, CancelledError, messageOf } from '../errors.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import { membersOf } from '../plan/membership.ts'
import type { Plan } from '../plan/plan.ts'
import type { Emit, Phase, Result } from '../report/events.ts'
import { createBoard, together } from './board.ts'
import { finish } from './finish.ts'
import type { Opened } from './open-sessions.ts'
import { begin, migrate, prepare, steps } from './phases.ts'
import { rollOut } from './rollout.ts'
import { isUnreachable, type Session } from './session.ts'
import type { Worker } from './worker.ts'

export interface Deployment {
  readonly manifest: Manifest
  readonly selected: readonly Server[]
  readonly emit: Emit
  readonly clock: Clock
  readonly cancel: AbortSignal
  /** Connects, locks and reads every selected server; those that failed are in `failed`, and then no lock is held any more. */
  readonly openSessions: () => Promise<Opened>
  /** Brings to an end what an earlier deployment left undecided. */
  readonly recover: (sessions: ReadonlyMap<string, Session>) => Promise<boolean>
  /** The plan, from what the sessions have read. Throws InputError. */
  readonly makePlan: (opened: Opened) => Promise<Plan>
  /** Every server's journal is closed and every lock given back: there is nothing left for `post`. */
  readonly finished: () => void
  /** What works on each server, once there is a plan. */
  readonly makeWorkers: (plan: Plan, sessions: ReadonlyMap<string, Session>) => ReadonlyMap<string, Worker>
  /** Opens nothing under parallel. */
  readonly openBalancers: (plan: Plan) => ReadonlyMap<string, LoadBalancer>
}

export async function runDeployment(d: Deployment): Promise<Result> {
  const board = createBoard(d.emit)
  const names = d.selected.map(s => s.name)
  const phase = (name: Phase) => {
    d.cancel.throwIfAborted()
    d.emit({ type: 'phase', phase: name })
  }
  let sessions: ReadonlyMap<string, Session> = new Map()
  let others: ReadonlyMap<string, Session> = new Map()
  let workers: ReadonlyMap<string, Worker> = new Map()
  let begun = false
  /** Prepared and migrated everywhere: a server that is not under way is unchanged, and its journal can say so. */
  let ready = false
  let fault: unknown = null
  let balancers: ReadonlyMap<string, LoadBalancer> = new Map()
  let plan: Plan | null = null
  /** Of the servers that are deployed: who cannot be reached and is skipped does not count. */
  const allGood = () =>
    plan?.servers.every(s => ['succeeded', 'skipped'].includes(board.ended(s.name)?.outcome ?? '')) === true
  try {
    phase('preflight')
    const opened = await d.openSessions()
    sessions = opened.sessions
    others = opened.others
    const troubled = new Map([...opened.failed, ...opened.unreachable])
    for (const name of names.filter(n => troubled.has(n))) {
      const error = troubled.get(name)
      board.fail(name, error, 'preflight', isUnreachable(error) ? 'unreachable' : 'failed')
    }
    if (opened.failed.size > 0) throw together(opened.failed, 'preflight')
    if (sessions.size === 0) return nobodyHere(d, board, names)
    plan = await d.makePlan(opened)
    balancers = d.openBalancers(plan)
    await askBalancers(d, balancers)
    // Last of what may still be refused: every script and check of every server is put together once.
    rehearse(d.makeWorkers(plan, sessions))
    if (await d.recover(sessions)) plan = await d.makePlan(opened)
    d.emit({ type: 'planned', plan })
    workers = d.makeWorkers(plan, sessions)

    begun = true
    if (plan.command === 'rollback') await begin(workers)
    else {
      phase('prepare')
      await prepare(d, plan, workers, board)
    }
    if (plan.migration.enabled && !plan.migration.done) {
      phase('migrate')
      await migrate(plan, workers, board)
    }
    ready = true
    phase('rollout')
    await rollOut(d, plan, workers, balancers, board)
    phase('finish')
    if (allGood()) {
      const { failed } = await steps('finalize', plan, workers, new Set(workers.keys()))
      // A step that was ended by the cancel did not fail.
      d.cancel.throwIfAborted()
      if (failed.size > 0) throw together(failed, 'finalize')
    }
  } catch (error) {
    fault = error
  }
  board.close(names)
  let result: Result = d.cancel.aborted ? 'cancelled' : fault === null && allGood() ? 'success' : 'failure'
  const trouble = await finish(d, plan, { sessions, others }, workers, board, { begun, ready }, result)
  if (d.cancel.aborted) result = 'cancelled'
  else if (trouble !== null && result === 'success') result = 'failure'
  fault ??= trouble
  for (const balancer of balancers.values()) balancer.close?.()
  if (fault !== null && !(fault instanceof CancelledError)) throw fault
  if (result === 'cancelled') throw d.cancel.reason
  return result
}

/** None of a shard's servers can be reached, and it skips such: the run goes on in the others, and whoever puts the reports together judges. */
function nobodyHere(d: Deployment, board: ReturnType<typeof createBoard>, names: readonly string[]): Result {
  board.close(names)
  d.emit({
    type: 'message',
    level: 'warning',
    text: 'Nothing to do in this shard: none of its servers can be reached, and rollout.unreachable is skip.',
  })
  d.finished()
  return 'success'
}

/** Throws with everything that could not be filled in, on whichever server. */
function rehearse(workers: ReadonlyMap<string, Worker>): void {
  const wrong = new Map<string, unknown>()
  for (const [name, worker] of workers)
    try {
      worker.rehearse()
    } catch (error) {
      wrong.set(name, error)
    }
  const [first] = wrong.values()
  const same = new Set([...wrong.values()].map(messageOf)).size === 1
  if (wrong.size > 0) throw same ? first : together(wrong, 'preflight')
}

/**
 * Each balancer that servers will leave is asked about all its servers. Throws with all that are unknown, ambiguous or do not answer: the
 * deployment ends here.
 */
export async function askBalancers(
  d: Pick<Deployment, 'manifest' | 'emit' | 'cancel'>,
  balancers: ReadonlyMap<string, LoadBalancer>,
): Promise<void> {
  const ask = async (name: string, balancer: LoadBalancer) => {
    const { rotation, warnings } = await balancer.preflight(membersOf(d.manifest, name), d.cancel)
    for (const text of warnings) d.emit({ type: 'message', level: 'warning', text })
    const unknown = Object.entries(rotation).filter(([, r]) => r.state === 'unknown')
    if (unknown.length > 0)
      throw new BalancerError(
        `${name} does not say where ${unknown.map(([server, r]) => `${server} (${'detail' in r ? r.detail : ''})`).join(', ')} stands`,
        { hint: 'nothing was changed; look at the balancer' },
      )
  }
  const asked = await Promise.allSettled([...balancers].map(([name, balancer]) => ask(name, balancer)))
  d.cancel.throwIfAborted()
  const errors = asked.flatMap(a => (a.status === 'rejected' ? [a.reason as unknown] : []))
  if (errors.length === 1) throw errors[0]
  if (errors.length > 1) throw new BalancerError(errors.map(messageOf).join('\n'), { hint: 'nothing was changed' })
}
