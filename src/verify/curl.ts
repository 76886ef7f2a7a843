/** The same HTTP try by curl on the server, for where sshd forbids forwarding. */
import { ConnectionError } from '../errors.ts'
import type { Connection, RunResult } from '../fleet/connection.ts'
import { hereDocument } from '../fleet/quote.ts'
import type { HttpCheck } from '../manifest/schema.ts'
import { bodyCap, type HttpAnswer, hostOf, judge, redirectPath } from './http-answer.ts'
import { excerpt, type Try } from './try.ts'

/** A value in curl's configuration file. Line ends would begin another option: they are refused. */
function quoted(value: string): string {
  if (/[\r\n\0]/.test(value)) throw new Error('a line end cannot stand in a path, host or header')
  return `"${value.replace(/[\\"]/g, c => `\\${c}`)}"`
}

/**
 * The script of one request. All values go to curl by a configuration on its stdin: headers may hold secrets, and other users of
 * the server can read argument lists. Throws Error for a value with a line end.
 */
export function curlScript(check: HttpCheck, path: string, seconds: number): string {
  const { header, name } = hostOf(check)
  const literal = name.includes(':') ? `[${name}]` : name
  const url = check.scheme === 'https' ? `https://${literal}:${check.port}` : `http://127.0.0.1:${check.port}`
  const headers = { 'user-agent': 'deploy-action', accept: '*/*', ...check.headers, host: header, connection: 'close' }
  const lines = [
    `url = ${quoted(url + path)}`,
    ...(check.scheme === 'https' ? [`resolve = ${quoted(`${name}:${check.port}:127.0.0.1`)}`] : []),
    ...Object.entries(headers).map(([key, value]) => `header = ${quoted(`${key}: ${value}`)}`),
    ...(check.method === 'HEAD' ? ['head'] : ['include']),
    'silent',
    'show-error',
    'globoff',
    'path-as-is',
    'http1.1',
    'noproxy = "*"',
    `max-time = ${seconds}`,
  ]
  // -q first: the user's own .curlrc stays out of it.
  return [
    'command -v curl >/dev/null 2>&1 || { echo "curl is not there" >&2; exit 127; }',
    '{',
    hereDocument('curl -q -K - 2>&3', lines.join('\n')).trimEnd(),
    `echo "curl exit $?" >&3`,
    `} 3>&2 | head -c ${bodyCap + 65_536}`,
    '',
  ].join('\n')
}

/** Status line, headers and body of `curl --include`; interim answers (1xx) are passed over. */
export function parseCurl(output: string): HttpAnswer | undefined {
  let rest = output
  for (;;) {
    const end = /\r?\n\r?\n/.exec(rest)
    const [first = '', ...lines] = (end ? rest.slice(0, end.index) : rest.trimEnd()).split(/\r?\n/)
    const status = Number(/^HTTP\/[\d.]+ (\d{3})/.exec(first)?.[1])
    if (!status) return undefined
    rest = end ? rest.slice(end.index + end[0].length) : ''
    if (status < 200 && rest !== '') continue
    const headers: Record<string, string> = {}
    for (const line of lines) {
      const colon = line.indexOf(':')
      const key = line.slice(0, colon).trim().toLowerCase()
      const value = line.slice(colon + 1).trim()
      if (colon > 0) headers[key] = headers[key] === undefined ? value : `${headers[key]}, ${value}`
    }
    return { status, headers, body: rest }
  }
}

// curl's exit codes (curl manual, EXIT CODES): TLS handshake, certificate, certificate authority file.
const tlsExits = new Set([35, 51, 53, 54, 58, 59, 60, 66, 77, 80, 82, 83, 90, 91])

function failure(result: RunResult): Try {
  if (result.ended === 'timeout') return { is: 'not yet', detail: 'no answer in time' }
  if (result.ended === 'exit' && result.code === 127)
    return {
      is: 'impossible',
      detail: 'the server forbids forwarding, and has no curl',
      hint: 'allow it for this user (`AllowTcpForwarding yes`), install curl there, or use a `command` check',
    }
  const exit = Number(/curl exit (\d+)/.exec(result.stderr)?.[1])
  const said = excerpt(result.stderr.replace(/curl exit \d+\s*$/, ''))
  // A handshake that is reset says nothing about the certificate.
  const wrong = tlsExits.has(exit) && !/reset|SSL_ERROR_SYSCALL/i.test(said)
  return { is: wrong ? 'wrong' : 'not yet', detail: said || 'no answer' }
}

const mostRedirects = 5

/** Throws ConnectionError when the SSH connection is gone, and the signal's reason. */
export async function curl(
  check: HttpCheck,
  connection: Connection,
  seconds: number,
  signal: AbortSignal,
): Promise<Try> {
  let path = check.path
  for (let hops = 0; ; hops++) {
    const result = await connection.run(curlScript(check, path, seconds), {
      signal,
      timeout: seconds + 5,
      keep: 2 * bodyCap,
    })
    if (signal.aborted) throw signal.reason
    if (result.ended === 'lost')
      throw new ConnectionError(`the connection to ${connection.name} was lost during a check: ${result.reason}`, {
        server: connection.name,
      })
    const answer = parseCurl(result.stdout)
    // A body that was cut at the cap ends curl with a write error; the answer is there all the same.
    if (!answer || /curl exit (?!0|23)\d+/.test(result.stderr)) return failure(result)
    const next = hops < mostRedirects ? redirectPath(check, path, answer) : undefined
    if (next === undefined) return judge(check, answer)
    path = next
  }
}
