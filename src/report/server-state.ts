/** One server's part of the report: what its events add up to. */
import type { PlannedServer } from '../plan/plan.ts'
import type { Event, Outcome, StepRef } from './events.ts'

type EventOf<T extends Event['type']> = Extract<Event, { type: T }>
type Facts<T extends Event['type']> = Omit<EventOf<T>, 'type' | 'server'>

export interface StageState {
  readonly stage: string
  readonly detail: string | null
  readonly from: number
  /** null: it is still there. */
  readonly to: number | null
}

export interface StepState extends StepRef {
  readonly startedAt: number
  readonly attempts: number
  readonly outcome: 'running' | 'ok' | 'failed' | 'ignored'
  readonly seconds: number | null
  readonly detail: string | null
  /** The end of what it printed, raw, at most 8,192 characters. */
  readonly tail: string
}

export interface ServerState {
  readonly name: string
  /** null: the plan does not have it, or was never made. */
  readonly planned: PlannedServer | null
  readonly stages: readonly StageState[]
  readonly steps: readonly StepState[]
  readonly uploads: readonly Facts<'uploaded'>[]
  readonly balancers: readonly Facts<'balancer'>[]
  readonly waits: readonly Facts<'waiting'>[]
  readonly verified: readonly Facts<'verified'>[]
  readonly ended: Facts<'server-ended'> | null
  /** In a merged report, of a server that was left out as its shard was cancelled or killed: the shard's post step came after. */
  readonly beforePost?: true
}

export const newServer = (name: string): ServerState => ({
  name,
  planned: null,
  stages: [],
  steps: [],
  uploads: [],
  balancers: [],
  waits: [],
  verified: [],
  ended: null,
})

const longestTail = 8192

const sameStep = (a: StepRef, b: StepRef) => a.phase === b.phase && a.name === b.name

const replaceAt = <T>(list: readonly T[], index: number, item: T): readonly T[] =>
  index < 0 ? [...list, item] : list.with(index, item)

function withoutAddress<T extends Event & { readonly server?: string }>(event: T): Omit<T, 'type' | 'server'> {
  const { type: _type, server: _server, ...facts } = event
  return facts
}

function afterStage(server: ServerState, event: EventOf<'stage'>): ServerState {
  const stages = server.stages.map(stage => (stage.to === null ? { ...stage, to: event.at } : stage))
  return {
    ...server,
    stages: [...stages, { stage: event.stage, detail: event.detail ?? null, from: event.at, to: null }],
  }
}

function afterStep(server: ServerState, event: EventOf<'step-started'> | EventOf<'step-ended'>): ServerState {
  const running = server.steps.findLastIndex(step => step.outcome === 'running' && sameStep(step, event.step))
  const before: StepState = server.steps[running] ?? {
    phase: event.step.phase,
    name: event.step.name,
    startedAt: event.at,
    attempts: 1,
    outcome: 'running',
    seconds: null,
    detail: null,
    tail: '',
  }
  if (event.type === 'step-started')
    return { ...server, steps: replaceAt(server.steps, running, { ...before, attempts: event.attempt }) }
  const ended: StepState = {
    ...before,
    outcome: event.ok ? 'ok' : event.ignored ? 'ignored' : 'failed',
    seconds: event.seconds,
    detail: event.detail ?? null,
  }
  return { ...server, steps: replaceAt(server.steps, running, ended) }
}

/** Output says of which server it is, not of which step: with `concurrent_steps` it counts for the one that started last. */
function afterOutput(server: ServerState, event: EventOf<'output'>): ServerState {
  const running = server.steps.findLastIndex(step => step.outcome === 'running')
  const step = server.steps[running]
  if (!step) return server
  return {
    ...server,
    steps: server.steps.with(running, { ...step, tail: (step.tail + event.text).slice(-longestTail) }),
  }
}

