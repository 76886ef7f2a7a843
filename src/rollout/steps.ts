/** Steps: one on one server with its tries, and a phase of them over the servers, group by group. */
import type { Clock } from '../clock.ts'
import { CancelledError, messageOf, StepError } from '../errors.ts'
import type { RunResult } from '../fleet/connection.ts'
import { directoryMissing } from '../fleet/step-script.ts'
import type { Step } from '../manifest/schema.ts'
import type { PlannedStep } from '../plan/plan.ts'
import type { Emit, StepPhase } from '../report/events.ts'
import type { Slots } from './schedule.ts'

export interface StepRun {
  readonly server: string
  readonly phase: StepPhase
  readonly step: Pick<Step, 'name' | 'retry' | 'continue_on_error' | 'timeout'>
  /** Starts the script once; what it prints is already on its way to the report. */
  readonly start: () => Promise<{ readonly result: RunResult; readonly tail: string }>
}

export interface StepSurroundings {
  readonly emit: Emit
  readonly clock: Clock
  readonly signal: AbortSignal
  /** All step runs of the deployment. */
  readonly slots: Slots
  /** 0 to 1; for jitter. */
  readonly random: () => number
}

/** A failed script with the last lines it printed. */
export class ScriptError extends StepError {
  readonly tail: string
  constructor(
    message: string,
    tail: string,
    facts: { readonly server: string; readonly stage: string; readonly hint?: string },
  ) {
    super(message, facts)
    this.tail = tail
  }
}

const howItEnded = (result: RunResult, timeout: number): string => {
  switch (result.ended) {
    case 'exit':
      if (result.code === directoryMissing) return 'its working directory is not there, or closed to this user'
      return `exit code ${result.code}`
    case 'signal':
      return `ended by signal ${result.name}`
    case 'timeout':
      return `not done after ${timeout} s; its process group was ended`
    case 'cancelled':
      return 'cancelled'
    case 'lost':
      return `the connection was lost (${result.reason}); whether it went on is not known, so it is not run again`
  }
}

/** Seconds before try `n + 1`: doubling, with up to a quarter of jitter. */
export const backoff = (delay: number, n: number, random: number): number => delay * 2 ** (n - 1) * (1 + random / 4)

/** Runs a step on a server, with its tries. Throws ScriptError, CancelledError or whatever `start` throws (LockLostError). */
export async function runStep(run: StepRun, s: StepSurroundings): Promise<void> {
  const { step, server, phase } = run
  const ref = { phase, name: step.name }
  const attempts = step.retry?.attempts ?? 1
  for (let attempt = 1; ; attempt++) {
    const outcome = await s.slots.run(async () => {
      s.signal.throwIfAborted()
      s.emit({ type: 'step-started', server, step: ref, attempt })
      const began = s.clock.now()
      const end = (ok: boolean, ignored: boolean, detail?: string) =>
        s.emit({
          type: 'step-ended',
          server,
          step: ref,
          ok,
          ignored,
          seconds: (s.clock.now() - began) / 1000,
          ...(detail === undefined ? {} : { detail }),
        })
      try {
        const { result, tail } = await run.start()
        const ok = result.ended === 'exit' && result.code === 0
        const how = howItEnded(result, step.timeout)
        const last = attempt >= attempts || result.ended === 'cancelled' || result.ended === 'lost'
        end(ok, !ok && last && step.continue_on_error, ok ? undefined : how)
        return { ok, how, last, tail, cancelled: result.ended === 'cancelled' }
      } catch (error) {
        end(false, false, messageOf(error))
        throw error
      }
    })
    if (outcome.ok) return
    if (outcome.cancelled)
      throw s.signal.aborted ? s.signal.reason : new CancelledError(`${step.name}: cancelled`, { server, stage: phase })
    if (outcome.last) {
      if (step.continue_on_error) return
      const tries = attempt > 1 ? ` at the last of ${attempt} tries` : ''
      throw new ScriptError(`${step.name}: ${outcome.how}${tries}`, outcome.tail, { server, stage: phase })
    }
    await s.clock.sleep(backoff(step.retry?.delay ?? 1, attempt, s.random()) * 1000, s.signal)
  }
}

/** Steps that start together, in order. */
export const stepGroups = (steps: readonly PlannedStep[]): readonly (readonly PlannedStep[])[] => {
  const groups = new Map<number, PlannedStep[]>()
  for (const step of steps) groups.set(step.group, [...(groups.get(step.group) ?? []), step])
  return [...groups.entries()].sort(([a], [b]) => a - b).map(([, members]) => members)
}

/**
 * Goes through a phase step by step over its servers: the members of a group start together, a failing one lets the others end, and
 * the next group starts when all of it ended with success. Returns what failed, by server; empty: all went well.
 */
export async function runPhase(
  steps: readonly PlannedStep[],
  run: (step: PlannedStep, server: string) => Promise<void>,
  servers: ReadonlySet<string>,
): Promise<ReadonlyMap<string, unknown>> {
  const failed = new Map<string, unknown>()
  for (const group of stepGroups(steps)) {
    await Promise.all(
      group.flatMap(step =>
        step.servers
          .filter(server => servers.has(server))
          .map(server =>
            run(step, server).catch((error: unknown) => {
              if (!failed.has(server)) failed.set(server, error)
            }),
          ),
      ),
    )
    if (failed.size > 0) break
  }
  return failed
}
