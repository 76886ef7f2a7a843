/** Caddy's admin API, as far as this provider speaks it: one handler, its list of upstreams, what is in flight, and what is healthy. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import { type AdminAnswer, type AdminHost, type AdminRequest, cutOff, saidBy } from './admin-http.ts'

const duration = z.union([z.string(), z.number()])

const upstream = z.looseObject({ dial: z.string().min(1) })
const handler = z.looseObject({
  handler: z.literal('reverse_proxy'),
  upstreams: z.array(upstream).optional(),
  dynamic_upstreams: z.unknown().optional(),
  health_checks: z
    .looseObject({
      active: z
        .looseObject({ interval: duration.optional(), timeout: duration.optional(), fails: z.number().optional() })
        .nullish(),
      passive: z.looseObject({ fail_duration: duration.optional(), max_fails: z.number().optional() }).nullish(),
    })
    .nullish(),
})
const status = z.array(z.looseObject({ address: z.string(), num_requests: z.number(), fails: z.number() }))

export type Upstream = z.output<typeof upstream>
export type Status = z.output<typeof status>[number]

export interface Handler {
  readonly upstreams: readonly Upstream[]
  readonly healthChecks: NonNullable<z.output<typeof handler>['health_checks']>
  /** Caddy's hash of what was read: a write is refused when something else stands there by then. */
  readonly etag: string
}

/** Somebody else wrote between the reading and the writing; nothing was changed. */
export class ConflictError extends BalancerError {}

/** `/id/app`; an id that begins with `/config/` is the path itself. */
export const handlerPath = (id: string): string =>
  id.startsWith('/config/') ? id.replace(/\/+$/, '') : `/id/${encodeURIComponent(id)}`

/** Milliseconds until who was cut is worth asking again. */
const cutMs = 25
const isCut = (error: unknown): boolean =>
  error instanceof Error &&
  (('code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE')) || error.message === cutOff)

/** Caddy opens its admin address anew at each change of its configuration, and whoever was just coming is cut (measured). */
async function answered(at: AdminHost, asked: AdminRequest, signal: AbortSignal): Promise<AdminAnswer> {
  try {
    return await at.ask(asked, signal)
  } catch (error) {
    if (!(error instanceof BalancerError) || !isCut(error.cause)) throw error
    const { message, hint, cause } = error
    throw new BalancerError(message, { cause, ...(hint === undefined ? {} : { hint }), retryAfterMs: cutMs })
  }
}

async function ok(at: AdminHost, asked: AdminRequest, what: string, signal: AbortSignal): Promise<AdminAnswer> {
  const answer = await answered(at, asked, signal)
  if (answer.status >= 200 && answer.status <= 299) return answer
  const facts = {
    hint:
      answer.status === 404
        ? 'the handler needs an "@id" in the JSON configuration, and `id` has to be that; a Caddyfile cannot give one: see docs/balancers/caddy.md'
        : answer.status === 403
          ? 'the `admin` address has to be one of the `origins` of the admin API'
          : 'nothing is taken for done',
    ...(answer.status === 429 || answer.status === 503 ? { retryAfterMs: 0 } : {}),
  }
  const message = `Caddy at ${at.where} cannot ${what}: it answered HTTP ${answer.status}: ${saidBy(answer)}`
  throw answer.status === 412 ? new ConflictError(message, facts) : new BalancerError(message, facts)
}

function parsed<S extends z.ZodType>(schema: S, at: AdminHost, answer: AdminAnswer, what: string): z.output<S> {
  let value: unknown
  try {
    value = JSON.parse(answer.body)
  } catch {
    value = undefined
  }
  const read = schema.safeParse(value)
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new BalancerError(
    `Caddy at ${at.where} answered something else than ${what}, at ${issue?.path.join('.') || 'the whole'}: ${saidBy(answer).slice(0, 120)}`,
    { hint: '`id` has to be the @id of a `reverse_proxy` handler, and `admin` the address of Caddy itself' },
  )
}

