/** One script on a host, for providers that work there: 10 s, its output, and a BalancerError for everything that went wrong. */
import { BalancerError, messageOf } from '../errors.ts'
import { stepScript } from '../fleet/step-script.ts'
import type { KeptConnection } from './kept-connection.ts'

export interface HostScript {
  /** POSIX sh; reads no stdin. */
  readonly script: string
  /** For messages: `lb1:/etc/nginx/upstream.d/app.conf`. */
  readonly where: string
  /** What it was to do, for messages: "read the members". */
  readonly purpose: string
  /** Another user, by `sudo -n`. */
  readonly become?: string | undefined
  /** What to do about an exit code other than 0. */
  readonly hints: Readonly<Record<number, string>>
}

const callSeconds = 10
/** Of each stream; what is longer has lost its middle and is no answer. */
const longestAnswer = 1024 * 1024

const becomeHint = (user: string): string =>
  `become needs \`${user}\` without a password for the SSH user there (sudoers: NOPASSWD), and sudo itself`

/** What it printed. Throws BalancerError; the signal's reason when it was aborted. */
export async function runOnHost(at: KeptConnection, work: HostScript, signal: AbortSignal): Promise<string> {
  const { where, purpose, become } = work
  const fail = (how: string, hint: string | undefined, cause?: unknown): never => {
    throw new BalancerError(`cannot ${purpose} at ${where}: ${how}`, { cause, ...(hint === undefined ? {} : { hint }) })
  }
  const script = stepScript({ script: work.script, shell: 'sh', env: {}, secrets: {}, directory: '/', become })
  let result: Awaited<ReturnType<Awaited<ReturnType<KeptConnection['get']>>['run']>>
  // Making the connection is part of the call: a host that does not answer must not hold a poll for longer.
  const limit = AbortSignal.timeout(callSeconds * 1000)
  const both = AbortSignal.any([signal, limit])
  try {
    result = await (await at.get(both)).run(script, { signal: both, timeout: callSeconds, keep: longestAnswer })
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (limit.aborted) return fail(`no answer within ${callSeconds} s`, 'is the host reachable, and not overloaded?')
    return fail(messageOf(error), 'the host of the balancer has to be reachable by SSH', error)
  }
  if (signal.aborted) throw signal.reason
  if (result.ended === 'timeout' || result.ended === 'cancelled')
    return fail(`it did not end within ${callSeconds} s`, 'whether it was done is not known: look there')
  if (result.ended === 'lost') return fail(`the connection was lost: ${result.reason}`, undefined)
  const said = oneLine(result.stderr) || oneLine(result.stdout)
  if (result.ended === 'signal') return fail(`it was ended by ${result.name}`, said || undefined)
  if (result.code === 0) return result.stdout
  const sudo = become !== undefined && /^sudo|sudo:/m.test(result.stderr)
  return fail(`exit ${result.code}${said && `: ${said}`}`, sudo ? becomeHint(become) : work.hints[result.code])
}

const oneLine = (text: string): string => text.trim().replace(/\s+/g, ' ').slice(-600)
