/** What an answer that is no success means: which error, what a person can do, and when a next try is worth it. Pure but for the clock. */
import { systemClock } from '../clock.ts'
import { BalancerError, type ErrorFacts } from '../errors.ts'

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

/** A call to a cloud's API that failed. */
export class RestError extends BalancerError {
  /** Of HTTP; undefined: there was no answer. */
  readonly status: number | undefined
  /** The vendor's own word for it, where it gave one: `target_already_defined`. */
  readonly code: string | undefined

  constructor(
    message: string,
    facts: ErrorFacts & {
      readonly retryAfterMs?: number | undefined
      readonly status?: number
      readonly code?: string
    },
  ) {
    super(message, facts)
    this.status = facts.status
    this.code = facts.code
  }
}

interface Call {
  readonly doing: string
  readonly wanted: string
  readonly needs: string
  readonly server?: string
  readonly where: string
  readonly vendor: string
  readonly tokens: readonly string[]
  /** Takes the token out. */
  readonly tidy: (text: string) => string
}

export function refused(answer: Answer, call: Call): RestError {
  const { code, message } = said(answer.text)
  const own = [code, message].filter(part => part !== undefined).join(': ')
  const status = `HTTP ${answer.status}${own === '' ? '' : ` (${shortened(own)})`}`
  const kind = kindOf(answer.status, code, message)
  const { what, hint } = words(kind, call)
  return new RestError(call.tidy(`${call.where} cannot ${call.doing}: ${what === '' ? '' : `${what}: `}${status}`), {
    hint,
    status: answer.status,
    ...(call.server === undefined ? {} : { server: call.server }),
    ...(code === undefined ? {} : { code }),
    ...(kind === 'throttled' || kind === 'broken' || kind === 'busy'
      ? { retryAfterMs: retryAfterMs(answer.headers) }
      : {}),
  })
}

type Kind =
  | 'unknown token'
  | 'forbidden'
  | 'not there'
  | 'conflict'
  | 'busy'
  | 'throttled'
  | 'broken'
  | 'redirect'
  | 'other'

/** Google says "too often" with 403. */
const throttling =
  /^(rateLimitExceeded|userRateLimitExceeded|RATE_LIMIT_EXCEEDED|rate_limit_exceeded|too_many_requests)$/

/**
 * One change at a time: Hetzner says `locked` and `conflict` (hcloud-go, error.go), Azure AnotherOperationInProgress, Google
 * resourceNotReady, DigitalOcean 403 and a sentence (github.com/digitalocean/openapi/issues/1173).
 */
const busyCode = /^(locked|conflict|AnotherOperationInProgress|resourceNotReady)$/
const busyText = /processes previous actions/

function kindOf(status: number, code: string | undefined, message = ''): Kind {
  if (status === 429 || (code !== undefined && throttling.test(code))) return 'throttled'
  if (status === 423 || (code !== undefined && busyCode.test(code)) || busyText.test(message)) return 'busy'
  if (status === 401) return 'unknown token'
  if (status === 403) return 'forbidden'
  if (status === 404 || status === 410) return 'not there'
  if (status === 409 || status === 412) return 'conflict'
  if (status >= 500) return 'broken'
  return status >= 300 && status < 400 ? 'redirect' : 'other'
}

function words(kind: Kind, { wanted, needs, vendor, tokens }: Call): { readonly what: string; readonly hint: string } {
  const token = tokens.join(' or ')
  switch (kind) {
    case 'unknown token':
      return { what: 'the token is not accepted', hint: `is the one in ${token} still valid? It needs ${needs}` }
    case 'forbidden':
      return { what: 'the token may not do that', hint: `give the one in ${token} the right ${needs}` }
    case 'not there':
      return {
        what: `there is no ${wanted}`,
        hint: `look at the manifest, and whether ${token} belongs to the same account`,
      }
    case 'conflict':
      return { what: 'somebody else changes it, or changed it', hint: 'look who else writes there at the same time' }
    case 'busy':
      return { what: 'it is busy with another change', hint: 'look who else writes there at the same time' }
    case 'throttled':
      return {
        what: 'it is asked too often',
        hint: `the limit of ${vendor} counts all that uses the same account or token`,
      }
    case 'broken':
      return { what: 'it has a fault of its own', hint: `look at the state of ${vendor}` }
    case 'redirect':
      return {
        what: 'it points elsewhere, and redirects are not followed',
        hint: 'set the base of the API to where it is',
      }
    case 'other':
      return { what: '', hint: `what ${vendor} said is in the message` }
  }
}

type Loose = Readonly<Record<string, unknown>>
const isObject = (value: unknown): value is Loose => typeof value === 'object' && value !== null
const textIn = (value: unknown): string | undefined =>
  (typeof value === 'string' && value !== '') || typeof value === 'number' ? String(value) : undefined

/**
 * The forms that clouds' errors have: `{error: {code, message, errors: [{reason}]}}` (Hetzner, Azure, Google), `{id, message}`
 * (DigitalOcean), `{errors: [{code, message, reason}]}` (Linode, Cloudflare).
 */
function said(text: string): { code?: string | undefined; message?: string | undefined } {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return {}
  }
  if (!isObject(body)) return {}
  const error = isObject(body['error']) ? body['error'] : body
  const [first] = Array.isArray(error['errors']) ? (error['errors'] as readonly unknown[]) : []
  const one = isObject(first) ? first : {}
  // Google's `code` is the HTTP status once more; its word is the reason.
  const code = typeof error['code'] === 'number' ? (one['reason'] ?? error['status'] ?? error['code']) : error['code']
  return {
    code: textIn(code) ?? textIn(error['id']) ?? textIn(one['code']),
    message: textIn(error['message']) ?? textIn(one['message']) ?? textIn(one['reason']),
  }
}

/** One line, of 300 characters at most, without control characters. */
export const shortened = (text: string): string => {
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim()
  return line.length > 300 ? `${line.slice(0, 300)} …` : line
}

/**
 * Milliseconds, at most an hour; 0: it did not say. Retry-After is seconds or a date (RFC 9110, 10.2.3). The limits' reset is seconds or a
 * time since 1970, mostly when all of it is there again; one request is possible long before (Hetzner: one each second). So at most ten
 * seconds of it count, and backing off further is the controller's.
 */
export function retryAfterMs(headers: Headers): number {
  const said = headers.get('retry-after')
  if (said !== null && /^\d+$/.test(said.trim())) return Math.min(3_600_000, Number(said) * 1000)
  // The vendor's clock, not the runner's.
  const now = dateMs(headers.get('date')) ?? systemClock.wall()
  const date = dateMs(said)
  if (date !== undefined) return Math.min(3_600_000, Math.max(0, date - now))
  const reset = Number(
    ['ratelimit-reset', 'x-ratelimit-reset'].map(h => headers.get(h)).find(v => v !== null) ?? Number.NaN,
  )
  if (!Number.isFinite(reset)) return 0
  return Math.min(10_000, Math.max(0, reset > 1e9 ? reset * 1000 - now : reset * 1000))
}

function dateMs(text: string | null): number | undefined {
  const ms = text === null ? Number.NaN : Date.parse(text)
  return Number.isNaN(ms) ? undefined : ms
}
