/**
 * Carries a deployment out, phase by phase (semantics.md, Phases). Every selected server ends in exactly one outcome; whatever happens,
 * locks are given back and each server's journal says how it ended.
 */
import type { LoadBalancer } from '../balancers/balancer.ts'
import type { Clock } from '../clock.ts'
import { BalancerError, CancelledError, LockLostError } from '../errors.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import { membersOf } from '../plan/membership.ts'
import type { Plan, PlannedStep } from '../plan/plan.ts'
import { atLeastOne } from '../plan/shares.ts'
import type { Emit, Phase, Result } from '../report/events.ts'
import { type Board, createBoard, together } from './board.ts'
import { handsFor } from './hands.ts'
import { createLeaving } from './leaving.ts'
import { goThrough } from './schedule.ts'
import { type Ended, goServer } from './server.ts'
import { isUnreachable, type Session } from './session.ts'
import { runPhase } from './steps.ts'
import type { Worker } from './worker.ts'

export interface Deployment {
  readonly manifest: Manifest
  readonly selected: readonly Server[]
  readonly emit: Emit
  readonly clock: Clock
  readonly cancel: AbortSignal
  /** Connects, locks and reads every selected server; those that failed are in `failed`, and then no lock is held any more. */
  readonly openSessions: () => Promise<{
    readonly sessions: ReadonlyMap<string, Session>
    readonly failed: ReadonlyMap<string, unknown>
  }>
  /** Brings to an end what an earlier deployment left undecided. */
  readonly recover: (sessions: ReadonlyMap<string, Session>) => Promise<void>
  /** The plan, from what the sessions have read. Throws InputError. */
  readonly makePlan: (sessions: ReadonlyMap<string, Session>) => Promise<Plan>
  /** Every server's journal is closed and every lock given back: there is nothing left for `post`. */
  readonly finished: () => void
  /** What works on each server, once there is a plan. */
  readonly makeWorkers: (plan: Plan, sessions: ReadonlyMap<string, Session>) => ReadonlyMap<string, Worker>
  /** Opens nothing under parallel. */
  readonly openBalancers: (plan: Plan) => ReadonlyMap<string, LoadBalancer>
}

/** Uploads under way at a time: they share the runner's own line, and more of them only make each one slower. */
const uploadsAtOnce = 8

