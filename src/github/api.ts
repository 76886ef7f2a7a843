/**
 * The one client for GitHub's API, with Octokit's retry and throttling plugins. Every wait in it is bounded: a deployment never hangs
 * until a rate limit is reset, and GitHub's troubles are told of once.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { getOctokit } from '@actions/github'
import { retry } from '@octokit/plugin-retry'
import { throttling } from '@octokit/plugin-throttling'
import { DeployError, messageOf } from '../errors.ts'
import { createInTime, type InTime, LateError } from './in-time.ts'

/** What a call is for; names the permission it needs. */
export type Purpose = 'deployments' | 'comments' | 'pulls' | 'preview' | 'removal' | 'contents'

export interface GitHub {
  readonly octokit: ReturnType<typeof getOctokit>
  readonly owner: string
  readonly repo: string
  /** Says what does not work, the first time; a run has one warning about GitHub. */
  readonly trouble: (error: unknown, purpose: Purpose) => void
  /** Which line to add, for the answers of a missing permission (403, and 404 where GitHub hides what a token may not see); else null. */
  readonly permissionHint: (error: unknown, purpose: Purpose) => string | null
  /** Its one warning is given in other words. */
  readonly tell: () => void
  /** Called once the warning is given. */
  readonly whenTold: (then: () => void) => void
  /** Waits before the next try of what the retry plugin must not repeat by itself: one second, four, nine. */
  readonly pause: (tried: number) => Promise<void>
  /** For what a run waits for at its end, or after all that it does on servers. */
  readonly inTime: InTime
}

export interface GitHubAt {
  /** `owner/name`. Throws DeployError for anything else. */
  readonly repository: string
  readonly token: string
  /** `https://api.github.com`, or that of a GitHub Enterprise Server. */
  readonly apiUrl: string
  readonly signal?: AbortSignal
  readonly warn: (text: string) => void
  /** The permissions that this run needs in all; default: what is said of a missing one names that one. */
  readonly needs?: string
  /** Milliseconds of a second of waiting between tries, for tests; default 1000. */
  readonly secondMs?: number
  /** Milliseconds that a call has; default 10,000. */
  readonly callMs?: number
  /** Milliseconds that a run waits at its end; default 10,000. */
  readonly endMs?: number
}

/** An answer of GitHub's that is not the one hoped for. */
export class GitHubError extends DeployError {
  /** HTTP's; null: there was no answer. */
  readonly status: number | null

  constructor(message: string, status: number | null, cause: unknown) {
    super(message, { cause })
    this.status = status
  }
}

/** Seconds of waiting for rate limits in all, over all calls of a client. */
const longestWait = 60
/** Tries after the first, one, four and nine seconds later. */
const retries = 3
/** Answers that another try does not better; rate limits (403, 429) are the throttling plugin's. */
const final = [400, 401, 403, 404, 409, 410, 422, 429, 451]

type Plugin = Parameters<typeof getOctokit>[2]

/** Time for each try by itself: what a caller could set is one signal for all tries of a call. */
const withTime =
  (callMs: number, signal: AbortSignal | undefined): Plugin =>
  octokit => {
    octokit.hook.wrap('request', async (request, options) => {
      const given = options.request?.signal as AbortSignal | undefined
      const signals = [AbortSignal.timeout(callMs), given, signal].filter(s => s !== undefined)
      // The options are this call's, but what is in `request` is every call's; and before-after-hook has handed the options on already.
      const own: { signal?: AbortSignal; retries?: number } = { ...options.request }
      options.request = own
      own.signal = AbortSignal.any(signals)
      try {
        return await request(options)
      } catch (error) {
        if (given?.aborted || signal?.aborted) own.retries = 0
        throw asSecondaryLimit(error)
      } finally {
        if (given === undefined) delete own.signal
        else own.signal = given
      }
    })
  }

/** plugin-throttling knows a secondary limit by its message alone; what says how long to wait is one, too (docs: retry-after). */
function asSecondaryLimit(error: unknown): unknown {
  const { status, response } = (error ?? {}) as {
    readonly status?: number
    readonly response?: { readonly headers?: Readonly<Record<string, unknown>> }
  }
  const headers = response?.headers ?? {}
  const limited = (status === 403 || status === 429) && headers['retry-after'] !== undefined
  if (limited && error instanceof Error && !/\bsecondary rate\b/i.test(error.message))
    error.message += ' (secondary rate limit)'
  return error
}

