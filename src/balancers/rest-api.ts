/**
 * JSON over HTTPS with a bearer token, as the clouds' APIs are spoken to. One call is one request: nothing is tried again, no redirect
 * is followed, and an answer that has another form than was said is an error. The token is in no text.
 */
import type { z } from 'zod'
import { BalancerError, messageOf } from '../errors.ts'
import { type Answer, RestError, refused, shortened } from './rest-errors.ts'

export interface RestApi {
  /** Sends one request; resolves with the answer that `answer` accepts. Throws RestError, or the signal's reason. */
  call<S extends z.ZodType>(request: RestRequest<S>, signal: AbortSignal): Promise<RestAnswer<z.output<S>>>
  /** The base URL, without a slash at its end. Throws BalancerError when the variable holds one that is not allowed. */
  base(): string
}

export interface RestRequest<S extends z.ZodType> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Begins with "/" and is joined to the base, parts already encoded; or a whole URL that the API itself gave, of the same origin. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** What it is for, as it stands after "cannot": `remove droplet 7 from load balancer 1`. */
  readonly doing: string
  /** What a 404 says is not there: `load balancer 1`. */
  readonly wanted: string
  /** The right that a refused token lacks: `load_balancer:update`. */
  readonly needs: string
  readonly server?: string
  /** An answer without a body is `undefined`. */
  readonly answer: S
}

export interface RestAnswer<T> {
  readonly status: number
  /** `etag`, `location` and the like. */
  readonly headers: Headers
  readonly body: T
}

export interface RestApiFacts {
  /** The balancer's name in the manifest; begins every message. */
  readonly name: string
  readonly vendor: string
  readonly env: Readonly<Record<string, string>>
  /** Variables that may hold the token; the first that is set counts. */
  readonly tokens: readonly [string, ...string[]]
  readonly base: { readonly variable: string; readonly usual: string }
  /** Milliseconds for a call, its answer included; default 10,000. */
  readonly callMs?: number
  /** Bytes of an answer; default 8 MiB. */
  readonly maxBytes?: number
}

/** Opens nothing and checks nothing yet: a missing token is an error of the first call. */
export function restApi(facts: RestApiFacts): RestApi {
  const { name, vendor, callMs = 10_000, maxBytes = 8 * 1024 * 1024 } = facts
  const base = () => baseUrl(facts)

  return {
    base,
    async call({ answer, ...request }, signal) {
      signal.throwIfAborted()
      const token = tokenOf(facts)
      const url = urlOf(base(), request, name)
      const where = `${name}: ${vendor} at ${url.host}`
      const fail = (what: string, more: { hint: string; status?: number }): never => {
        throw new RestError(withoutToken(`${where} cannot ${request.doing}: ${what}`, token), {
          ...(request.server === undefined ? {} : { server: request.server }),
          ...more,
        })
      }
      const limit = AbortSignal.timeout(callMs)
      let got: Answer
      try {
        const response = await fetch(url, {
          method: request.method,
          headers: {
            accept: 'application/json',
            'user-agent': 'deploy-action',
            ...(request.body === undefined ? {} : { 'content-type': 'application/json' }),
            ...request.headers,
            authorization: `Bearer ${token}`,
          },
          ...(request.body === undefined ? {} : { body: JSON.stringify(request.body) }),
          redirect: 'manual',
          signal: AbortSignal.any([signal, limit]),
        })
        got = { status: response.status, headers: response.headers, text: await textOf(response, maxBytes) }
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (error instanceof TooLong) return fail(error.message, { hint: 'this is no answer of that API' })
        if (limit.aborted)
          return fail(`no answer within ${callMs / 1000} s`, {
            hint: `look at the state of ${vendor}, and at the network`,
          })
        return fail(networkText(error), { hint: `can the runner reach ${url.host} over ${url.protocol.slice(0, -1)}?` })
      }
      if (got.status < 200 || got.status > 299)
        throw refused(got, { ...request, where, vendor, tokens: facts.tokens, tidy: text => withoutToken(text, token) })
      const body = parsed(got.text)
      if (body === notJson)
        return fail(`it answered HTTP ${got.status} with something that is not JSON: ${shortened(got.text)}`, {
          hint: `is ${base()} the base of the API?`,
          status: got.status,
        })
      const checked = answer.safeParse(body)
      if (!checked.success) {
        const [issue] = checked.error.issues
        const at = issue === undefined || issue.path.length === 0 ? 'as a whole' : `at ${issue.path.join('.')}`
        return fail(`its answer has another form than published, ${at}: ${issue?.message ?? ''}`, {
          hint: `the API may have changed, or ${base()} is not its base`,
          status: got.status,
        })
      }
      return { status: got.status, headers: got.headers, body: checked.data }
    },
  }
}

