/**
 * The one executor: runs a script on a connection, with a timeout, a signal and its output as it comes, and knows how it ended.
 * What happens on the other side is told in loader.ts.
 */
import { randomBytes } from 'node:crypto'
import type { Readable } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { InputError, messageOf, PreflightError, StepError } from '../errors.ts'
import type { RunOptions, RunResult } from './connection.ts'
import { endRunning, endSending } from './ending.ts'
import { runCommand, scriptOnStdin, sendCommand } from './loader.ts'
import { pacedPipe } from './paced.ts'
import { type ScriptOutput, scriptOutput } from './script-output.ts'
import { type Link, openSession } from './session.ts'
import { type Stop, type Stopping, stopping } from './stop.ts'

export interface Execution {
  readonly link: Link
  readonly script: string
  /** The script's stdin; null: empty. */
  readonly input: Readable | null
  readonly options: RunOptions
  /** Whether further sessions of ours are open on this connection. */
  readonly others: () => boolean
  /** Called once, when the server has closed the session, which may be after the result. */
  readonly freed: () => void
}

type Exit = { readonly ended: 'exit'; readonly code: number } | { readonly ended: 'signal'; readonly name: string }
type Printed = Pick<RunResult, 'stdout' | 'stderr'>
const nothing: Printed = { stdout: '', stderr: '' }

function notStarted(link: Link, exit: Exit, output: ScriptOutput): PreflightError {
  const said = output.before()
  const ended = exit.ended === 'exit' ? `exit code ${exit.code}` : exit.name
  return new PreflightError(`${link.name}: the login shell did not start a script (${ended})${said && `: ${said}`}`, {
    server: link.name,
    hint: 'the SSH user needs a shell that runs commands, with sh (on Dropbear also setsid) in its PATH, and no ForceCommand',
  })
}

function lost(link: Link, printed: Printed): RunResult {
  const reason = link.closed.aborted ? messageOf(link.closed.reason) : 'the server closed the session'
  return { ended: 'lost', reason, ...printed }
}

function stopped(link: Link, how: Stop, printed: Printed): RunResult {
  if (how.stop === 'lost') return lost(link, printed)
  if (how.stop !== 'input') return { ended: how.stop, ...printed }
  throw new StepError(`${link.name}: the input of the script failed: ${messageOf(how.cause)}`, {
    server: link.name,
    cause: how.cause,
  })
}

/** How the script that runs in `channel` ended: by itself, by the channel's end, or stopped by us. */
async function runIn(channel: ClientChannel, token: string, run: Execution, stop: Stopping): Promise<RunResult> {
  const { link, script, input, options } = run
  const output = scriptOutput(channel, token, options)
  channel.on('error', () => undefined) // a write that comes too late; how the script ended is what counts
  const ended = new Promise<Exit | 'closed'>(resolve => {
    const told = (code?: number | null, name?: string) => {
      if (code === undefined) resolve('closed')
      else resolve(code === null ? { ended: 'signal', name: name ?? 'unknown' } : { ended: 'exit', code })
    }
    channel.once('exit', told)
    // An exit that arrived together with the answer to exec was told before anyone listened; 'close' tells it again (ssh2 lib/utils.js).
    channel.once('close', told)
  })
  channel.write(scriptOnStdin(script, token))
  const stopSending = input === null ? () => undefined : pacedPipe(input, channel)

  const how: Exit | Stop | 'closed' = await Promise.race([ended, stop.happened])
  stopSending()
  if (how === 'closed' || ('stop' in how && how.stop === 'lost')) return lost(link, output.end())
  if ('stop' in how) {
    await (input ? endSending : endRunning)({ link, channel, output, over: ended })
    return stopped(link, how, output.end())
  }
  // Not until 'close': that waits for everyone who holds stdout, so for a daemon which the script started.
  await output.drained(how.ended === 'exit' ? patient : hurried)
  if (output.group() === null) throw notStarted(link, how, output)
  return { ...how, ...output.end() }
}

/**
 * Milliseconds of silence after which no more output is waited for. A shell that ended by itself has printed its end mark, which a slow
 * line may hold up; one that was killed has none to wait for.
 */
const patient = 10_000
const hurried = 500
/** Milliseconds that a server gets for closing a session. */
const longestClose = 5000

/** Calls `freed` once `channel` is closed by both sides, or the server takes too long. */
function whenClosed(channel: ClientChannel, freed: () => void): void {
  const timer = setTimeout(freed, longestClose)
  channel.once('close', () => {
    clearTimeout(timer)
    freed()
  })
}

/**
 * Runs a script. Throws PreflightError when the login shell did not start it, StepError when the input failed, ConnectionError when
 * the server refuses a session; a connection that is lost is a result.
 */
export async function execute(run: Execution): Promise<RunResult> {
  const { link, script, input, options, others } = run
  const stop = stopping(link, input, options)
  const leave = new AbortController()
  let session: ClientChannel | undefined
  try {
    if (script.includes('\0')) throw new InputError(`${link.name}: a script for a server holds a NUL byte`)
    if (options.signal.aborted) return { ended: 'cancelled', ...nothing }
    const token = randomBytes(12).toString('hex')
    const opening = openSession(link, input ? sendCommand(token) : runCommand(token), others, leave.signal)
    const opened = await Promise.race([opening, stop.happened]).catch((error: unknown): Stop => {
      if (link.closed.aborted) return { stop: 'lost' }
      throw error
    })
    if ('stop' in opened) {
      opening.then(
        late => late.close(),
        () => undefined,
      )
      return stopped(link, opened, nothing)
    }
    session = opened
    session.once('close', () => {
      session = undefined
    })
    return await runIn(session, token, run, stop)
  } finally {
    if (session === undefined) run.freed()
    else {
      whenClosed(session, run.freed)
      session.close()
    }
    leave.abort()
    stop.clear()
    input?.destroy()
  }
}
