/** The phases around the rollout: staging and `prepare`, the migration, `finalize` and `cleanup`. */
import { CancelledError, DeployError } from '../errors.ts'
import type { Plan, PlannedStep } from '../plan/plan.ts'
import type { Result } from '../report/events.ts'
import { type Board, together } from './board.ts'
import type { Deployment } from './deployment.ts'
import { goThrough } from './schedule.ts'
import { type PhaseEnd, type PhaseRules, runPhase } from './steps.ts'
import type { Worker } from './worker.ts'

/** Uploads under way at a time: they share the runner's own line, and more of them only make each one slower. */
const uploadsAtOnce = 8

/** Runs the steps of a phase over servers. */
export const steps = (
  phase: PlannedStep['phase'],
  plan: Plan,
  workers: ReadonlyMap<string, Worker>,
  servers: ReadonlySet<string>,
  result?: Result,
  rules?: PhaseRules,
): Promise<PhaseEnd> =>
  runPhase(
    plan.steps.filter(s => s.phase === phase),
    async (step, server) => workers.get(server)?.step(step, result),
    servers,
    rules,
  )

/** A deployment that stages nothing opens its journals. */
export const begin = async (workers: ReadonlyMap<string, Worker>): Promise<void> =>
  void (await Promise.all([...workers.values()].map(worker => worker.begin())))

/**
 * Stages the release everywhere, then the `prepare` steps. Servers keep serving. Who fails is ended on the board; throws, with all that
 * failed, when that are max_failures.
 */
export async function prepare(
  d: Deployment,
  plan: Plan,
  workers: ReadonlyMap<string, Worker>,
  board: Board,
): Promise<void> {
  const failed = new Map<string, unknown>()
  const goesOn = () => failed.size < plan.maxFailures && failed.size < workers.size
  const fresh = new Set<string>()
  await goThrough(
    [...workers.values()],
    uploadsAtOnce,
    () => !d.cancel.aborted && goesOn(),
    async worker => {
      try {
        if ((await worker.stage()) === 'fresh') fresh.add(worker.server.name)
      } catch (error) {
        failed.set(worker.server.name, error)
      }
    },
  )
  d.cancel.throwIfAborted()
  let complete = goesOn()
  if (complete) {
    const before = failed.size
    const rules = { goesOn: (n: number) => before + n < plan.maxFailures, gone: new Set(failed.keys()) }
    const end = await steps('prepare', plan, workers, fresh, undefined, rules)
    for (const [server, error] of end.failed) {
      failed.set(server, error)
      fresh.delete(server)
    }
    complete = end.complete && goesOn()
  }
  if (complete)
    await Promise.all(
      [...fresh].map(name =>
        workers
          .get(name)
          ?.markPrepared()
          .catch((error: unknown) => failed.set(name, error)),
      ),
    )
  if (failed.size === 0) return
  d.cancel.throwIfAborted()
  const over = !complete || !goesOn()
  // What is not marked would lie there for ever.
  const partial = new Set([...failed.keys(), ...(over ? fresh : [])])
  await Promise.all(
    [...partial].map(name =>
      workers
        .get(name)
        ?.discard()
        .catch(() => {}),
    ),
  )
  for (const [server, error] of failed) board.fail(server, error, 'preparing')
  if (over) throw together(failed, 'prepare')
}

export async function migrate(plan: Plan, workers: ReadonlyMap<string, Worker>, board: Board): Promise<void> {
  const name = plan.migration.server ?? ''
  if (board.ended(name) !== undefined)
    throw new DeployError(`the migration cannot run: ${name} failed before it; no server was switched`, {
      server: name,
      stage: 'migrating',
    })
  try {
    await workers.get(name)?.migrate()
  } catch (error) {
    if (!(error instanceof CancelledError)) board.fail(name, error, 'migrating')
    throw error
  }
}
