/** One try of a command check: a script on the server that exits 0. */
import { ConnectionError } from '../errors.ts'
import type { Connection } from '../fleet/connection.ts'
import type { Try } from './try.ts'

/** Characters kept of the end of what it printed to each stream. */
const longestTail = 2000
/** Of the line that the message quotes. */
const longestLine = 300

/** The last whole lines; what the shell itself says of a script that was ended is no word of the script. */
const lastLines = (text: string): string =>
  (text.length > longestTail ? text.slice(-longestTail).replace(/^.*\n/, '') : text)
    .replace(/(^|\n)(Terminated|Killed)\s*$/, '')
    .trimEnd()

/** `script`: as `stepScript` made it; `seconds`: for this try. Throws ConnectionError and the signal's reason. */
export async function tryCommand(
  script: string,
  connection: Connection,
  seconds: number,
  signal: AbortSignal,
): Promise<Try> {
  const result = await connection.run(script, { signal, timeout: seconds, keep: 4096 })
  if (signal.aborted) throw signal.reason
  const tail = [lastLines(result.stdout), lastLines(result.stderr)].filter(Boolean).join('\n')
  const last = tail.split('\n').at(-1)?.trim() ?? ''
  const said = last === '' ? '' : `: ${last.length > longestLine ? `${last.slice(0, longestLine)}…` : last}`
  const more = tail === '' ? {} : { tail }
  switch (result.ended) {
    case 'exit':
      if (result.code === 0) return { is: 'good', detail: 'exit 0' }
      // The shell found no such command, or may not run it.
      if (result.code === 126 || result.code === 127)
        return { is: 'wrong', detail: `exit ${result.code}${said}`, ...more }
      return { is: 'not yet', detail: `exit ${result.code}${said}`, ...more }
    case 'timeout':
      return {
        is: 'not yet',
        detail: `did not end within ${seconds} s (request_timeout) and was ended; ${last === '' ? 'it printed nothing' : `it printed last${said}`}`,
        ...more,
      }
    case 'lost':
      throw new ConnectionError(`the connection to ${connection.name} was lost during a check: ${result.reason}`, {
        server: connection.name,
      })
    default:
      return {
        is: 'not yet',
        detail: `was ended${result.ended === 'signal' ? ` by ${result.name}` : ''}${said}`,
        ...more,
      }
  }
}
