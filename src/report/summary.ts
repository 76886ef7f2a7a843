/** The report for GITHUB_STEP_SUMMARY: what needs a person first, then the overview, then each server. */
import type { Effective, Origin, PlannedMigration, PlannedWait } from '../plan/plan.ts'
import { shardName } from '../plan/shards.ts'
import { duration } from './durations.ts'
import type { Result } from './events.ts'
import { lastSeen } from './last-seen.ts'
import { makespanText } from './makespan.ts'
import { block, bytes, code, fitting, fittingOf, headOf, table } from './markdown.ts'
import { count, nameList, withoutName } from './name-list.ts'
import {
  failuresFirst,
  isTrouble,
  isUnconfirmed,
  outcomeIcon,
  outcomeText,
  reached,
  resultIcon,
} from './outcome-words.ts'
import { forMarkdown } from './sanitise.ts'
import { outcomeOf, type ServerState, secondsOut, secondsUnderWay } from './server-state.ts'
import { shardTable } from './shard-table.ts'
import { type Message, type ReportState, totalSeconds } from './state.ts'
import { recoveryTable } from './summary-recovery.ts'
import { failureEntry, serverSection } from './summary-server.ts'
import { timeline } from './timeline.ts'

/** GitHub refuses a summary over 1 MiB as a whole; this leaves room for what others write in the same step. */
export const longestSummary = 900 * 1024
/** Each part has a share of its own, so that none can push another out: left-out, failures, overview, messages; sections get the rest. */
const shares = { leftOut: 100 * 1024, failures: 250 * 1024, overview: 250 * 1024, messages: 50 * 1024 } as const

/** Failures whose last output is shown. */
const mostWithTail = 20

const text = (value: string, most = 2000) => forMarkdown(headOf(value, most))

const originWord = {
  gate: 'the migrations gate',
  input: 'the input',
  manifest: 'the manifest',
  default: 'the default',
} as const satisfies Record<Origin, string>

type Words = Readonly<Record<Result, string>>
const wordsOf = (what: string, done: string): Words => ({
  success: done,
  failure: `${what} failed`,
  cancelled: `${what} cancelled`,
  skipped: 'nothing deployed',
})
const deployed = wordsOf('deployment', 'deployed')
const resultWords: Readonly<Record<string, Words>> = {
  plan: wordsOf('plan', 'nothing to do'),
  validate: wordsOf('validation', 'valid'),
  status: wordsOf('status', 'nothing to do'),
  recover: wordsOf('recovery', 'recovered'),
  rollback: wordsOf('rollback', 'rolled back'),
  'preview teardown': wordsOf('removal', 'removed'),
  'preview clean-up': wordsOf('clean-up', 'cleaned up'),
  report: wordsOf('putting the reports together', 'nothing to do'),
  post: {
    success: 'what the run left undecided was brought to an end',
    failure: 'what the run left undecided could not be brought to a good end everywhere',
    cancelled: 'what the run left undecided was not all brought to an end',
    skipped: 'nothing was left undecided',
  },
}

/** A deployment without a plan deployed nothing, whatever came of it. */
function resultWord({ command, plan, phases, result }: ReportState): string {
  if (result === null) return 'not finished'
  const words = resultWords[command ?? '']
  if (words !== undefined) return words[result]
  if (plan === null && result === 'success') return 'nothing to do'
  return plan === null && result === 'failure' && phases.length === 0 ? 'refused, nothing was done' : deployed[result]
}

function header(state: ReportState): string {
  const { plan, result, error, shard } = state
  const whole = plan ? `${plan.application}${plan.environment ? ` → ${plan.environment}` : ''}` : state.subject
  const named = [whole ?? state.manifest, shard === null ? null : shardName(shard)].filter(Boolean).join(', ')
  const words = result === null ? '⏳' : resultIcon[result]
  const facts = [reached(state), duration(totalSeconds(state)), plan?.url ? code(plan.url) : ''].filter(Boolean)
  return [
    `## ${words} ${[text(named, 200), resultWord(state)].filter(Boolean).join(': ')}`,
    `**${facts[0]}** · ${facts.slice(1).join(' · ')}`,
    error ? `**${text(error.message)}**${error.hint ? `\n\n➜ ${text(error.hint)}` : ''}` : '',
  ]
    .filter(Boolean)
    .join('\n\n')
}

