/** What the command `status` found, as text for the log and as Markdown for the summary. Everything in it comes from servers. */
import { code, table } from './markdown.ts'
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
  /** An earlier deployment ended here before it could decide. */
  readonly undecided: { readonly at: string; readonly since: string; readonly run: string | null } | null
  /** Balancers that a deployment took it out of and did not put it back to. */
  readonly leftOut: readonly string[]
  /** Why it could not be read. */
  readonly error: string | null
}

const head = ['server', 'release', 'since', 'by', 'rotation', 'lock', 'left behind']

function cells(s: ServerStatus): readonly string[] {
  const rotation = Object.entries(s.rotation).map(([name, text]) => `${name}: ${text}`)
  const lock =
    s.lock === null
      ? 'free'
      : `held by ${s.lock.by ?? 'somebody'}${s.lock.secondsLeft > 0 ? `, ${s.lock.secondsLeft} s` : ', lease over'}`
  const behind = [
    ...(s.undecided === null ? [] : [`undecided: ${s.undecided.at}`]),
    ...(s.leftOut.length === 0 ? [] : [`left out of ${s.leftOut.join(', ')}`]),
  ]
  if (s.error !== null) return [s.server, s.error, '', '', rotation.join('; '), '', '']
  return [
    s.server,
    s.release ?? 'none',
    s.since ?? '',
    s.by ?? '',
    rotation.join('; ') || '-',
    lock,
    behind.join('; ') || '-',
  ]
}

export const statusText = (rows: readonly ServerStatus[]): string =>
  columns([head, ...rows.map(cells)].map(row => row.map(forLog))).join('\n')

export function statusMarkdown(rows: readonly ServerStatus[]): string {
  const behind = rows.filter(r => r.undecided !== null || r.leftOut.length > 0)
  const advice =
    behind.length === 0
      ? ''
      : `\n\n**${behind.length} server${behind.length === 1 ? '' : 's'} with something left behind**: the command ${code('recover')} brings it to an end.`
  return `## Status${advice}\n\n${table(
    head,
    rows.map(row => cells(row).map(forMarkdown)),
  )}\n`
}
