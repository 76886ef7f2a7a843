/** A plan for the summary of `plan`: the same words as in the log, as Markdown. */
import type { Effective, Plan, PlannedServer } from '../plan/plan.ts'
import { duration } from './durations.ts'
import { bytes, code, details, fitting, headOf, table } from './markdown.ts'
import { count, nameList } from './name-list.ts'
import { groupText, migrationText, releaseText, waitTexts, wayOf } from './plan-words.ts'
import { forMarkdown } from './sanitise.ts'

const mostBytes = 900 * 1024

const text = (value: string) => forMarkdown(headOf(value, 2000))

const phaseWord = {
  prepare: 'prepare, all servers at once',
  activate: 'activate, on each server at its turn',
  finalize: 'finalize, after everything succeeded',
  cleanup: 'clean up, always',
} as const

function steps(plan: Plan): string {
  const rows = plan.steps.map(step => [
    phaseWord[step.phase],
    code(headOf(step.name, 120)),
    text(nameList(step.servers, 5)),
  ])
  return rows.length === 0 ? '' : `### Steps\n\n${table(['when', 'step', 'where'], rows)}`
}

function rollout(plan: Plan): string {
  const rows = plan.groups.map((group, i) => [
    String(i + 1),
    text(group.name),
    groupText(group),
    `${count(group.servers.length, 'server')}: ${text(nameList(group.servers, 10))}`,
  ])
  return `### Rollout\n\n${table(['', 'group', 'how', 'servers'], rows)}`
}

const serverRow = (server: PlannedServer) => [
  text(server.name),
  code(server.host),
  text(server.roles.join(', ')),
  text(wayOf(server)),
  server.current === null ? '–' : code(server.current),
]

function servers(plan: Plan): string {
  const rows = plan.servers.map(serverRow)
  const { kept, left } = fitting(
    rows.map(row => row.join(' | ')),
    400 * 1024,
  )
  const all = table(['server', 'host', 'roles', 'in the rollout', 'release now'], rows.slice(0, kept.length))
  const note = left > 0 ? `\n\n… and ${count(left, 'more server', 'more servers')}` : ''
  return plan.servers.length > 20
    ? details(`${count(plan.servers.length, 'server')}, in order`, all + note)
    : `### Servers, in order\n\n${all}`
}

const list = (title: string, texts: readonly string[]) =>
  texts.length === 0 ? '' : `### ${title}\n\n${texts.map(t => `- ${text(t)}`).join('\n')}`

/** Markdown of at most 900 KiB. */
export function planMarkdown(plan: Plan): string {
  const release = releaseText(plan)
  const value = (name: string, { value, origin, reason }: Effective<string | number>) => [
    name,
    `**${text(String(value))}**`,
    text(`${origin}: ${reason}`),
  ]
  const pieces = [
    `## Plan: ${text(plan.application)}${plan.environment ? ` → ${text(plan.environment)}` : ''}`,
    `Nothing was changed. ${count(plan.servers.length, 'server')} would be deployed to${plan.url ? `, for ${code(plan.url)}` : ''}.`,
    list('⚠️ Warnings', plan.warnings),
    list('Notices', plan.notices),
    table(
      ['', 'effective', 'where it comes from'],
      [
        value('strategy', plan.strategy),
        value('max_parallelism', plan.maxParallelism),
        ['migration', plan.migration.enabled ? '**yes**' : '**no**', text(migrationText(plan))],
        ...(release === null ? [] : [['release', '', text(release)]]),
      ],
    ),
    rollout(plan),
    steps(plan),
    list(`Load-balancer waits add ${duration(plan.addedSeconds)} in all`, waitTexts(plan)),
    servers(plan),
  ].filter(Boolean)
  const { kept, left } = fitting(pieces, mostBytes - 200)
  const note = left > 0 ? '\n\n⚠️ The rest is left out here: the plan as JSON has it.' : ''
  const markdown = `${kept.join('\n\n')}${note}\n`
  return bytes(markdown) <= mostBytes ? markdown : note
}
