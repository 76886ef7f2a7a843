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

/** A server's outcome in words, with what is special about it. */
export function outcomeText(server: ServerState): string {
  const said: string[] = [outcomeWord[outcomeOf(server)]]
  if (server.ended?.leftOut) said.push('left out of rotation')
  if (server.ended?.keptOut) said.push('kept out, as an operator left it')
  if (server.ended?.notVerified) said.push('not verified')
  if (server.ended?.rotation === 'unknown') said.push('rotation unknown')
  return said.join(', ')
}

const rank = (server: ServerState) => (server.ended?.leftOut ? -1 : outcomes.indexOf(outcomeOf(server)))

/** Left-out servers, then failed ones, and so on; within one kind the plan's order. */
export const failuresFirst = (state: ReportState): readonly ServerState[] =>
  [...state.servers.values()].sort((a, b) => rank(a) - rank(b))

/** Servers that someone has to look at. */
export const isTrouble = (server: ServerState): boolean => {
  const outcome = outcomeOf(server)
  return server.ended?.leftOut === true || ['failed', 'rolled-back', 'unreachable'].includes(outcome)
}

/** `1 failed, 2 succeeded`; kinds with nobody are not named. */
export function counts(state: ReportState): string {
  const all = [...state.servers.values()]
  return outcomes
    .map(outcome => ({ outcome, n: all.filter(server => outcomeOf(server) === outcome).length }))
    .filter(({ n }) => n > 0)
    .map(({ outcome, n }) => `${n} ${outcomeWord[outcome]}`)
    .join(', ')
}
