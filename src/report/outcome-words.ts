/** How outcomes and results are said, and in which order they are shown: what needs a person comes first. */
import type { FinalRotation, Outcome, Result } from './events.ts'
import { outcomeOf, type ServerState } from './server-state.ts'
import type { ReportState } from './state.ts'

export const outcomes = [
  'failed',
  'rolled-back',
  'unreachable',
  'pending',
  'skipped',
  'succeeded',
] as const satisfies readonly Outcome[]

export const outcomeWord = {
  failed: 'failed',
  'rolled-back': 'rolled back',
  unreachable: 'unreachable',
  pending: 'pending',
  skipped: 'skipped',
  succeeded: 'succeeded',
} as const satisfies Record<Outcome, string>

/** The same of a recovery, which deploys nothing: where the server stands now. */
const recoveredWord = {
  ...outcomeWord,
  'rolled-back': 'back on the old release',
  pending: 'on the old release',
  skipped: 'nothing to recover',
  succeeded: 'on the new release',
} as const satisfies Record<Outcome, string>

/** One word for how it ended. */
export const wordOf = (server: ServerState): string =>
  (server.ended?.recovery === undefined ? outcomeWord : recoveredWord)[outcomeOf(server)]

export const outcomeIcon = {
  failed: '❌',
  'rolled-back': '↩️',
  unreachable: '🔌',
  pending: '⏸️',
  skipped: '⏭️',
  succeeded: '✅',
} as const satisfies Record<Outcome, string>

export const resultIcon = {
  success: '✅',
  failure: '❌',
  cancelled: '🛑',
  skipped: '⏭️',
} as const satisfies Record<Result, string>

export const rotationWord = {
  in: 'in rotation',
  out: 'out of rotation',
  unknown: 'rotation unknown',
  none: '',
} as const satisfies Record<FinalRotation, string>

/** A left-out server whose balancer could not be asked: it may serve again, and nobody has seen it. */
export const isUnconfirmed = (server: ServerState): boolean =>
  server.ended?.leftOut === true && server.ended.rotation === 'unknown'

export const leftOutWord = (server: ServerState): string => {
  if (server.beforePost) return 'out of rotation before the post step'
  return isUnconfirmed(server) ? 'not confirmed to serve again' : 'left out of rotation'
}

/** What failed, for a title; empty of a server that did well and was taken back because others did not. */
export function whatFailed({ ended }: ServerState): string {
  if (!ended?.failure || (ended.outcome === 'rolled-back' && ended.failure.stage === 'rolling back')) return ''
  return `${ended.failure.stage} failed`
}

/** A server's outcome in words, with what is special about it. */
export function outcomeText(server: ServerState): string {
  const said: string[] = [wordOf(server)]
  if (server.ended?.leftOut) said.push(leftOutWord(server))
  if (server.ended?.keptOut) said.push('kept out, as an operator left it')
  if (server.ended?.notVerified) said.push('not verified')
  if (server.ended?.rotation === 'unknown' && !server.ended.leftOut) said.push('rotation unknown')
  return said.join(', ')
}

const rank = (server: ServerState) => (server.ended?.leftOut ? -1 : outcomes.indexOf(outcomeOf(server)))

/** Left-out servers, then failed ones, and so on; within one kind the plan's order. */
export const failuresFirst = (state: ReportState): readonly ServerState[] =>
  [...state.servers.values()].sort((a, b) => rank(a) - rank(b))

/** Servers that someone has to look at. */
export const isTrouble = (server: ServerState): boolean => {
  const outcome = outcomeOf(server)
  // A recovery that brought a server back to its old release did what it is for.
  if (outcome === 'rolled-back') return server.ended?.recovery === undefined || server.ended.leftOut
  return server.ended?.leftOut === true || outcome === 'failed' || outcome === 'unreachable'
}

const reachingNobody: ReadonlySet<string | null> = new Set(['validate', 'report'])

/** How many servers ended how; where there are none, whether that is as it should be. */
export function reached(state: ReportState): string {
  const asMeant = state.result === 'success' || state.result === 'skipped' || reachingNobody.has(state.command)
  return counts(state) || (asMeant ? 'no server had to be reached' : 'no server was reached')
}

/** `1 failed, 2 succeeded`; kinds with nobody are not named. */
export function counts(state: Pick<ReportState, 'servers'>): string {
  const all = [...state.servers.values()]
  return outcomes
    .flatMap(outcome => {
      const [first, ...more] = all.filter(server => outcomeOf(server) === outcome)
      return first === undefined ? [] : [`${more.length + 1} ${wordOf(first)}`]
    })
    .join(', ')
}
