/** Steps: one on one server with its tries, and a phase of them over the servers, group by group. */
import type { Clock } from '../clock.ts'
import { CancelledError, LockLostError, messageOf, StepError } from '../errors.ts'
import type { RunResult } from '../fleet/connection.ts'
import type { Slots } from '../fleet/slots.ts'
import { directoryMissing } from '../fleet/step-script.ts'
import type { Step } from '../manifest/schema.ts'
import type { PlannedStep } from '../plan/plan.ts'
import type { Emit, StepPhase } from '../report/events.ts'
import type { AfterLoss } from './after-loss.ts'

export interface StepRun {
  readonly server: string
  readonly phase: StepPhase
  readonly step: Pick<Step, 'name' | 'retry' | 'continue_on_error' | 'timeout'>
  /** Starts the script once; what it prints is already on its way to the report. */
  readonly start: () => Promise<StepEnd>
}

export interface StepEnd {
  readonly result: RunResult
  readonly tail: string
  /** Where the connection was lost. */
  readonly after?: AfterLoss
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

const killCommand = (groups: readonly number[]) => `sudo kill ${groups.map(g => `-- -${g}`).join(' ')}`

/** What came of a script after its connection was lost, and what to do. A script that may have started is never run again by itself. */
function afterwards(after: AfterLoss | undefined): { readonly said: string; readonly hint: string } {
  const look = 'look at the server: the script may have done a part of its work, or all of it'
  if (after === undefined) return { said: 'whether it went on is not known', hint: look }
  if (!after.reached)
    return {
      said: `the connection could not be made again in ${after.tries} tries (${after.reason}), so whether the script goes on is not known`,
      hint: `${look}; the next deployment, or recover, ends what still runs there`,
    }
  const groups = after.stillRunning
  if (groups.length > 0)
    return {
      said: `the connection was made again, but what ran there could not be ended and still runs (process group ${groups.join(', ')})`,
      hint: `end it on the server: ${killCommand(groups)}`,
    }
  if (!after.known)
    return { said: 'the connection was made again; the server cannot tell whether the script still runs', hint: look }
  const was =
    after.ended.length > 0
      ? `what still ran there was ended (process group ${after.ended.join(', ')})`
      : 'the script does not run any more, and how it ended is not known'
  return { said: `the connection was made again; ${was}`, hint: look }
}

/** Throws when something of this run still runs on a server: beside it no step is started. */
export function assertAlone(server: string, groups: readonly number[]): void {
  if (groups.length > 0)
    throw new StepError(
      `not started: a script whose connection was lost still runs there (process group ${groups.join(', ')})`,
      { server, stage: 'step', hint: `end it on the server: ${killCommand(groups)}` },
    )
}

/** Beside a script that may still run nothing may follow, not even where its failure does not count. */
const mayRunOn = (after: AfterLoss | undefined): boolean =>
  after === undefined || !after.reached || !after.known || after.stillRunning.length > 0

const howItEnded = (result: RunResult, timeout: number, after: AfterLoss | undefined): string => {
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
      return `the connection was lost (${result.reason}); ${afterwards(after).said}; it is not run again`
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
        const { result, tail, after } = await run.start()
        const ok = result.ended === 'exit' && result.code === 0
        const how = howItEnded(result, step.timeout, after)
        const ignored = step.continue_on_error && !(result.ended === 'lost' && mayRunOn(after))
        const hint = result.ended === 'lost' ? afterwards(after).hint : undefined
        const last = attempt >= attempts || result.ended === 'cancelled' || result.ended === 'lost'
        end(ok, !ok && last && ignored, ok ? undefined : how)
        return { ok, how, last, tail, ignored, hint, cancelled: result.ended === 'cancelled' }
      } catch (error) {
        end(false, false, messageOf(error))
        throw error
      }
    })
    if (outcome.ok) return
    if (outcome.cancelled)
      throw s.signal.aborted ? s.signal.reason : new CancelledError(`${step.name}: cancelled`, { server, stage: phase })
    if (outcome.last) {
      if (outcome.ignored) return
      const tries = attempt > 1 ? ` at the last of ${attempt} tries` : ''
      const { hint } = outcome
      throw new ScriptError(`${step.name}: ${outcome.how}${tries}`, outcome.tail, {
        server,
        stage: phase,
        ...(hint === undefined ? {} : { hint }),
      })
    }
    await s.clock.sleep(backoff(step.retry?.delay ?? 1, attempt, s.random()) * 1000, s.signal)
  }
}

/** Where a step runs; steps of any phase. */
export type Placed = Omit<PlannedStep, 'phase'>

/** Steps that start together, in order. */
export const stepGroups = <S extends Placed>(steps: readonly S[]): readonly (readonly S[])[] => {
  const groups = new Map<number, S[]>()
  for (const step of steps) groups.set(step.group, [...(groups.get(step.group) ?? []), step])
  return [...groups.entries()].sort(([a], [b]) => a - b).map(([, members]) => members)
}

/** Several failures of one server as one; a lock that is lost, or a cancel, is not told as a failed step. */
function asOne(server: string, errors: readonly unknown[]): unknown {
  const decisive = errors.find(e => e instanceof LockLostError || e instanceof CancelledError)
  const [first, ...more] = errors
  if (decisive !== undefined || more.length === 0) return decisive ?? first
  const tails = errors.flatMap(e => (e instanceof ScriptError && e.tail !== '' ? [e.tail] : []))
  const stage = (first instanceof StepError ? first.stage : undefined) ?? 'step'
  return new ScriptError(errors.map(messageOf).join('; '), tails.join('\n'), { server, stage })
}

export interface PhaseEnd {
  /** By server: what failed there. */
  readonly failed: ReadonlyMap<string, unknown>
  /** All steps ran on every server that did not fail. */
  readonly complete: boolean
}

export interface PhaseRules {
  /** Whether it goes on with so many failed servers; default: not with any. */
  readonly goesOn?: (failed: number) => boolean
  /** Servers that failed before this phase: a step that runs once on one of them is for all, and without it the phase ends. */
  readonly gone?: ReadonlySet<string>
}

/**
 * Goes through a phase step by step over its servers: the members of a group start together, a failing one lets the others end, and
 * the next group starts when all of it ended with success; on the servers that did not fail while `goesOn`.
 */
export async function runPhase<S extends Placed>(
  steps: readonly S[],
  run: (step: S, server: string) => Promise<void>,
  servers: ReadonlySet<string>,
  { goesOn = () => false, gone }: PhaseRules = {},
): Promise<PhaseEnd> {
  const errors = new Map<string, unknown[]>()
  const missed = (step: S) =>
    gone !== undefined && step.once && step.servers.some(server => errors.has(server) || gone.has(server))
  const end = (complete: boolean): PhaseEnd => ({
    failed: new Map([...errors].map(([server, some]) => [server, asOne(server, some)])),
    complete,
  })
  for (const group of stepGroups(steps)) {
    if ((errors.size > 0 && !goesOn(errors.size)) || group.some(missed)) return end(false)
    await Promise.all(
      group.flatMap(step =>
        step.servers
          .filter(server => servers.has(server) && !errors.has(server))
          .map(server =>
            run(step, server).catch((error: unknown) => {
              errors.set(server, [...(errors.get(server) ?? []), error])
            }),
          ),
      ),
    )
    if (group.some(missed)) return end(false)
  }
  return end(errors.size === 0 || goesOn(errors.size))
}