function leftOut(servers: readonly ServerState[]): string {
  const left = servers.filter(server => server.ended?.leftOut && !server.beforePost)
  if (left.length === 0) return ''
  const entryOf = (server: ServerState) => {
    const { name, ended } = server
    const why = ended?.failure ? `: ${text(withoutName(ended.failure.message, name), 300)}` : ''
    const seen = isUnconfirmed(server) ? lastSeen(server) : ''
    const where = isUnconfirmed(server)
      ? `\n\nNobody could confirm that it serves again.${seen === '' ? '' : ` Last seen: ${text(seen, 500)}.`}`
      : ''
    return `**${text(name, 100)}**${why}${where}\n\n${ended?.putBack ? `Put it back with:\n\n${block(headOf(ended.putBack, 2000))}` : 'No command is known that puts it back.'}`
  }
  const { kept, left: more } = fittingOf(left, entryOf, shares.leftOut)
  const is = left.length === 1 ? 'is' : 'are'
  return [
    `## 🚨 ${count(left.length, 'server')} ${is} ${left.every(isUnconfirmed) ? 'not confirmed to serve again' : 'left out of rotation'}`,
    left.some(isUnconfirmed)
      ? `${left.length === 1 ? 'It' : 'They'} should serve.`
      : `${left.length === 1 ? 'It' : 'They'} should serve and ${left.length === 1 ? 'does' : 'do'} not.`,
    ...kept,
    more > 0 ? `… and ${more} more: the output \`left-out\` has all.` : '',
  ]
    .filter(Boolean)
    .join('\n\n')
}

function beforePost(servers: readonly ServerState[]): string {
  const names = servers.filter(server => server.beforePost).map(server => headOf(server.name, 100))
  if (names.length === 0) return ''
  const were = names.length === 1 ? 'was out of rotation when its shard' : 'were out of rotation when their shards'
  return [
    `## ${count(names.length, 'server')} ${were} ended`,
    `This is as of before its post step, which brings such servers to an end: ask the command ${code('status')} where they stand. ${text(nameList(names))}`,
  ].join('\n\n')
}

function failures(servers: readonly ServerState[]): string {
  const troubled = servers.filter(isTrouble)
  if (troubled.length === 0) return ''
  // What was printed last gives way before a failure does.
  const withTails = (mostTail: number) => {
    const entryOf = (server: ServerState, n: number) => failureEntry(server, n < mostWithTail ? mostTail : 0)
    return { mostTail, ...fittingOf(troubled, entryOf, shares.failures) }
  }
  const { mostTail, kept, left } = [4000, 1000].map(withTails).find(one => one.left === 0) ?? withTails(0)
  const shown = mostTail === 0 ? 'not shown here' : `shown for the first ${mostWithTail}`
  const note =
    mostTail === 0 || troubled.length > mostWithTail
      ? `What was printed last is ${shown}: the report and the log have it.`
      : ''
  return ['## Failures', note, ...kept, left > 0 ? `… and ${left} more, in the table below.` : '']
    .filter(Boolean)
    .join('\n\n')
}

function migrationText(migration: PlannedMigration): string {
  if (!migration.enabled) return 'none'
  const where = migration.server ? ` on ${migration.server}` : ''
  return migration.done ? `done before for this release${where}` : `enabled${where}`
}

function settings({ plan }: ReportState): string {
  if (!plan) return ''
  const { release, migration } = plan
  const row = (name: string, { value, origin, reason }: Effective<string | number>) => [
    name,
    `**${text(String(value))}**`,
    `${originWord[origin]}: ${text(reason)}`,
  ]
  return `## What it ran as\n\n${table(
    ['', 'effective', 'where it comes from'],
    [
      row('strategy', plan.strategy),
      row('max_parallelism', plan.maxParallelism),
      row('migration', { ...migration, value: migrationText(migration) }),
      ...(release
        ? [
            [
              'release',
              code(release.id),
              `${release.commit ? `commit ${code(release.commit)}` : 'no commit'}, ${code(release.path)}`,
            ],
          ]
        : []),
    ],
  )}`
}

