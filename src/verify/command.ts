/** One try of a command check: a script on the server that exits 0. */
import { ConnectionError } from '../errors.ts'
import type { Connection } from '../fleet/connection.ts'
import { excerpt, type Try } from './try.ts'

/** `script`: as `stepScript` made it; `seconds`: for this try. Throws ConnectionError and the signal's reason. */
export async function tryCommand(
  script: string,
  connection: Connection,
  seconds: number,
  signal: AbortSignal,
): Promise<Try> {
  const result = await connection.run(script, { signal, timeout: seconds, keep: 4096 })
  if (signal.aborted) throw signal.reason
  const said = excerpt(result.stderr) || excerpt(result.stdout)
  const tail = said === '' ? '' : `: ${said}`
  switch (result.ended) {
    case 'exit':
      if (result.code === 0) return { is: 'good', detail: 'exit 0' }
      // The shell found no such command, or may not run it.
      if (result.code === 126 || result.code === 127) return { is: 'wrong', detail: `exit ${result.code}${tail}` }
      return { is: 'not yet', detail: `exit ${result.code}${tail}` }
    case 'timeout':
      return { is: 'not yet', detail: `did not end within ${seconds} s${tail}` }
    case 'lost':
      throw new ConnectionError(`the connection to ${connection.name} was lost during a check: ${result.reason}`, {
        server: connection.name,
      })
    default:
      return { is: 'not yet', detail: `was ended${result.ended === 'signal' ? ` by ${result.name}` : ''}${tail}` }
  }
}
