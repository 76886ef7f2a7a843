/** What a deployment's record says: its state and a line of at most 140 characters. Pure. */
import { outcomeWord } from '../report/outcome-words.ts'
import { forLog } from '../report/sanitise.ts'
import { outcomeOf, type ServerState } from '../report/server-state.ts'
import type { ReportState } from '../report/state.ts'

export interface RecordEnd {
  readonly state: 'success' | 'failure' | 'inactive'
  readonly description: string
}

/** More names than this never fit. */
const mostNames = 12

const listed = (servers: readonly ServerState[], text: (server: ServerState) => string): string => {
  const all = servers.slice(0, mostNames).map(text).join(', ')
  return servers.length > mostNames ? `${all} and ${servers.length - mostNames} more` : all
}

const nameOf = ({ name }: ServerState) => forLog(name)

function nameAndStage(server: ServerState): string {
  const stage = server.ended?.failure?.stage ?? server.stages.findLast(s => s.detail === null)?.stage
  return stage === undefined ? nameOf(server) : `${nameOf(server)} (${forLog(stage)})`
}

const servers = (n: number) => `${n} ${n === 1 ? 'server' : 'servers'}`

export const progressText = (done: number, of: number): string => `${done} of ${servers(of)} done`

const troubles = ['failed', 'rolled-back', 'unreachable'] as const

/** `failed: web3 (verifying); left out: web3` */
function troubleText(all: readonly ServerState[]): string {
  const parts = troubles.flatMap(outcome => {
    const those = all.filter(s => outcomeOf(s) === outcome)
    return those.length === 0 ? [] : [`${outcomeWord[outcome]}: ${listed(those, nameAndStage)}`]
  })
  const out = all.filter(s => s.ended?.leftOut && !s.beforePost)
  return [...parts, ...(out.length === 0 ? [] : [`left out: ${listed(out, nameOf)}`])].join('; ')
}

const isOn = (server: ServerState) => ['succeeded', 'skipped'].includes(outcomeOf(server))
/** This run switched it, or may have. */
const isTouched = (server: ServerState) =>
  ['succeeded', 'failed', 'rolled-back'].includes(outcomeOf(server)) || server.ended?.leftOut === true

const firstLine = (text: string) => forLog(text.split('\n', 1)[0] ?? '')

/** How a run that has ended is recorded. Cancelled before any server was switched, it was no deployment: inactive. */
export function endOf(state: ReportState): RecordEnd {
  const all = [...state.servers.values()]
  const done = progressText(all.filter(isOn).length, all.length)
  if (state.result === 'success') return { state: 'success', description: done }
  if (state.result === 'skipped') return { state: 'inactive', description: 'skipped' }
  const trouble = troubleText(all)
  if (state.result === 'cancelled') {
    if (!all.some(isTouched)) return { state: 'inactive', description: 'cancelled before any server was switched' }
    return { state: 'failure', description: [`cancelled: ${done}`, trouble].filter(Boolean).join('; ') }
  }
  return { state: 'failure', description: trouble || firstLine(state.error?.message ?? `failed: ${done}`) }
}

/** How a run that was cut off is recorded, by what the recovery after it found. */
export function endOfRecovery(state: ReportState): RecordEnd {
  const all = [...state.servers.values()]
  if (state.result === 'success' && !all.some(isTouched))
    return { state: 'inactive', description: 'cut off before any server was switched' }
  const on = all.filter(s => outcomeOf(s) === 'succeeded')
  const back = all.filter(s => outcomeOf(s) === 'rolled-back')
  const bad = all.filter(s => ['failed', 'unreachable'].includes(outcomeOf(s)) || s.ended?.leftOut)
  const told = [
    ...(bad.length === 0 ? [] : [troubleText(bad)]),
    ...(on.length === 0 ? [] : [`on the new release: ${listed(on, nameOf)}`]),
    ...(back.length === 0 ? [] : [`back on the old: ${listed(back, nameOf)}`]),
  ]
  return { state: 'failure', description: ['cut off', ...told].join('; ') }
}
