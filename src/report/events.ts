/**
 * Everything that happens, as one typed stream. Log, summary, annotations and report.json are folds over it; nothing that
 * reports is called by the rollout. A recorded stream replays to the same report.
 */
import type { Plan } from '../plan/plan.ts'
import type { Shard } from '../plan/shards.ts'
import type { ReportState } from './state.ts'

export const phases = ['preflight', 'recover', 'prepare', 'migrate', 'rollout', 'finish'] as const
export type Phase = (typeof phases)[number]

export type Outcome = 'succeeded' | 'skipped' | 'failed' | 'rolled-back' | 'pending' | 'unreachable'
export type Result = 'success' | 'failure' | 'cancelled' | 'skipped'

/** Where a server stands at the balancers when the deployment ends; `none`: it has no balancer, or parallel left it alone. */
export type FinalRotation = 'in' | 'out' | 'unknown' | 'none'

export interface Failure {
  readonly message: string
  readonly stage: string
  readonly hint?: string
  /** Last lines a script or check printed. */
  readonly tail?: string
}

export type StepPhase = 'prepare' | 'migrate' | 'activate' | 'finalize' | 'cleanup' | 'teardown'

export interface StepRef {
  readonly phase: StepPhase
  readonly name: string
}

export type EventBody =
  | {
      readonly type: 'run-started'
      readonly command: string
      readonly manifest: string
      readonly runUrl: string | null
      /** The application and its environment, where they are known already. */
      readonly subject?: string
      /** GitHub's number of this try of the run. */
      readonly attempt?: string
      /** It is one of the jobs of a fan-out. */
      readonly shard?: Shard
      /** Of a shard: the selected servers of all shards, in order, so that a shard that says nothing is missed. */
      readonly selection?: readonly string[]
    }
  | { readonly type: 'planned'; readonly plan: Plan }
  | { readonly type: 'phase'; readonly phase: Phase }
  /** A server's state machine moved: pending, removing, draining, switching, activating, verifying, adding, done, … */
  | { readonly type: 'stage'; readonly server: string; readonly stage: string; readonly detail?: string }
  | { readonly type: 'step-started'; readonly server: string; readonly step: StepRef; readonly attempt: number }
  /** What a script printed: raw, any bytes, not cut at lines. */
  | { readonly type: 'output'; readonly server: string; readonly stream: 'out' | 'err'; readonly text: string }
  | {
      readonly type: 'step-ended'
      readonly server: string
      readonly step: StepRef
      readonly ok: boolean
      readonly ignored: boolean
      readonly seconds: number
      readonly detail?: string
    }
  | {
      readonly type: 'uploaded'
      readonly server: string
      readonly bytes: number
      readonly seconds: number
      readonly reused: boolean
    }
  | {
      readonly type: 'balancer'
      readonly server: string
      readonly balancer: string
      readonly what: 'removed' | 'drained' | 'restored' | 'serving' | 'kept-out'
      readonly seconds: number
      readonly detail?: string
    }
  | { readonly type: 'waiting'; readonly server: string; readonly what: string; readonly seconds: number }
  | {
      readonly type: 'verified'
      readonly server: string
      readonly check: string
      readonly seconds: number
      readonly detail: string
    }
  | {
      readonly type: 'message'
      readonly level: 'info' | 'notice' | 'warning' | 'error'
      readonly text: string
      readonly server?: string
      readonly hint?: string
    }
  | {
      readonly type: 'server-ended'
      readonly server: string
      readonly outcome: Outcome
      readonly rotation: FinalRotation
      /** Should serve and does not. */
      readonly leftOut: boolean
      /** An operator's: left out as found. */
      readonly keptOut: boolean
      /** No check selected it. */
      readonly notVerified: boolean
      readonly failure?: Failure
      /** The command that puts a left-out server back. */
      readonly putBack?: string
      readonly release: string | null
      readonly previous: string | null
      /** Of a recovery: how the server was found, and what was done about it; null: nothing had to be. */
      readonly recovery?: { readonly found: string; readonly done: string | null }
    }
  /** The reports of a run's shards, put together: from here on this is what there is to report. */
  | { readonly type: 'merged'; readonly state: ReportState; readonly events: readonly Event[] }
  | {
      readonly type: 'run-ended'
      readonly result: Result
      readonly error?: { readonly message: string; readonly hint?: string }
    }

/** `at`: milliseconds since 1970. */
export type Event = EventBody & { readonly at: number }
export type Emit = (event: EventBody) => void
export type Listener = (event: Event) => void
