/** Who runs this and because of what: GitHub's variables and the event's payload, of which only numbers, commits and closed words are taken. */
import { readFileSync } from 'node:fs'

type Env = Readonly<Record<string, string | undefined>>

/** The pull request that the event is about. */
export interface Pull {
  readonly number: number
  /** What happened: `opened`, `synchronize`, `closed`, …; null: the payload does not say. */
  readonly action: string | null
  readonly state: 'open' | 'closed'
  /** null: the event has no full payload of it (`issue_comment`). */
  readonly headSha: string | null
  /** It comes from another repository, or from one that is gone. */
  readonly fork: boolean
}

/** Empty outside GitHub. */
export interface Run {
  readonly repository: string | null
  readonly runId: string | null
  /** 1 for the first, one more for each re-run. */
  readonly attempt: string | null
  readonly url: string | null
  readonly actor: string | null
  readonly sha: string | null
  readonly ref: string | null
  readonly event: string | null
  readonly serverUrl: string
  readonly apiUrl: string
  /** The pull request's head, on `pull_request`: there GITHUB_SHA is a merge that nobody made. */
  readonly headSha: string | null
  /** The event is about a pull request from another repository. */
  readonly fork: boolean
  readonly pull: Pull | null
}

const readOrNull = (path: string | undefined): unknown => {
  if (!path) return null
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}

const field = (value: unknown, ...path: readonly string[]): unknown =>
  path.reduce<unknown>(
    (v, k) => (typeof v === 'object' && v !== null ? (v as Record<string, unknown>)[k] : undefined),
    value,
  )

/** A head repository that is gone was a fork, too. A repository that is a fork of another has pull requests of its own. */
function isFork(event: unknown): boolean {
  if (field(event, 'pull_request') === undefined) return false
  const of = (side: string, what: string) => field(event, 'pull_request', side, 'repo', what)
  const base = of('base', 'full_name')
  if (base !== undefined && of('head', 'full_name') !== base) return true
  return of('head', 'fork') === true && of('base', 'fork') !== true
}

const commitOrNull = (value: unknown) => (typeof value === 'string' && /^[0-9a-f]{40}$/.test(value) ? value : null)
/** GitHub's own words for what happened; nobody can choose another one. */
const wordOrNull = (value: unknown) => (typeof value === 'string' && /^[a-z_]{1,40}$/.test(value) ? value : null)

function pullOf(event: unknown): Pull | null {
  const pull = field(event, 'pull_request')
  const commented = field(event, 'issue', 'pull_request') === undefined ? undefined : field(event, 'issue')
  const number = field(pull ?? commented, 'number')
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < 1) return null
  return {
    number,
    action: wordOrNull(field(event, 'action')),
    state: field(pull ?? commented, 'state') === 'closed' ? 'closed' : 'open',
    headSha: commitOrNull(field(pull, 'head', 'sha')),
    fork: isFork(event),
  }
}

/** Reads the variables that the runner sets, and the payload they name. */
export function readRun(env: Env): Run {
  const repository = env['GITHUB_REPOSITORY'] || null
  const runId = env['GITHUB_RUN_ID'] || null
  const serverUrl = env['GITHUB_SERVER_URL'] || 'https://github.com'
  const event = readOrNull(env['GITHUB_EVENT_PATH'])
  const pull = pullOf(event)
  return {
    repository,
    runId,
    attempt: env['GITHUB_RUN_ATTEMPT'] || null,
    url: repository && runId ? `${serverUrl}/${repository}/actions/runs/${runId}` : null,
    actor: env['GITHUB_ACTOR'] || null,
    sha: env['GITHUB_SHA'] || null,
    ref: env['GITHUB_REF'] || null,
    event: env['GITHUB_EVENT_NAME'] || null,
    serverUrl,
    apiUrl: env['GITHUB_API_URL'] || 'https://api.github.com',
    headSha:
      env['GITHUB_EVENT_NAME'] === 'pull_request' ? commitOrNull(field(event, 'pull_request', 'head', 'sha')) : null,
    fork: isFork(event),
    pull,
  }
}
