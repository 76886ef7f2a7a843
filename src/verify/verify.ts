/** Runs a server's checks until each is good, or one of them cannot become so. */
import type { Clock } from '../clock.ts'
import { VerifyError } from '../errors.ts'
import type { Connection } from '../fleet/connection.ts'
import { checksFor } from '../manifest/checks.ts'
import type { Server } from '../manifest/manifest.ts'
import type { Check } from '../manifest/schema.ts'
import { tryCommand } from './command.ts'
import { tryHttp } from './http.ts'
import { tryTcp } from './tcp.ts'
import type { Try } from './try.ts'

export interface VerifyDeps {
  readonly connection: Connection
  /** The whole script of a command check: `stepScript` with the variables of this server and release. */
  readonly script: (command: string) => string
  /** In the shape of the event `verified`. */
  readonly onVerified?: (verified: Verified) => void
}

export interface Verified {
  readonly check: string
  readonly seconds: number
  readonly detail: string
}

/** So many tries in a row that say the check itself is wrong end it early. */
const wrongInARow = 3

/** A check in words: `GET http :3000/up`. */
export function nameOf(check: Omit<Check, 'roles'>): string {
  if (check.http) return `${check.http.method} ${check.http.scheme} :${check.http.port}${check.http.path}`
  if (check.tcp) return `tcp :${check.tcp.port}`
  const [first = '', ...more] = check.command?.trim().split('\n') ?? []
  return `command: ${first.slice(0, 80)}${first.length > 80 || more.length > 0 ? '…' : ''}`
}

function tryOnce(check: Check, deps: VerifyDeps, signal: AbortSignal): Promise<Try> {
  const { connection } = deps
  if (check.http) return tryHttp(check.http, connection, check.request_timeout, signal)
  if (check.tcp) return tryTcp(check.tcp.port, connection, check.request_timeout, signal)
  return tryCommand(deps.script(check.command ?? ''), connection, check.request_timeout, signal)
}

/**
 * One check. A good stretch has to begin within `timeout` seconds and last `healthy_for`; a bad answer in it starts anew. Throws
 * VerifyError with the last answer, what `tried` throws, and the signal's reason.
 */
export async function untilGood(
  check: Pick<Check, 'interval' | 'timeout' | 'healthy_for'>,
  facts: { readonly check: string; readonly server: string },
  tried: () => Promise<Try>,
  clock: Clock,
  signal: AbortSignal,
): Promise<Verified> {
  const start = clock.now()
  const fail = (message: string, hint: string, tail = ''): never => {
    const error = new VerifyError(`${facts.server}: ${message}`, { server: facts.server, stage: 'verifying', hint })
    // What reports about it shows the last lines that the command printed.
    throw tail === '' ? error : Object.assign(error, { tail })
  }
  let goodSince: number | undefined
  let wrong = 0
  for (;;) {
    const result = await tried()
    const now = clock.now()
    wrong = result.is === 'wrong' ? wrong + 1 : 0
    if (result.is === 'good') {
      goodSince ??= now
      if (now - goodSince >= check.healthy_for * 1000)
        return { check: facts.check, seconds: (now - start) / 1000, detail: result.detail }
    } else goodSince = undefined
    if (result.is === 'impossible') return fail(`${facts.check} cannot be tried: ${result.detail}`, result.hint)
    if (wrong >= wrongInARow)
      return fail(
        `${facts.check} does not fit, ${wrong} times in a row: ${result.detail}`,
        'this is what a wrong path, host or credential looks like: look at the check',
        'tail' in result ? result.tail : '',
      )
    if (result.is !== 'good' && now - start >= check.timeout * 1000)
      return fail(
        `${facts.check} was not good within ${check.timeout} s; the last try: ${result.detail}`,
        "look at the application's own log, or raise the check's `timeout` if it only needs longer",
        'tail' in result ? result.tail : '',
      )
    await clock.sleep(check.interval * 1000, signal)
  }
}

/**
 * Runs all checks that select the server at the same time; the first that fails ends the others. An empty result: no check selects
 * it. Throws VerifyError with the last answer, ConnectionError when the SSH connection is gone, and the signal's reason.
 */
export async function verify(
  checks: readonly Check[],
  server: Server,
  deps: VerifyDeps,
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly Verified[]> {
  const others = new AbortController()
  const own = AbortSignal.any([signal, others.signal])
  let failed: { readonly error: unknown } | undefined
  const results = await Promise.all(
    checksFor(checks, server).map(async check => {
      try {
        const facts = { check: nameOf(check), server: server.name }
        const verified = await untilGood(check, facts, () => tryOnce(check, deps, own), clock, own)
        deps.onVerified?.(verified)
        return [verified]
      } catch (error) {
        failed ??= { error }
        others.abort(error)
        return []
      }
    }),
  )
  if (signal.aborted) throw signal.reason
  if (failed) throw failed.error
  return results.flat()
}

/** Each check that selects the server, tried once. What is not good, in words; null: all is. Throws what a try throws. */
export async function tryEach(
  checks: readonly Check[],
  server: Server,
  deps: Omit<VerifyDeps, 'onVerified'>,
  signal: AbortSignal,
): Promise<string | null> {
  const tries = await Promise.all(
    checksFor(checks, server).map(async check => ({ check: nameOf(check), tried: await tryOnce(check, deps, signal) })),
  )
  const bad = tries.filter(({ tried }) => tried.is !== 'good')
  return bad.length === 0 ? null : bad.map(({ check, tried }) => `${check}: ${tried.detail}`).join('; ')
}
