/**
 * Carries a deployment out, phase by phase (semantics.md, Phases). Every selected server ends in exactly one outcome; whatever happens,
 * locks are given back and each server's journal says how it ended.
 */
import type { LoadBalancer } from '../balancers/balancer.ts'
import type { Clock } from '../clock.ts'
import { BalancerError, CancelledError } from '../errors.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import { membersOf } from '../plan/membership.ts'
import type { Plan } from '../plan/plan.ts'
import type { Emit, Phase, Result } from '../report/events.ts'
import { createBoard, together } from './board.ts'
import { finish } from './finish.ts'
import type { Opened } from './open-sessions.ts'
import { migrate, prepare, steps } from './phases.ts'
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
  try {
    phase('preflight')
    const opened = await d.openSessions()
    sessions = opened.sessions
    others = opened.others
    if (opened.failed.size > 0) {
      for (const [server, error] of opened.failed)
        board.fail(server, error, 'preflight', isUnreachable(error) ? 'unreachable' : 'failed')
      throw together(opened.failed, 'preflight')
    }
    plan = await d.makePlan(opened)
    balancers = d.openBalancers(plan)
    await askBalancers(d, balancers)
    // Last of what may still be refused: every script and check of every server is put together once.
    for (const worker of d.makeWorkers(plan, sessions).values()) worker.rehearse()
    if (await d.recover(sessions)) plan = await d.makePlan(opened)
    d.emit({ type: 'planned', plan })
    workers = d.makeWorkers(plan, sessions)

    phase('prepare')
    begun = true
    await prepare(d, plan, workers, board)
    if (plan.migration.enabled && !plan.migration.done) {
      phase('migrate')
      await migrate(plan, workers, board)
    }
    ready = true
    phase('rollout')
    await rollOut(d, plan, workers, balancers, board)
    phase('finish')
    if (names.every(n => ['succeeded', 'skipped'].includes(board.ended(n)?.outcome ?? '')))
      await steps('finalize', plan, workers, new Set(names))
  } catch (error) {
    fault = error
  }
  board.close(names)
  const good = fault === null && names.every(n => ['succeeded', 'skipped'].includes(board.ended(n)?.outcome ?? ''))
  let result: Result = d.cancel.aborted ? 'cancelled' : good ? 'success' : 'failure'
  const trouble = await finish(d, plan, { sessions, others }, workers, board, { begun, ready }, result)
  if (trouble !== null && result === 'success') result = 'failure'
  fault ??= trouble
  for (const balancer of balancers.values()) balancer.close?.()
  if (fault !== null && !(fault instanceof CancelledError)) throw fault
  if (result === 'cancelled') throw d.cancel.reason
  return result
}

/** Each balancer that servers will leave is asked about all its servers: an unknown or ambiguous one ends the deployment here. */
export async function askBalancers(
  d: Pick<Deployment, 'manifest' | 'emit' | 'cancel'>,
  balancers: ReadonlyMap<string, LoadBalancer>,
): Promise<void> {
  await Promise.all(
    [...balancers].map(async ([name, balancer]) => {
      const { rotation, warnings } = await balancer.preflight(membersOf(d.manifest, name), d.cancel)
      for (const text of warnings) d.emit({ type: 'message', level: 'warning', text })
      const unknown = Object.entries(rotation).filter(([, r]) => r.state === 'unknown')
      if (unknown.length > 0)
        throw new BalancerError(
          `${name} does not say where ${unknown.map(([server, r]) => `${server} (${'detail' in r ? r.detail : ''})`).join(', ')} stands`,
          {
            hint: 'nothing was changed; look at the balancer',
          },
        )
    }),
  )
}