/** The server after an event that names it. */
export function serverAfter(server: ServerState, event: Event): ServerState {
  switch (event.type) {
    case 'stage':
      return afterStage(server, event)
    case 'step-started':
    case 'step-ended':
      return afterStep(server, event)
    case 'output':
      return afterOutput(server, event)
    case 'uploaded':
      return { ...server, uploads: [...server.uploads, withoutAddress(event)] }
    case 'balancer':
      return { ...server, balancers: [...server.balancers, withoutAddress(event)] }
    case 'waiting':
      return { ...server, waits: [...server.waits, withoutAddress(event)] }
    case 'verified':
      return { ...server, verified: [...server.verified, withoutAddress(event)] }
    case 'server-ended':
      return {
        ...server,
        ended: withoutAddress(event),
        stages: server.stages.map(stage => (stage.to === null ? { ...stage, to: event.at } : stage)),
      }
    default:
      return server
  }
}

/** Stages in which nothing on the server has been switched or taken out of rotation yet. */
const untouched = new Set([
  'pending',
  'connecting',
  'preflight',
  'staging',
  'uploading',
  'preparing',
  'prepared',
  'migrating',
])

/**
 * What became of a server. One about which nothing was decided when the run ended (it was killed, say) is `pending` while nothing on
 * it was changed, and `failed` after that: its journal is open.
 */
export const outcomeOf = (server: ServerState): Outcome =>
  server.ended?.outcome ?? (server.stages.every(stage => untouched.has(stage.stage)) ? 'pending' : 'failed')

/** A stretch of time out of rotation, in milliseconds since 1970. `to` null: it did not come back. */
export interface OutOfRotation {
  readonly from: number
  readonly to: number | null
}

/**
 * When it was out of rotation, at any balancer: from `removed` to `serving`; where no balancer could confirm that, to the end of a
 * server that ended `in`.
 */
export function outOfRotation(server: ServerState): readonly OutOfRotation[] {
  const stretches: OutOfRotation[] = []
  const outOf = new Set<string>()
  let from: number | null = null
  for (const event of server.balancers) {
    if (event.what === 'removed') {
      outOf.add(event.balancer)
      from ??= event.at
    } else if (event.what === 'serving') {
      outOf.delete(event.balancer)
      if (from !== null && outOf.size === 0) {
        stretches.push({ from, to: event.at })
        from = null
      }
    }
  }
  // Whom a post step puts back, after the report, is not still out: for how long it was is known up to its shard's end.
  const known = server.ended?.rotation === 'in' || server.beforePost
  if (from !== null) stretches.push({ from, to: (known && server.ended?.at) || null })
  return stretches
}

/** Seconds out of rotation until `now`; null: it was never taken out. */
export function secondsOut(server: ServerState, now: number): number | null {
  const stretches = outOfRotation(server)
  if (stretches.length === 0) return null
  return stretches.reduce((sum, { from, to }) => sum + ((to ?? now) - from) / 1000, 0)
}

/** Stages in which nothing is done: waiting for a turn, or at the end. */
export const resting: ReadonlySet<string> = new Set([
  'pending',
  'prepared',
  'done',
  'failed',
  'skipped',
  'rolled-back',
  'left-out',
  'kept-out',
  'unreachable',
])

/** Seconds in which something was done on the server or waited for there; null: nothing was. */
export function secondsUnderWay(server: ServerState, now: number): number | null {
  const active = server.stages.filter(stage => !resting.has(stage.stage))
  if (active.length === 0) return null
  return active.reduce((sum, stage) => sum + ((stage.to ?? now) - stage.from) / 1000, 0)
}

/** Stages as worth showing: with their seconds; resting ones only where they say why. */
export const shownStages = (server: ServerState, now: number) =>
  server.stages
    .filter(stage => !resting.has(stage.stage) || stage.detail !== null)
    .map(stage => ({ ...stage, seconds: ((stage.to ?? now) - stage.from) / 1000 }))
