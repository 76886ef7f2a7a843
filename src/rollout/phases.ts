/** The phases around the rollout: staging and `prepare`, the migration, `finalize` and `cleanup`. */
import { CancelledError } from '../errors.ts'
import type { Plan, PlannedStep } from '../plan/plan.ts'
import type { Result } from '../report/events.ts'
import { type Board, together } from './board.ts'
import type { Deployment } from './deployment.ts'
import { goThrough } from './schedule.ts'
import { runPhase } from './steps.ts'
import type { Worker } from './worker.ts'

/** Uploads under way at a time: they share the runner's own line, and more of them only make each one slower. */
const uploadsAtOnce = 8

/** Runs the steps of a phase over servers. Throws what failed, with its servers. */
export async function steps(
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
export async function prepare(
  d: Deployment,
  plan: Plan,
  workers: ReadonlyMap<string, Worker>,
  board: Board,
): Promise<void> {
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

export async function migrate(plan: Plan, workers: ReadonlyMap<string, Worker>, board: Board): Promise<void> {
  const name = plan.migration.server ?? ''
  try {
    await workers.get(name)?.migrate()
  } catch (error) {
    if (!(error instanceof CancelledError)) board.fail(name, error, 'migrating')
    throw error
  }
}
