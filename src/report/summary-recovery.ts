/** What `recover` and `post` found on each server, what they did, and where it stands now. */
import { code, fitting, headOf, table } from './markdown.ts'
import { outcomeIcon, outcomeText, rotationWord } from './outcome-words.ts'
import { forMarkdown } from './sanitise.ts'
import { outcomeOf, type ServerState } from './server-state.ts'

const text = (value: string, most: number) => forMarkdown(headOf(value, most))

function stands(server: ServerState): string {
  const { ended } = server
  return [
    outcomeText(server),
    ended?.release ? code(ended.release) : '',
    ended && !ended.leftOut ? rotationWord[ended.rotation] : '',
  ]
    .filter(Boolean)
    .join(', ')
}

/** Empty where no server was recovered; at most so many bytes. */
export function recoveryTable(servers: readonly ServerState[], most: number): string {
  if (!servers.some(server => server.ended?.recovery)) return ''
  const rows = servers.map(server => {
    const recovery = server.ended?.recovery
    return [
      `${outcomeIcon[outcomeOf(server)]} ${text(server.name, 100)}`,
      text(recovery?.found ?? '–', 500),
      text(recovery === undefined ? '–' : (recovery.done ?? 'nothing'), 500),
      stands(server),
    ]
  })
  const { kept, left } = fitting(
    rows.map(row => `| ${row.join(' | ')} |`),
    most,
  )
  return [
    '## Servers',
    table(['server', 'found', 'done', 'stands now'], rows.slice(0, kept.length)),
    left > 0 ? `… and ${left} more servers: the report has all.` : '',
  ]
    .filter(Boolean)
    .join('\n\n')
}