function overview(state: ReportState, servers: readonly ServerState[]): string {
  const now = state.lastAt ?? 0
  const seconds = (n: number | null) => (n === null ? '–' : duration(n))
  const rows = servers.map(server => [
    `${outcomeIcon[outcomeOf(server)]} ${text(server.name, 100)}`,
    text(server.planned?.roles.join(', ') ?? '', 200),
    outcomeText(server),
    seconds(secondsOut(server, now)),
    seconds(secondsUnderWay(server, now)),
  ])
  const { kept, left } = fitting(
    rows.map(row => `| ${row.join(' | ')} |`),
    shares.overview,
  )
  if (kept.length === 0) return ''
  return [
    '## Servers',
    table(['server', 'roles', 'outcome', 'out of rotation', 'total'], rows.slice(0, kept.length)),
    left > 0 ? `… and ${left} more servers: the report has all.` : '',
  ]
    .filter(Boolean)
    .join('\n\n')
}

function waits(all: readonly PlannedWait[], added: number): string {
  const some = all.filter(wait => wait.removing > 0 || wait.adding > 0)
  if (some.length === 0) return ''
  const rows = some.map(wait => [
    code(wait.balancer),
    duration(wait.removing),
    duration(wait.adding),
    String(wait.servers),
    `${duration(wait.adds)}: ${text(wait.reason)}`,
  ])
  return [
    '## Load-balancer waits',
    `They were planned to add ${duration(added)} in all.`,
    table(['balancer', 'after removing', 'after adding', 'servers', 'adds'], rows),
  ].join('\n\n')
}

const levelIcon = { info: 'ℹ️', notice: '💬', warning: '⚠️', error: '❌' } as const satisfies Record<
  Message['level'],
  string
>

function messages(state: ReportState): string {
  const said = new Set(state.messages.map(message => message.text))
  const planned = (level: 'warning' | 'notice', texts: readonly string[] = []) =>
    texts.filter(t => !said.has(t)).map(t => ({ level, text: t, server: null, hint: null }))
  const order = ['error', 'warning', 'notice'] as const
  const all = [
    ...planned('warning', state.plan?.warnings),
    ...planned('notice', state.plan?.notices),
    ...state.messages,
  ].filter(message => message.level !== 'info')
  if (all.length === 0) return ''
  const sorted = order.flatMap(level => all.filter(message => message.level === level))
  const { kept, left } = fittingOf(
    sorted,
    m =>
      `- ${levelIcon[m.level]} ${m.server ? `**${text(m.server, 100)}**: ` : ''}${text(m.server ? withoutName(m.text, m.server) : m.text)}${m.hint ? ` ➜ ${text(m.hint)}` : ''}`,
    shares.messages,
  )
  return `## Warnings and notices\n\n${kept.join('\n')}${left > 0 ? `\n- … and ${left} more, in the log` : ''}`
}

function drawn(state: ReportState): string {
  const bars = timeline(state)
  return bars === null ? '' : `## Out of rotation\n\n${block(bars)}`
}

/** The sections that fitting, in the plan's order; those of servers in trouble are the last to go. */
function sections(state: ReportState, room: number): string {
  const start = state.startedAt ?? 0
  const servers = failuresFirst(state)
  if (servers.length === 0) return ''
  const sectionOf = (server: ServerState) => serverSection(server, start, state.lastAt ?? start)
  const { kept, left } = fittingOf(servers, sectionOf, room - 500)
  const textOf = new Map(kept.map((section, i) => [servers[i]?.name ?? '', section]))
  const note = `The summary may hold ${longestSummary / 1024} KiB: the sections of ${count(left, 'server')} are left out here. The overview above and the report have them.`
  return [
    '## Each server',
    left > 0 ? `⚠️ ${note}` : '',
    ...[...state.servers.keys()].map(name => textOf.get(name) ?? ''),
  ]
    .filter(Boolean)
    .join('\n\n')
}

/** Markdown of at most 900 KiB; safe whatever servers printed. */
export function summary(state: ReportState): string {
  const servers = failuresFirst(state)
  const top = [
    header(state),
    leftOut(servers),
    beforePost(servers),
    failures(servers),
    settings(state),
    shardTable(state),
    recoveryTable(servers, shares.overview) || overview(state, servers),
    drawn(state),
    text(makespanText(state) ?? ''),
    waits(state.plan?.waits ?? [], state.plan?.addedSeconds ?? 0),
    messages(state),
  ]
    .filter(Boolean)
    .join('\n\n')
  return `${[top, sections(state, longestSummary - bytes(top))].filter(Boolean).join('\n\n')}\n`
}
