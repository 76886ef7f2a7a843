/** Events → what there is to report about the run. Pure: the same stream gives the same state. */
import type { Plan } from '../plan/plan.ts'
import type { Shard } from '../plan/shards.ts'
import type { Event, Listener, Phase, Result } from './events.ts'
import { newServer, type ServerState, serverAfter } from './server-state.ts'

export interface Message {
  readonly at: number
  readonly level: 'info' | 'notice' | 'warning' | 'error'
  readonly text: string
  readonly server: string | null
  readonly hint: string | null
}

/** How one job of a fan-out ended, for those who see all of them. */
export interface ShardReport extends Shard {
  /** `unfinished`: its report stops before its end; `missing`: there is none. */
  readonly result: Result | 'unfinished' | 'missing'
  readonly attempt: string | null
  /** null: there is no report. */
  readonly seconds: number | null
}

/** Times are milliseconds since 1970. */
export interface ReportState {
  readonly command: string | null
  readonly manifest: string | null
  readonly runUrl: string | null
  /** The application and its environment; null: not known when the run started. */
  readonly subject: string | null
  /** GitHub's number of this try of the run; null: not on GitHub. */
  readonly attempt: string | null
  /** null: it is no part of a fan-out. */
  readonly shard: Shard | null
  /** Of a shard: the selected servers of all shards, in order. */
  readonly selection: readonly string[] | null
  /** Of a report that was put together: the shards, each once, in order. */
  readonly shards: readonly ShardReport[] | null
  /** Events that the reports it was put together from did not have room for. */
  readonly eventsLeftOut: number
  readonly startedAt: number | null
  /** When the last event happened. */
  readonly lastAt: number | null
  readonly plan: Plan | null
  readonly phases: readonly { readonly phase: Phase; readonly at: number }[]
  /** By name: the selected servers in the plan's order, then others that were heard of. */
  readonly servers: ReadonlyMap<string, ServerState>
  readonly messages: readonly Message[]
  /** null: the run has not ended. */
  readonly result: Result | null
  readonly error: { readonly message: string; readonly hint?: string } | null
}

export const emptyState: ReportState = {
  command: null,
  manifest: null,
  runUrl: null,
  subject: null,
  attempt: null,
  shard: null,
  selection: null,
  shards: null,
  eventsLeftOut: 0,
  startedAt: null,
  lastAt: null,
  plan: null,
  phases: [],
  servers: new Map(),
  messages: [],
  result: null,
  error: null,
}

/** A message is kept for the summary; a run that says more than this says the rest in the log only. */
const mostMessages = 2000

type RunState = Omit<ReportState, 'servers'>

function runAfter(state: RunState, event: Event): RunState {
  switch (event.type) {
    case 'run-started':
      return {
        ...state,
        command: event.command,
        manifest: event.manifest,
        runUrl: event.runUrl,
        subject: event.subject ?? null,
        attempt: event.attempt ?? null,
        shard: event.shard ?? null,
        selection: event.selection ?? null,
        startedAt: event.at,
      }
    case 'planned':
      return { ...state, plan: event.plan }
    case 'phase':
      return { ...state, phases: [...state.phases, { phase: event.phase, at: event.at }] }
    case 'message': {
      if (state.messages.length >= mostMessages) return state
      const { at, level, text, server = null, hint = null } = event
      return { ...state, messages: [...state.messages, { at, level, text, server, hint }] }
    }
    case 'run-ended':
      return { ...state, result: event.result, error: event.error ?? state.error }
    default:
      return state
  }
}

export interface Fold {
  readonly listener: Listener
  readonly state: () => ReportState
  /** One server, without a copy of all. */
  readonly server: (name: string) => ServerState | undefined
}

/**
 * The fold as a listener, and the state so far. Servers are kept in a map of its own between events, so that an event costs the same
 * with 3 servers and with 5,000; `state` hands out a copy.
 */
export function createFold(): Fold {
  let run: RunState = emptyState
  let servers = new Map<string, ServerState>()
  return {
    listener(event) {
      if (event.type === 'merged') {
        const { servers: merged, ...rest } = event.state
        run = rest
        servers = new Map(merged)
        return
      }
      // What is put together is over: the time it takes to say so does not count.
      const lastAt = run.shards === null ? event.at : run.lastAt
      run = { ...runAfter(run, event), startedAt: run.startedAt ?? event.at, lastAt }
      if (event.type === 'planned') {
        const selected = new Set(event.plan.servers.map(server => server.name))
        const planned = event.plan.servers.map(
          server =>
            [server.name, { ...(servers.get(server.name) ?? newServer(server.name)), planned: server }] as const,
        )
        servers = new Map([...planned, ...[...servers].filter(([name]) => !selected.has(name))])
      }
      // What is said about a server makes it none of this run's: the lead may be one that is not selected.
      if ('server' in event && event.server !== undefined && event.type !== 'message') {
        const name = event.server
        servers.set(name, serverAfter(servers.get(name) ?? newServer(name), event))
      }
    },
    state: () => ({ ...run, servers: new Map(servers) }),
    server: name => servers.get(name),
  }
}

/** The state after a whole recorded stream. */
export function replay(events: Iterable<Event>): ReportState {
  const fold = createFold()
  for (const event of events) fold.listener(event)
  return fold.state()
}

/** Seconds from the first event to the last. */
export const totalSeconds = (state: ReportState): number => ((state.lastAt ?? 0) - (state.startedAt ?? 0)) / 1000
