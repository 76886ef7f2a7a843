/** What GitHub shows beside the run: at most eight errors, eight warnings and eight notices; it would drop more than ten of a kind. */
import { headOf } from './markdown.ts'
import { failuresFirst, isTrouble, outcomeWord } from './outcome-words.ts'
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
  const what = ended?.failure ? `${ended.failure.stage} failed` : outcomeWord[outcome]
  // The command that puts it back comes before the message, which may be long.
  const message = [
    ended?.leftOut ? `Left out of rotation: it should serve and does not.` : '',
    ended?.leftOut && ended.putBack ? `Put it back with: ${ended.putBack}` : '',
    headOf(ended?.failure?.message ?? `The run ended before this server was done.`, 2000),
    ended?.failure?.hint ?? '',
  ]
  return {
    title: `${server.name}: ${what}${outcome === 'rolled-back' ? ', rolled back' : ''}${ended?.leftOut ? ', left out' : ''}`,
    message: message.filter(Boolean).join('\n'),
  }
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
  const servers = failuresFirst(state).filter(isTrouble)
  const said = new Set(servers.map(server => server.ended?.failure?.message))
  const messages = (level: Level) =>
    state.messages.filter(message => message.level === level && !said.has(message.text)).map(ofMessage)
  const planned = (title: string, texts: readonly string[] = []) =>
    texts.filter(text => !state.messages.some(m => m.text === text)).map(message => ({ title, message }))
  const { error } = state
  const run =
    error === null || said.has(error.message)
      ? []
      : [{ title: 'deployment', message: error.hint ? `${error.message}\n${error.hint}` : error.message }]
  const errors = [...run, ...servers.map(ofServer), ...messages('error').filter(m => m.message !== run[0]?.message)]
  return [
    ...capped('error', errors, 'the summary'),
    ...capped('warning', [...planned('plan', state.plan?.warnings), ...messages('warning')], 'the summary'),
    ...capped('notice', [...planned('plan', state.plan?.notices), ...messages('notice')], 'the summary'),
  ]
}