export async function runDeployment(d: Deployment): Promise<Result> {
  const board = createBoard(d.emit)
  const names = d.selected.map(s => s.name)
  const phase = (name: Phase) => {
    d.cancel.throwIfAborted()
    d.emit({ type: 'phase', phase: name })
  }
  let sessions: ReadonlyMap<string, Session> = new Map()
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
    if (opened.failed.size > 0) {
      for (const [server, error] of opened.failed)
        board.fail(server, error, 'preflight', isUnreachable(error) ? 'unreachable' : 'failed')
      throw together(opened.failed, 'preflight')
    }
    await d.recover(sessions)
    plan = await d.makePlan(sessions)
    d.emit({ type: 'planned', plan })
    workers = d.makeWorkers(plan, sessions)
    balancers = d.openBalancers(plan)
    await askBalancers(d, plan, balancers)

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
    if (names.every(n => board.ended(n)?.outcome === 'succeeded'))
      await steps('finalize', plan, workers, new Set(names))
  } catch (error) {
    fault = error
  }
  board.close(names)
  const good = fault === null && names.every(n => ['succeeded', 'skipped'].includes(board.ended(n)?.outcome ?? ''))
  let result: Result = d.cancel.aborted ? 'cancelled' : good ? 'success' : 'failure'
  const trouble = await finish(d, plan, sessions, workers, board, { begun, ready }, result)
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
  plan: Plan,
  balancers: ReadonlyMap<string, LoadBalancer>,
): Promise<void> {
  const needed = new Set(plan.servers.flatMap(s => s.balancers))
  await Promise.all(
    [...balancers]
      .filter(([name]) => needed.has(name))
      .map(async ([name, balancer]) => {
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

/** Runs the steps of a phase over servers. Throws what failed, with its servers. */
async function steps(
  phase: PlannedStep['phase'],
  plan: Plan,
  workers: ReadonlyMap<string, Worker>,
  servers: ReadonlySet<string>,
  result?: Result,
): Promise<ReadonlyMap<string, unknown>> {
  const failed = await runPhase(
    plan.steps.filter(s => s.phase === phase),
    async (step, server) => workers.get(server)?.step(step, result),
    servers,
  )
  if (failed.size > 0 && phase === 'finalize') throw together(failed, phase)
  return failed
}

/** Stages the release everywhere, then the `prepare` steps. Servers keep serving. */
async function prepare(d: Deployment, plan: Plan, workers: ReadonlyMap<string, Worker>, board: Board): Promise<void> {
  const failed = new Map<string, unknown>()
  const fresh = new Set<string>()
  await goThrough(
    [...workers.values()],
    uploadsAtOnce,
    () => !d.cancel.aborted,
    async worker => {
      try {
        if ((await worker.stage()) === 'fresh') fresh.add(worker.server.name)
      } catch (error) {
        failed.set(worker.server.name, error)
      }
    },
  )
  d.cancel.throwIfAborted()
  if (failed.size === 0) {
    for (const [server, error] of await steps('prepare', plan, workers, fresh)) failed.set(server, error)
    if (failed.size === 0)
      await Promise.all(
        [...fresh].map(name =>
          workers
            .get(name)
            ?.markPrepared()
            .catch((error: unknown) => failed.set(name, error)),
        ),
      )
  }
  if (failed.size === 0) return
  d.cancel.throwIfAborted()
  for (const [server, error] of failed) {
    await workers
      .get(server)
      ?.discard()
      .catch(() => {})
    board.fail(server, error, 'preparing')
  }
  throw together(failed, 'prepare')
}

async function migrate(plan: Plan, workers: ReadonlyMap<string, Worker>, board: Board): Promise<void> {
  const name = plan.migration.server ?? ''
  try {
    await workers.get(name)?.migrate()
  } catch (error) {
    if (!(error instanceof CancelledError)) board.fail(name, error, 'migrating')
    throw error
  }
}

async function rollOut(
  d: Deployment,
  plan: Plan,
  workers: ReadonlyMap<string, Worker>,
  balancers: ReadonlyMap<string, LoadBalancer>,
  board: Board,
): Promise<void> {
  const { manifest, emit, clock, cancel } = d
  const leaving = createLeaving(clock)
  const most = atLeastOne(manifest.rollout.max_failures, plan.servers.length)
  const inOrder: Ended[] = []
  let stopped = false
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
    const ended = await goServer({ server: name, target: release, previous, mode, onFailure }, handsFor(worker, deps))
    leaving.ended(name)
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
        const previous = workers.get(name)?.previous ?? null
        const ended = await go(name, target, previous, manifest.rollout.on_failure)
        inOrder.push(ended)
        told(ended, previous)
        if (ended.balancerFault || board.failures() >= most) stopped = true
      },
    )
  }
  if (cancel.aborted || !stopped || manifest.rollout.on_failure !== 'rollback') return
  if (inOrder.some(e => e.balancerFault)) return
  stopped = false
  const back = inOrder.filter(e => e.switched && !(e.failure?.stage === 'lease lost')).reverse()
  const outFirst = [...back.filter(e => e.leftOut), ...back.filter(e => !e.leftOut)]
  for (const group of plan.groups) {
    const mine = outFirst.filter(e => group.servers.includes(e.server) && e.outcome === 'succeeded')
    await goThrough(
      mine,
      group.limit,
      () => !cancel.aborted,
      async before => {
        const previous = workers.get(before.server)?.previous ?? null
        if (previous === null) return
        const ended = await go(before.server, previous, null, 'stop')
        told(ended.outcome === 'succeeded' ? { ...ended, outcome: 'rolled-back', switched: false } : ended, previous)
      },
    )
  }
}

const putBackOf = (ended: Ended, balancers: ReadonlyMap<string, LoadBalancer>): string =>
  ended.receipts
    .map(receipt => balancers.get(receipt.balancer)?.byHand(receipt) ?? '')
    .filter(Boolean)
    .join('\n')

/** `cleanup` steps, the journal's end, pruning, and the locks: on every server that was reached. Returns what went wrong there. */
async function finish(
  d: Deployment,
  plan: Plan | null,
  sessions: ReadonlyMap<string, Session>,
  workers: ReadonlyMap<string, Worker>,
  board: Board,
  { begun, ready }: { readonly begun: boolean; readonly ready: boolean },
  result: Result,
): Promise<Error | null> {
  const wrong = new Map<string, unknown>()
  let undecided = 0
  const held = () => new Set([...sessions.values()].filter(s => !s.lost()).map(s => s.server.name))
  if (plan !== null && begun && result !== 'cancelled')
    for (const [server, error] of await steps('cleanup', plan, workers, held(), result)) wrong.set(server, error)
  await Promise.all(
    [...sessions.values()].map(async session => {
      try {
        const ended = board.ended(session.server.name)
        const worker = workers.get(session.server.name)
        if (!begun || worker === undefined || ended === undefined) return
        if (session.lost() || (result === 'cancelled' && !ready)) undecided++
        else {
          await worker.close(ended, result)
          if (ended.open) undecided++
        }
      } catch (error) {
        undecided++
        if (!(error instanceof LockLostError) && result !== 'cancelled') wrong.set(session.server.name, error)
      } finally {
        await session.unlock().catch((error: unknown) => {
          d.emit({
            type: 'message',
            level: 'warning',
            server: session.server.name,
            text: `the lock on ${session.server.name} was not given back (${error instanceof Error ? error.message : String(error)}); it runs out by itself within a minute`,
          })
        })
      }
    }),
  )
  if (undecided === 0) d.finished()
  return wrong.size > 0 ? together(wrong, 'cleanup') : null
}
