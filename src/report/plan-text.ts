/** A plan in words: what will happen, in which order, and where each value came from. Plain text for the log of `plan`. */
import type { Plan, PlannedGroup, PlannedStep } from '../plan/plan.ts'
import { duration } from './durations.ts'
import { count, nameList } from './name-list.ts'
import { groupText, migrationText, releaseText, waitTexts, wayOf } from './plan-words.ts'
import { linesForLog } from './sanitise.ts'
import { columns, labelled, wrap } from './text-columns.ts'

export { planMarkdown } from './plan-markdown.ts'

/** Up to this many servers of a group each have a line of their own. */
const mostLines = 20
const labelWidth = 17

function steps(plan: Plan, phase: PlannedStep['phase']): readonly string[] {
  const chosen = plan.steps.filter(step => step.phase === phase)
  const rows = chosen.map((step, i) => [
    chosen[i - 1]?.group === step.group ? '  with' : '  then',
    step.name.replace(/\s*\n\s*/g, ' / ').slice(0, 60),
    step.servers.length === plan.servers.length && plan.servers.length > 1
      ? `all ${count(step.servers.length, 'server')}`
      : nameList(step.servers, 3),
  ])
  if (rows[0]) rows[0] = ['  first', ...rows[0].slice(1)]
  return columns(rows)
}

function group(plan: Plan, { servers, ...rest }: PlannedGroup): readonly string[] {
  const byName = new Map(plan.servers.map(server => [server.name, server]))
  const all = servers.flatMap(name => byName.get(name) ?? [])
  const title = `  ${rest.name}: ${count(servers.length, 'server')}, ${groupText({ servers, ...rest })}`
  if (all.length <= mostLines)
    return [title, ...columns(all.map(s => [`    ${s.name}`, s.host, s.roles.join(','), wayOf(s)]))]
  const ways = [...Map.groupBy(all, wayOf)]
  return [title, ...ways.flatMap(([way, some]) => labelled('    ', `${nameList(some.map(s => s.name))}: ${way}`, 4))]
}

const numbered = (chapters: readonly { readonly title: string; readonly lines: readonly string[] }[]) =>
  chapters.flatMap(({ title, lines }, i) => [`${i + 1}. ${title}`, ...lines.map(line => ` ${line}`)])

function chapters(plan: Plan) {
  const { migration } = plan
  const inTurn = steps(plan, 'activate')
  const activate =
    inTurn.length > 0 ? ['  each server at its turn, after the switch:', ...inTurn.map(line => `  ${line}`)] : []
  const some = (title: string, lines: readonly string[], always = false) =>
    always || lines.length > 0 ? [{ title, lines }] : []
  return [
    ...some('Preflight: connect to all servers, check host keys, take the locks, read what is there', [], true),
    ...some('Prepare: all servers at once, still serving', [
      ...(plan.release ? ['  the release is staged'] : []),
      ...steps(plan, 'prepare'),
    ]),
    ...(migration.enabled && !migration.done
      ? some(`Migrate: once${migration.server === null ? '' : `, on ${migration.server}`}`, [], true)
      : []),
    ...some('Rollout', [...plan.groups.flatMap(g => group(plan, g)), ...activate], true),
    ...some('Finalize: after everything succeeded', steps(plan, 'finalize')),
    ...some('Clean up: always', steps(plan, 'cleanup')),
  ]
}

/** The plan as lines of at most about 100 characters, safe to print. The text stays short for 300 servers too. */
export function planText(plan: Plan): string {
  const from = (effective: Plan['strategy'] | Plan['maxParallelism']) =>
    `${effective.value} (${effective.origin}): ${effective.reason}`
  const release = releaseText(plan)
  const waits = waitTexts(plan)
  const bullets = (title: string, texts: readonly string[]) =>
    texts.length === 0 ? [] : ['', title, ...texts.flatMap(text => labelled('  - ', text, 4))]
  const lines = [
    `${plan.application}${plan.environment ? ` → ${plan.environment}` : ''}${plan.url ? `  ${plan.url}` : ''}`,
    '',
    ...labelled('servers', `${plan.servers.length}: ${nameList(plan.servers.map(s => s.name))}`, labelWidth),
    ...labelled('strategy', from(plan.strategy), labelWidth),
    ...labelled('max_parallelism', from(plan.maxParallelism), labelWidth),
    ...labelled('migration', migrationText(plan), labelWidth),
    ...(release === null ? [] : labelled('release', release, labelWidth)),
    '',
    'What will happen',
    ...numbered(chapters(plan)),
    ...bullets(`Load-balancer waits add ${duration(plan.addedSeconds)} in all`, waits),
    ...bullets('Warnings', plan.warnings),
    ...bullets('Notices', plan.notices),
  ]
  return linesForLog(lines.flatMap(line => (line.length > 160 ? wrap(line, 100) : [line])).join('\n'))
}