/** A token that cannot stand in a header is refused here: fetch would put it into its own message. */
function tokenOf({ name, vendor, env, tokens }: RestApiFacts): string {
  const variable = tokens.find(t => env[t] !== undefined && env[t].trim() !== '')
  if (variable === undefined)
    throw new BalancerError(`${name}: there is no token for ${vendor}: ${tokens.join(' or ')} is not set`, {
      hint: `set ${tokens[0]} in the step's env, from a secret`,
    })
  const token = (env[variable] ?? '').trim()
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new BalancerError(
      `${name}: ${variable} holds what cannot be a token of ${vendor}: spaces, line ends or the like`,
      {
        hint: 'look at the secret: it holds the token and nothing else',
      },
    )
  return token
}

const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** The URL in the variable, or the usual one. Throws BalancerError where credentials may not be sent to it. */
export function baseUrl({ name, env, base: { variable, usual } }: Pick<RestApiFacts, 'name' | 'env' | 'base'>): string {
  const given = env[variable]?.trim() ?? ''
  const text = given === '' ? usual : given
  const url = URL.canParse(text) ? new URL(text) : undefined
  const allowed = url?.protocol === 'https:' || (url?.protocol === 'http:' && loopback.test(url.hostname))
  if (
    url === undefined ||
    !allowed ||
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== ''
  )
    throw new BalancerError(`${name}: ${variable} is not the URL of an API that a token may be sent to`, {
      hint: 'https://host/path is expected, without user or query; http:// only to this machine itself',
    })
  return text.replace(/\/+$/, '')
}

function urlOf(base: string, { path, query = {} }: Pick<RestRequest<z.ZodType>, 'path' | 'query'>, name: string): URL {
  const text = path.startsWith('/') ? base + path : path
  if (!URL.canParse(text))
    throw new BalancerError(`${name}: an answer points to something that is no URL: nothing was sent`)
  const url = new URL(text)
  // The token goes nowhere else, whatever an answer says.
  if (url.origin !== new URL(base).origin)
    throw new BalancerError(
      `${name}: an answer points to ${url.origin}, which is not where the API is: nothing was sent`,
      {
        hint: 'look at the variable that sets the base of the API',
      },
    )
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value)
  return url
}

export class TooLong extends Error {}

/** Throws TooLong. */
export async function textOf(response: Response, maxBytes: number): Promise<string> {
  if (response.body === null) return ''
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of response.body) {
    bytes += chunk.byteLength
    if (bytes > maxBytes) throw new TooLong(`its answer is longer than ${maxBytes} bytes`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

const notJson = Symbol('not JSON')
function parsed(text: string): unknown {
  if (text.trim() === '') return undefined
  try {
    return JSON.parse(text)
  } catch {
    return notJson
  }
}

/** fetch says "fetch failed"; what it was stands in the cause. */
export function networkText(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined
  if (!(cause instanceof Error)) return messageOf(error)
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  return cause.message === '' ? code || messageOf(error) : cause.message
}

const withoutToken = (text: string, token: string): string => text.replaceAll(token, '***')
