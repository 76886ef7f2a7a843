/** One server's section of the summary: everything that happened to it, in order. */

import { duration } from './durations.ts'
import type { StepPhase } from './events.ts'
import { block, code, details, headOf, table, tailOf } from './markdown.ts'
import { withoutName } from './name-list.ts'
import { outcomeIcon, outcomeText, rotationWord, whatFailed, wordOf } from './outcome-words.ts'
import { forMarkdown } from './sanitise.ts'
import { outcomeOf, type ServerState, type StepState, secondsOut, shownStages } from './server-state.ts'

interface Row {
  readonly at: number
  /** Of rows at the same moment the lower one comes first: a stage before what happens in it. */
  readonly order: number
  readonly what: string
  readonly took: string
  readonly result: string
}

const text = (value: string | null | undefined, most = 300) => (value ? forMarkdown(headOf(value, most)) : '')

const stepPhases = {
  prepare: 'prepare',
  migrate: 'migration',
  activate: 'activate',
  finalize: 'finalize',
  cleanup: 'cleanup',
  teardown: 'teardown',
} as const satisfies Record<StepPhase, string>

const stepResult = {
  ok: '✅',
  failed: '❌ failed',
  ignored: '⚠️ failed, does not count',
  running: '… not ended',
} as const

function stepRow(step: StepState): Row {
  const tries = step.attempts > 1 ? ` (try ${step.attempts})` : ''
  return {
    at: step.startedAt,
    order: 1,
    what: `${stepPhases[step.phase]}: ${code(headOf(step.name, 120))}${tries}`,
    took: step.seconds === null ? '' : duration(step.seconds),
    result: [stepResult[step.outcome], text(step.detail)].filter(Boolean).join(' '),
  }
}

const megabytes = (bytes: number) => `${(bytes / 1_000_000).toFixed(1)} MB`

/** These are told of when they are over; they stand where they began. */
const began = ({ at, seconds }: { readonly at: number; readonly seconds: number }) => at - seconds * 1000

function rows(server: ServerState, now: number): readonly Row[] {
  const { steps, uploads, balancers, waits, verified } = server
  return [
    ...shownStages(server, now).map(stage => ({
      at: stage.from,
      order: 0,
      what: `**${text(stage.stage)}**`,
      took: duration(stage.seconds),
      result: text(stage.detail),
    })),
    ...steps.map(stepRow),
    ...uploads.map(upload => ({
      at: began(upload),
      order: 2,
      what: upload.reused ? 'release was there already' : 'release uploaded',
      took: upload.reused ? '' : duration(upload.seconds),
      result: upload.reused ? '' : megabytes(upload.bytes),
    })),
    ...balancers.map(event => ({
      at: began(event),
      order: 2,
      what: `balancer ${code(event.balancer)}: ${event.what}`,
      took: duration(event.seconds),
      result: text(event.detail),
    })),
    ...waits.map(wait => ({
      at: wait.at,
      order: 1,
      what: `waits: ${text(wait.what)}`,
      took: duration(wait.seconds),
      result: '',
    })),
    ...verified.map(check => ({
      at: began(check),
      order: 2,
      what: `verified: ${code(headOf(check.check, 120))}`,
      took: duration(check.seconds),
      result: text(check.detail),
    })),
  ].sort((a, b) => a.at - b.at || a.order - b.order)
}

/** Where it is, what it runs and how it ended, in a line. */
function introduction(server: ServerState, now: number): string {
  const { planned, ended } = server
  const out = secondsOut(server, now)
  const release = ended?.release
    ? `runs ${code(ended.release)}${ended.previous && ended.previous !== ended.release ? ` (before: ${code(ended.previous)})` : ''}`
    : ''
  return [
    `${outcomeIcon[outcomeOf(server)]} **${outcomeText(server)}**`,
    planned ? code(planned.host) : '',
    planned?.roles.length ? text(planned.roles.join(', ')) : '',
    release,
    ended && !ended.leftOut ? rotationWord[ended.rotation] : '',
    out === null ? '' : `was out of rotation for ${duration(out)}`,
    planned?.inPlace ? text(`in place: ${planned.inPlace}`) : '',
  ]
    .filter(Boolean)
    .join(' · ')
}

const longestTable = 60

/** The section, from its heading on. `start` and `now` are the run's first and last moment, milliseconds since 1970. */
export function serverSection(server: ServerState, start: number, now: number): string {
  const all = rows(server, now)
  const shown = all.slice(0, longestTable)
  const left = all.length - shown.length
  const steps = table(
    ['at', 'what', 'took', ''],
    shown.map(row => [`+${duration(Math.max(0, row.at - start) / 1000)}`, row.what, row.took, row.result]),
  )
  return [
    `### ${forMarkdown(headOf(server.name, 100))}`,
    introduction(server, now),
    all.length === 0 ? 'Nothing was done on this server.' : steps,
    left > 0 ? `… and ${left} more rows, in the report.` : '',
  ]
    .filter(Boolean)
    .join('\n\n')
}

/** What stands in place of a failure. */
function unsaid({ ended }: ServerState): string {
  if (ended?.recovery) return text([ended.recovery.found, ended.recovery.done].filter(Boolean).join('; '), 2000)
  return 'The run ended before anything was decided about this server.'
}

/** What failed and why, with what was printed last. `mostTail` characters of that are shown. */
export function failureEntry(server: ServerState, mostTail: number): string {
  const failure = server.ended?.failure
  const what = whatFailed(server) || (failure ? wordOf(server) : '')
  const stage = what === '' ? '' : `: ${text(what)}`
  const tail = failure?.tail ?? server.steps.findLast(step => step.outcome === 'failed')?.tail ?? ''
  const ends = outcomeText(server)
  return [
    `#### ${outcomeIcon[outcomeOf(server)]} ${forMarkdown(headOf(server.name, 100))}${stage}`,
    failure ? text(withoutName(failure.message, server.name), 2000) : unsaid(server),
    failure?.hint ? `➜ ${text(failure.hint, 2000)}` : '',
    ends === wordOf(server) ? '' : `Ended as ${ends}.`,
    tail.trim() === '' || mostTail === 0 ? '' : details('What was printed last', block(tailOf(tail, mostTail))),
  ]
    .filter(Boolean)
    .join('\n\n')
}
