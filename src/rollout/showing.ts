/** Runs a user's script on a server with its output on the way to the report. */
import type { Output, RunResult } from '../fleet/connection.ts'
import type { Emit } from '../report/events.ts'
import type { Session } from './session.ts'

/** Characters that one script may put into the log: more would drown a job's log, and the runner that writes it. */
const mostShown = 4 * 1024 * 1024
/** Last lines of a script that are kept for its error. */
const tailCharacters = 4000

/** `timeout` in seconds. `tail`: the last lines it printed. Throws what `Session.run` throws. */
export async function runShown(
  session: Pick<Session, 'server' | 'run'>,
  emit: Emit,
  text: string,
  timeout: number,
): Promise<{ readonly result: RunResult; readonly tail: string }> {
  const server = session.server.name
  let tail = ''
  let shown = 0
  let left = 0
  const onOutput = (output: Output) => {
    tail = (tail + output.text).slice(-tailCharacters)
    shown += output.text.length
    if (shown > mostShown) {
      left += output.text.length
      return
    }
    emit({ type: 'output', server, stream: output.stream, text: output.text })
  }
  const result = await session.run(text, { timeout, onOutput, keep: 0 })
  if (left > 0) {
    const said = `\n… ${left} more characters were printed; the last of them:\n${tail}\n`
    emit({ type: 'output', server, stream: 'out', text: said })
  }
  return { result, tail }
}