/** Throws BalancerError also for a handler whose upstreams are not a list that can be changed. */
export async function readHandler(at: AdminHost, path: string, signal: AbortSignal): Promise<Handler> {
  const answer = await ok(at, { method: 'GET', path }, `give the handler ${path}`, signal)
  const read = parsed(handler, at, answer, 'a reverse_proxy handler')
  if (read.dynamic_upstreams !== undefined && read.dynamic_upstreams !== null)
    throw new BalancerError(`the handler ${path} of Caddy at ${at.where} finds its upstreams itself`, {
      hint: '`dynamic_upstreams` cannot be changed server by server: use a list, `health-file`, or `command`',
    })
  const etag = answer.headers['etag']
  if (etag === undefined)
    throw new BalancerError(`Caddy at ${at.where} gives no ETag: its list cannot be written without losing changes`, {
      hint: 'Caddy 2.5.2 or newer is needed, and no proxy before its admin address',
    })
  return { upstreams: read.upstreams ?? [], healthChecks: read.health_checks ?? {}, etag }
}

/** Replaces the list if nothing else was written since it was read. Throws ConflictError then, and BalancerError. */
export async function writeUpstreams(
  at: AdminHost,
  path: string,
  etag: string,
  upstreams: readonly Upstream[],
  signal: AbortSignal,
): Promise<void> {
  const headers = { 'content-type': 'application/json', 'if-match': etag }
  const body = JSON.stringify(upstreams)
  await ok(at, { method: 'PATCH', path: `${path}/upstreams`, headers, body }, `change the upstreams of ${path}`, signal)
}

export async function readStatus(at: AdminHost, signal: AbortSignal): Promise<readonly Status[]> {
  const asked = { method: 'GET', path: '/reverse_proxy/upstreams' } as const
  return parsed(status, at, await ok(at, asked, 'tell its requests in flight', signal), 'the list of upstreams')
}

/** By address; Caddy writes them every ten seconds, and as healthy whenever its configuration changes. */
export async function readHealth(at: AdminHost, signal: AbortSignal): Promise<ReadonlyMap<string, boolean>> {
  const { body } = await ok(at, { method: 'GET', path: '/metrics' }, 'tell its metrics', signal)
  const lines = body.matchAll(/^caddy_reverse_proxy_upstreams_healthy\{upstream="([^"\\]*)"\} ([01])$/gm)
  return new Map([...lines].map(([, address = '', value]) => [address, value === '1']))
}

/** Dial addresses and how often each stands in the whole configuration, this handler included. */
export async function readDials(at: AdminHost, signal: AbortSignal): Promise<ReadonlyMap<string, number>> {
  const answer = await ok(at, { method: 'GET', path: '/config/' }, 'give its configuration', signal)
  const counts = new Map<string, number>()
  const walk = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return
    if ('dial' in value && typeof value.dial === 'string') {
      const dial = value.dial.toLowerCase()
      counts.set(dial, (counts.get(dial) ?? 0) + 1)
    }
    for (const part of Object.values(value)) walk(part)
  }
  walk(parsed(z.unknown(), at, answer, 'its configuration'))
  return counts
}

/** The argument list of the Caddy that answers here; null where it does not tell. */
export async function readCommandLine(at: AdminHost, signal: AbortSignal): Promise<readonly string[] | null> {
  const answer = await answered(at, { method: 'GET', path: '/debug/pprof/cmdline' }, signal)
  return answer.status === 200 ? answer.body.split('\0') : null
}

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1e3,
  m: 6e4,
  h: 36e5,
  d: 864e5,
}

/** Milliseconds of a duration as Caddy writes it: nanoseconds, or `1m30s`. */
export function milliseconds(value: string | number | undefined, usual: number): number {
  if (value === undefined || value === '' || value === 0) return usual
  if (typeof value === 'number') return value / 1e6
  const parts = [...value.matchAll(/([\d.]+)(ns|us|µs|ms|s|m|h|d)/g)]
  const sum = parts.reduce((total, [, number, unit]) => total + Number(number) * (units[unit ?? ''] ?? 0), 0)
  return Number.isFinite(sum) && sum > 0 ? sum : usual
}
