/** The outputs of the action that say how a run went (spec/action.md). */
import type { Outcome } from './events.ts'
import { outcomeOf } from './server-state.ts'
import type { ReportState } from './state.ts'

export const outputNames = [
  'result',
  'strategy',
  'migrate',
  'release',
  'url',
  'succeeded',
  'skipped',
  'failed',
  'rolled-back',
  'pending',
  'unreachable',
  'left-out',
  'kept-out',
  'retry',
] as const
export type OutputName = (typeof outputNames)[number]

/**
 * All outputs, as text; lists of servers are JSON arrays in the plan's order, and each server is in exactly one of the six outcomes.
 * What is not known yet is empty. A run that has not ended counts as `failure`, so that outputs written before the end claim no success.
 */
export function outputs(state: ReportState): Readonly<Record<OutputName, string>> {
  const servers = [...state.servers.values()]
  const names = (chosen: typeof servers) => JSON.stringify(chosen.map(server => server.name))
  const ended = (...kinds: Outcome[]) => names(servers.filter(server => kinds.includes(outcomeOf(server))))
  return {
    result: state.result ?? 'failure',
    strategy: state.plan?.strategy.value ?? '',
    migrate: state.plan ? String(state.plan.migration.enabled) : '',
    release: state.plan?.release?.id ?? '',
    url: state.plan?.url ?? '',
    succeeded: ended('succeeded'),
    skipped: ended('skipped'),
    failed: ended('failed'),
    'rolled-back': ended('rolled-back'),
    pending: ended('pending'),
    unreachable: ended('unreachable'),
    'left-out': names(servers.filter(server => server.ended?.leftOut)),
    'kept-out': names(servers.filter(server => server.ended?.keptOut)),
    retry: ended('failed', 'rolled-back', 'pending', 'unreachable'),
  }
}