const silent = { debug() {}, info() {}, warn() {}, error() {} }

/** Opens nothing yet. */
export function gitHub(at: GitHubAt): GitHub {
  const [owner = '', repo = '', ...more] = at.repository.split('/')
  if (owner === '' || repo === '' || more.length > 0) throw new DeployError(`"${at.repository}" is not owner/name`)
  const { secondMs = 1000, callMs = 10_000, endMs = 10_000 } = at
  let waited = 0
  let limitedUntil = 0
  const mayWait = (seconds: number): boolean => {
    if (waited + seconds > longestWait) return false
    waited += seconds
    limitedUntil = performance.now() + seconds * secondMs
    return true
  }
  const octokit = getOctokit(
    at.token,
    {
      baseUrl: at.apiUrl,
      log: silent,
      retry: { doNotRetry: final, retries, retryAfterBaseValue: secondMs },
      throttle: {
        id: randomUUID(),
        retryAfterBaseValue: secondMs,
        onRateLimit: mayWait,
        onSecondaryRateLimit: mayWait,
      },
    },
    withTime(callMs, at.signal),
    retry,
    throttling,
  )
  let told = false
  let then = () => {}
  const tell = () => {
    told = true
    then()
  }
  const whenTold: GitHub['whenTold'] = what => {
    then = what
    if (told) then()
  }
  const hint = (error: unknown, purpose: Purpose) => permissionHint(error, at.needs ?? permissions[purpose])
  const trouble = (error: unknown, purpose: Purpose) => {
    if (told) return
    tell()
    at.warn(troubleText(error, purpose, hint(error, purpose), performance.now() < limitedUntil))
  }
  const pause = (tried: number) => sleep(tried ** 2 * secondMs, undefined, at.signal ? { signal: at.signal } : {})
  return { octokit, owner, repo, trouble, permissionHint: hint, tell, whenTold, pause, inTime: createInTime(endMs) }
}

const permissions = {
  deployments: 'deployments: write',
  comments: 'pull-requests: write',
  pulls: 'pull-requests: read',
  preview: 'deployments: write',
  removal: 'deployments: write',
  contents: 'contents: read',
} as const satisfies Record<Purpose, string>

const effects = {
  deployments: 'this deployment has no complete record on GitHub',
  comments: 'the comment on the pull request is not up to date',
  pulls: 'GitHub does not say how the pull request stands',
  preview: 'this preview has no complete record on GitHub',
  removal: 'not all records of the removed preview are inactive',
  contents: 'GitHub does not say what changed',
} as const satisfies Record<Purpose, string>

const statusOf = (error: unknown): number | null =>
  error instanceof GitHubError
    ? error.status
    : typeof (error as { status?: unknown } | null)?.status === 'number'
      ? (error as { status: number }).status
      : null

function permissionHint(error: unknown, needs: string): string | null {
  const status = statusOf(error)
  const text = messageOf(error)
  if (!(status === 404 || (status === 403 && !/rate limit|abuse/i.test(text)))) return null
  return `The token lacks a permission. Add to the job: permissions: ${needs}`
}

function troubleText(error: unknown, purpose: Purpose, hint: string | null, limited: boolean): string {
  const effect = `${effects[purpose]}; nothing else is affected.`
  if (error instanceof LateError) return `${error.message}${limited ? ' (a rate limit)' : ''}: ${effect}`
  const why = messageOf(error).replace(/\.?$/, '.')
  return `${effect[0]?.toUpperCase()}${effect.slice(1)} ${why}${hint === null ? '' : ` ${hint}`}`
}

/** Makes a call; what went wrong becomes a GitHubError whose sentence begins with `doing` and holds no header and no token. */
export async function calling<T>(doing: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof GitHubError) throw error
    const response = (error as { response?: unknown } | null)?.response
    // Octokit calls what never reached GitHub a 500.
    const status = response === undefined ? null : statusOf(error)
    const said = messageOf(error).slice(0, 500)
    throw new GitHubError(`GitHub, ${doing}: ${status === null ? 'no answer' : status} (${said})`, status, error)
  }
}
