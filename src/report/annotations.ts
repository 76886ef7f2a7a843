/** What GitHub shows beside the run: at most eight errors, eight warnings and eight notices; it would drop more than ten of a kind. */

import { lastSeen } from './last-seen.ts'
import { headOf } from './markdown.ts'
import {
  failuresFirst,
  isTrouble,
  isUnconfirmed,
  leftOutWord,
  outcomeText,
  whatFailed,
  wordOf,
} from './outcome-words.ts'
import { linesForLog } from './sanitise.ts'
import { outcomeOf, type ServerState } from './server-state.ts'
import type { Message, ReportState } from './state.ts'
import { escapeData, escapeProperty } from './workflow-command.ts'

const most = 8
/** The runner cuts at 4,096 (actions/runner, ExecutionContext.cs). */
const longestMessage = 4000
const longestTitle = 200

type Level = 'error' | 'warning' | 'notice'
interface Annotation {
  readonly title: string
  readonly message: string
}

const command = (level: Level, { title, message }: Annotation): string => {
  const heading = escapeProperty(headOf(linesForLog(title).replaceAll('\n', ' '), longestTitle))
  return `::${level} title=${heading}::${escapeData(headOf(linesForLog(message), longestMessage))}`
}

function ofServer(server: ServerState): Annotation {
  const { ended } = server
  const outcome = outcomeOf(server)
  if (!ended?.failure)
    return {
      title: `${server.name}: ${outcomeText(server)}`,
      message: [...leftOutLines(server), told(server)].join('\n'),
    }
  // The command that puts it back comes before the message, which may be long.
  const message = [...leftOutLines(server), headOf(ended.failure.message, 2000), ended.failure.hint ?? '']
  const back = outcome === 'rolled-back' ? wordOf(server) : ''
  const title = [whatFailed(server), back, ended.leftOut ? leftOutWord(server) : '']
  return {
    title: `${server.name}: ${title.filter(Boolean).join(', ')}`,
    message: message.filter(Boolean).join('\n'),
  }
}

function leftOutLines(server: ServerState): readonly string[] {
  const { ended } = server
  if (!ended?.leftOut) return []
  if (server.beforePost)
    return ['As of before its shard’s post step, which brings such servers to an end: ask the command status.']
  const seen = lastSeen(server)
  const what = isUnconfirmed(server)
    ? `It should serve, and nobody could confirm that it does.${seen === '' ? '' : ` Last seen: ${seen}.`}`
    : 'Left out of rotation: it should serve and does not.'
  return [what, ...(ended.putBack ? [`Put it back with: ${ended.putBack}`] : [])]
}

/** What became of a server that did not fail by itself. */
function told({ ended }: ServerState): string {
  if (ended?.recovery) return [ended.recovery.found, ended.recovery.done].filter(Boolean).join('; ')
  return ended === null ? 'The run ended before this server was done.' : 'Nothing failed on it by itself.'
}

const ofMessage = (message: Message): Annotation => ({
  title: message.server ?? 'deployment',
  message: message.hint === null ? message.text : `${message.text}\n${message.hint}`,
})

function capped(level: Level, all: readonly Annotation[], where: string): readonly string[] {
  if (all.length <= most) return all.map(one => command(level, one))
  const rest = all.length - (most - 1)
  const more = { title: `and ${rest} more`, message: `and ${rest} more: see ${where}` }
  return [...all.slice(0, most - 1), more].map(one => command(level, one))
}

/**
 * Workflow commands for main to write, one per line: the run's own error, left-out and failed servers, then messages. Messages that
 * say what a server's failure already says are left out.
 */
export function annotations(state: ReportState): readonly string[] {
  // Who was skipped as unreachable in a run that succeeded has the plan's warning.
  const asked = (server: ServerState) => state.result === 'success' && outcomeOf(server) === 'unreachable'
  const servers = failuresFirst(state).filter(server => isTrouble(server) && !asked(server))
  const said = new Set(servers.map(server => server.ended?.failure?.message))
  const messages = (level: Level) =>
    state.messages.filter(message => message.level === level && !said.has(message.text)).map(ofMessage)
  const planned = (title: string, texts: readonly string[] = []) =>
    texts.filter(text => !state.messages.some(m => m.text === text)).map(message => ({ title, message }))
  const { error } = state
  // `prepare failed on web1: …` says of the only server that failed what its own annotation says.
  const isSaid = (text: string) =>
    [...said].some(one => one !== undefined && (text === one || text.endsWith(`: ${one}`)))
  const run =
    error === null || isSaid(error.message)
      ? []
      : [{ title: 'deployment', message: error.hint ? `${error.message}\n${error.hint}` : error.message }]
  const recovered = failuresFirst(state)
    .filter(server => !isTrouble(server) && server.ended?.recovery?.done)
    .map(ofServer)
  const errors = [...run, ...servers.map(ofServer), ...messages('error').filter(m => m.message !== run[0]?.message)]
  return [
    ...capped('error', errors, 'the summary'),
    ...capped('warning', [...planned('plan', state.plan?.warnings), ...messages('warning')], 'the summary'),
    ...capped('notice', [...planned('plan', state.plan?.notices), ...recovered, ...messages('notice')], 'the summary'),
  ]
}
