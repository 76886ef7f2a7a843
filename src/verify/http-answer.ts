/** Whether an HTTP answer is what a check expects, and where a redirect may lead. Pure. */
import type { HttpCheck } from '../manifest/schema.ts'
import { excerpt, type Try } from './try.ts'

export interface HttpAnswer {
  readonly status: number
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** At most 1 MiB of it. */
  readonly body: string
}

/** Bytes of a body that are read. */
export const bodyCap = 1024 * 1024

/** The host of a check, as it stands in the Host header, and its name alone, for the certificate. */
export function hostOf(check: HttpCheck): { readonly header: string; readonly name: string } {
  const header = check.host ?? 'localhost'
  const name = /^\[(.*)\](?::\d+)?$/.exec(header)?.[1] ?? header.replace(/:\d+$/, '')
  return { header, name }
}

const wrongStatus = new Set([401, 403, 404])

/** Judges by status, then headers, then body. */
export function judge(check: HttpCheck, answer: HttpAnswer): Try {
  const { status, header, body } = check.expect
  const said = `${answer.status}${answer.body.trim() === '' ? '' : `: ${excerpt(answer.body)}`}`
  if (!status.some(range => answer.status >= range.from && answer.status <= range.to))
    return { is: wrongStatus.has(answer.status) ? 'wrong' : 'not yet', detail: `answered ${said}` }
  for (const [name, value] of Object.entries(header)) {
    const found = answer.headers[name.toLowerCase()]
    if (found !== value)
      return {
        is: 'not yet',
        detail: `answered ${answer.status} with ${found === undefined ? `no header ${name}` : `${name}: ${excerpt(found)}`}`,
      }
  }
  if (body !== undefined && !answer.body.includes(body))
    return { is: 'not yet', detail: `answered without the expected text, ${said}` }
  return { is: 'good', detail: `answered ${answer.status}` }
}

/** The path a redirect leads to, where the check follows it: only on the same scheme, host and port. */
export function redirectPath(check: HttpCheck, from: string, answer: HttpAnswer): string | undefined {
  const location = answer.headers['location']
  if (!check.follow_redirects || location === undefined || ![301, 302, 303, 307, 308].includes(answer.status))
    return undefined
  const { header, name } = hostOf(check)
  const literal = name.includes(':') ? `[${name}]` : name
  try {
    const base = new URL(`${check.scheme}://${header}`)
    const target = new URL(location, new URL(from, base))
    // The application may name itself by its own port, which the Host header leaves out.
    const own = new URL(`${check.scheme}://${literal}:${check.port}`)
    return target.origin === base.origin || target.origin === own.origin ? target.pathname + target.search : undefined
  } catch {
    return undefined
  }
}
