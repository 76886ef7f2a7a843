/** What the command `status` found, as text for the log and as Markdown for the summary. Everything in it comes from servers. */
import { block, code, details, headOf, table } from './markdown.ts'
import { count, nameList } from './name-list.ts'
import { forLog, forMarkdown } from './sanitise.ts'
import { columns } from './text-columns.ts'

export interface ServerStatus {
  readonly server: string
  readonly host: string
  /** What `current` points to; null: nothing, or it could not be read. */
  readonly release: string | null
  readonly commit: string | null
  /** ISO 8601, by the server's clock. */
  readonly since: string | null
  readonly by: string | null
  readonly run: string | null
  /** By balancer. */
  readonly rotation: Readonly<Record<string, string>>
  /** secondsLeft 0: its lease is over, and the next deployment takes it. */
  readonly lock: {
    readonly by: string | null
    readonly since: string | null
    readonly run: string | null
    readonly secondsLeft: number
  } | null
  /** Its journal is open: a deployment is under way, or one ended here before it could decide. */
  readonly undecided: {
    readonly at: string
    /** The same for people. */
    readonly words: string
    readonly since: string
    readonly run: string | null
    /** Its lock is alive. */
    readonly underWay: boolean
  } | null
  /** Balancers that a deployment took it out of and did not put it back to. */
  readonly leftOut: readonly string[]
  /** The commands that put it back there by hand. */
  readonly putBack: string | null
  /** Waits that a deployment stored there, in words, one text for each balancer. */
  readonly waits: readonly string[]
  /** The last deployment's entries, in words. */
  readonly journal: readonly { readonly at: string; readonly text: string }[]
  /** Why it could not be read. */
  readonly error: string | null
}

const head = ['server', 'release', 'since', 'by', 'rotation', 'lock', 'left behind']

/** `2026-11-21 12:07:28 UTC`, from ISO 8601. */
const time = (iso: string): string => iso.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$/, '$1 $2 UTC')

const ofRun = (run: string | null) => (run === null ? '' : `, ${run}`)

function lockWords({ lock }: ServerStatus): string {
  if (lock === null) return 'free'
  const who = `${lock.by ?? 'somebody'}${ofRun(lock.run)}`
  return lock.secondsLeft > 0 ? `held by ${who}, ${lock.secondsLeft} s left` : `lease over (${who})`
}

function behindWords({ undecided, leftOut }: ServerStatus): readonly string[] {
  return [
    ...(undecided === null
      ? []
      : [
          `${undecided.underWay ? 'under way' : 'undecided'}: ${undecided.words}, since ${time(undecided.since)}${ofRun(undecided.run)}`,
        ]),
    ...(leftOut.length === 0 ? [] : [`left out of ${leftOut.join(', ')}`]),
  ]
}

function cells(s: ServerStatus): readonly string[] {
  const rotation = Object.entries(s.rotation).map(([name, text]) => `${name}: ${text}`)
  if (s.error !== null) return [s.server, s.error, '', '', rotation.join('; '), '', '']
  return [
    s.server,
    s.release ?? 'nothing deployed yet',
    s.since === null ? '-' : time(s.since),
    s.by ?? '-',
    rotation.join('; ') || '-',
    lockWords(s),
    behindWords(s).join('; ') || '-',
  ]
}

const isUndecided = (s: ServerStatus) => s.undecided !== null && !s.undecided.underWay
const isBehind = (s: ServerStatus) => isUndecided(s) || s.leftOut.length > 0

/** Of more servers only the journals of those with something behind are shown. */
const mostJournals = 10
const shownJournals = (rows: readonly ServerStatus[]) =>
  rows.filter(s => s.journal.length > 0 && (rows.length <= mostJournals || isBehind(s))).slice(0, 100)

const journalLines = (s: ServerStatus): readonly string[] => s.journal.map(e => `${time(e.at)}  ${e.text}`)

/** What helps, a line for each kind of thing left behind. */
function advice(rows: readonly ServerStatus[]): readonly string[] {
  const undecided = rows.filter(isUndecided).length
  const out = rows.filter(s => s.leftOut.length > 0).length
  return [
    ...(undecided === 0
      ? []
      : [`${count(undecided, 'server')} undecided: the next deployment brings it to an end, or the command recover`]),
    ...(out === 0
      ? []
      : [`${count(out, 'server')} left out of rotation: the command recover puts it back once it verifies`]),
  ]
}

/** Copies that differ, as after a server was down, stand apart. */
const waitLines = (rows: readonly ServerStatus[]): readonly string[] =>
  [...Map.groupBy(rows, s => s.waits.join('; '))].flatMap(([words, some]) =>
    words === '' ? [] : [`waits stored on ${nameList(some.map(s => s.server))}: ${words}`],
  )

export function statusText(rows: readonly ServerStatus[]): string {
  const byHand = rows.flatMap(s =>
    s.putBack === null ? [] : s.putBack.split('\n').map(line => `put ${s.server} back by hand: ${line}`),
  )
  const journals = shownJournals(rows).flatMap(s => [
    '',
    `The last deployment on ${s.server}, by its journal:`,
    ...journalLines(s).map(line => `  ${line}`),
  ])
  return [
    ...columns([head, ...rows.map(cells)].map(row => row.map(forLog))),
    ...[...advice(rows), ...byHand, ...waitLines(rows), ...journals].map(forLog),
  ].join('\n')
}

export function statusMarkdown(rows: readonly ServerStatus[]): string {
  const behind = rows.filter(isBehind)
  const parts = [
    '## Status',
    behind.length === 0
      ? ''
      : [
          `**${count(behind.length, 'server')} with something left behind**\n`,
          ...advice(rows).map(line => `- ${forMarkdown(line)}`),
        ].join('\n'),
    ...behind.flatMap(s =>
      s.putBack === null
        ? []
        : [`Put ${code(headOf(s.server, 100))} back by hand with:\n\n${block(headOf(s.putBack, 2000))}`],
    ),
    table(
      head,
      rows.map(row => cells(row).map(forMarkdown)),
    ),
    waitLines(rows)
      .map(line => `- ${forMarkdown(line)}`)
      .join('\n'),
    ...shownJournals(rows).map(s =>
      details(`The last deployment on ${headOf(s.server, 100)}`, block(journalLines(s).join('\n'))),
    ),
  ]
  return `${parts.filter(Boolean).join('\n\n')}\n`
}
