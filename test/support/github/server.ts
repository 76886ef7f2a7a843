/**
 * A FAKE GitHub, made from GitHub's published OpenAPI description. It answers the few operations that the action uses, from a state of its
 * own, and REFUSES every request that does not fit the description: path, query, headers, body. Each such request is a misfit, and so is
 * an answer of its own that does not fit; `stop()` throws while there is one, so that a test cannot end well with it. It is no evidence
 * for what GitHub does beyond its description; what is modelled by hand (permissions, rate limits, limits of length) names the docs.
 *
 *   const github = await startGitHub({ pulls: [{ number: 12, state: 'open', headSha }], permissions: ['deployments: write'] })
 *   env: { GITHUB_API_URL: github.url }, inputs: { 'github-token': github.token }
 *   github.answer('POST /repos/{owner}/{repo}/deployments', { fault: 'status', status: 502 }, 2)
 *   github.deployments(), github.comments(12), await github.stop()
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { answerMisfits, match, requestMisfits } from './description.ts'
import { type Answer, createState, type Known, refusal } from './state.ts'

export type Permission = `${'deployments' | 'pull-requests' | 'issues' | 'contents'}: ${'read' | 'write'}`

export interface GitHubOptions extends Partial<Known> {
  /** Of the token; default: everything that the action asks for. An app's token, unless `as` is a User. */
  readonly permissions?: readonly Permission[]
  /** Where the API begins: `/api/v3` on a GitHub Enterprise Server. */
  readonly base?: string
}

/** What goes wrong with a request. */
export type Fault =
  /** `done`: it was carried out, and the answer says otherwise. */
  | { readonly fault: 'status'; readonly status: number; readonly message?: string; readonly done?: true }
  /** The hourly limit (docs: Rate limits for the REST API): 403, x-ratelimit-remaining: 0, x-ratelimit-reset. */
  | { readonly fault: 'primary-limit'; readonly resetInSeconds: number; readonly status?: 403 | 429 }
  /** The secondary limit; without `retryAfter` no header says how long. */
  | {
      readonly fault: 'secondary-limit'
      readonly retryAfter?: number
      readonly status?: 403 | 429
      readonly message?: string
    }
  /** No answer: the connection is closed. */
  | { readonly fault: 'drop'; readonly done?: true }
  | { readonly fault: 'slow'; readonly ms: number }
  /** It is carried out, and the answer never comes. */
  | { readonly fault: 'lost' }

export interface Request {
  /** `POST /repos/{owner}/{repo}/deployments`; of a misfit the method and the path as asked. */
  readonly name: string
  readonly path: string
  readonly body: unknown
  /** Milliseconds, monotonic. */
  readonly at: number
  readonly status: number | null
}

const defaultPermissions: readonly Permission[] = ['deployments: write', 'pull-requests: write', 'contents: read']

/** Which permissions do, each by itself (docs: Permissions required for GitHub Apps). */
const needed: Readonly<Record<string, readonly Permission[]>> = {
  'GET /repos/{owner}/{repo}/deployments': ['deployments: read'],
  'POST /repos/{owner}/{repo}/deployments': ['deployments: write'],
  'POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses': ['deployments: write'],
  'GET /repos/{owner}/{repo}/deployments/{deployment_id}/statuses': ['deployments: read'],
  'GET /repos/{owner}/{repo}/issues/{issue_number}/comments': ['issues: read', 'pull-requests: read'],
  'POST /repos/{owner}/{repo}/issues/{issue_number}/comments': ['issues: write', 'pull-requests: write'],
  'PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}': ['issues: write', 'pull-requests: write'],
  'GET /repos/{owner}/{repo}/pulls/{pull_number}': ['pull-requests: read'],
  'GET /repos/{owner}/{repo}/compare/{basehead}': ['contents: read'],
}

/** What GitHub does answer for a pull request whose fork was deleted; its webhook schemas know it, the description does not. */
const forkIsGone = '.head.repo is null, not of type object'

const mayDo = (permissions: readonly Permission[], name: string) =>
  (needed[name] ?? []).some(p => permissions.includes(p) || permissions.includes(p.replace('read', 'write') as never))

async function read(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts).toString('utf8')
}

/** Headers that GitHub wants (docs: Getting started with the REST API). */
function headerMisfits({ headers }: IncomingMessage, hasBody: boolean): readonly string[] {
  const version = headers['x-github-api-version']
  return [
    /^application\/(vnd\.github(\.v3)?\+)?json$/.test(headers.accept ?? '') ? null : `header accept: ${headers.accept}`,
    headers['user-agent'] ? null : 'header user-agent is missing',
    !hasBody || /^application\/json/.test(headers['content-type'] ?? '') ? null : 'header content-type is not JSON',
    version === undefined || version === '2022-11-28' ? null : `header x-github-api-version: ${version}`,
  ].filter(wrong => wrong !== null)
}

function limitAnswer(fault: Extract<Fault, { fault: `${string}-limit` }>): Answer {
  if (fault.fault === 'secondary-limit') {
    const message =
      fault.message ?? 'You have exceeded a secondary rate limit. Please wait a few minutes before you try again.'
    const headers = fault.retryAfter === undefined ? {} : { 'retry-after': String(fault.retryAfter) }
    return { ...refusal(fault.status ?? 403, message), headers }
  }
  const reset = Math.floor(Date.now() / 1000) + fault.resetInSeconds
  const headers = { 'x-ratelimit-limit': '1000', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': String(reset) }
  return { ...refusal(fault.status ?? 403, 'API rate limit exceeded for installation ID 4711.'), headers }
}

export async function startGitHub(options: GitHubOptions = {}) {
  const known: Known = {
    repository: 'octo/shop',
    as: { login: 'github-actions[bot]', type: 'Bot' },
    pulls: [],
    comments: [],
    deployments: [],
    behind: false,
    failingChecks: false,
    files: [],
    ...options,
  }
  const { permissions = defaultPermissions, base = '' } = options
  const token = `${known.as.type === 'Bot' ? 'ghs' : 'ghp'}_fakeTokenForTests0123456789`
  const state = createState(known)
  const misfits: string[] = []
  const requests: Request[] = []
  const faults: { readonly name: string; readonly fault: Fault; left: number }[] = []
  const timers = new Set<NodeJS.Timeout>()
  let url = ''
  let asked = 0

  const takeFault = (name: string): Fault | null => {
    const found = faults.find(f => f.left > 0 && (f.name === '*' || f.name === name))
    if (found === undefined) return null
    found.left--
    return found.fault
  }

  /** null: no answer at all. */
  async function answerTo(request: IncomingMessage): Promise<{ name: string; body: unknown; answer: Answer | null }> {
    const { method = 'GET', url: target = '/' } = request
    const { pathname: whole, searchParams } = new URL(target, 'http://github.test')
    const pathname = whole.startsWith(`${base}/`) ? whole.slice(base.length) : `outside of the API: ${whole}`
    const text = await read(request)
    const matched = match(method, pathname)
    const operation = matched === null ? undefined : state.operations[matched.name]
    const name = matched?.name ?? `${method} ${pathname}`
    let body: unknown
    try {
      body = text === '' ? undefined : JSON.parse(text)
    } catch {
      misfits.push(`${name}: the body is no JSON`)
      return { name, body: text, answer: refusal(400, 'Problems parsing JSON') }
    }
    const refused = (status: number, wrong: readonly string[]) => {
      misfits.push(...wrong.map(w => `${name}: ${w}`))
      return { name, body, answer: refusal(status, `This fake GitHub refuses: ${wrong.join('; ')}`) }
    }
    if (matched === null) return refused(404, ['the description has no such operation'])
    if (operation === undefined) return refused(501, ['this fake GitHub does not know the operation'])
    const wrong = [...headerMisfits(request, text !== ''), ...requestMisfits(matched, searchParams, body)]
    if (wrong.length > 0) return refused(400, wrong)

    const fault = takeFault(name)
    const carryOut = (): Answer => {
      if (!/^(token|bearer) /i.test(request.headers.authorization ?? '')) return refusal(401, 'Requires authentication')
      if (request.headers.authorization?.replace(/^\w+ /, '') !== token) return refusal(401, 'Bad credentials')
      const { owner, repo } = matched.path
      if (owner !== undefined && `${owner}/${repo}` !== known.repository) return refusal(404, 'Not Found')
      const allowed = name === 'GET /user' ? known.as.type === 'User' : mayDo(permissions, name)
      if (!allowed) return refusal(403, 'Resource not accessible by integration')
      const answer = operation({ name, path: matched.path, query: searchParams, body: (body ?? {}) as never }, url)
      const unfit = answerMisfits(matched, answer.status, answer.body).filter(w => w !== forkIsGone)
      misfits.push(...unfit.map(w => `the answer to ${name}: ${w}`))
      return answer
    }
    if (fault === null) return { name, body, answer: carryOut() }
    if (fault.fault === 'slow') {
      await new Promise<void>(resolve => {
        timers.add(setTimeout(resolve, fault.ms))
      })
      return { name, body, answer: carryOut() }
    }
    if (fault.fault === 'lost') {
      carryOut()
      return new Promise(() => {})
    }
    if (fault.fault === 'primary-limit' || fault.fault === 'secondary-limit')
      return { name, body, answer: limitAnswer(fault) }
    if (fault.done === true) carryOut()
    return {
      name,
      body,
      answer: fault.fault === 'drop' ? null : refusal(fault.status, fault.message ?? 'Server Error'),
    }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const at = performance.now()
    asked++
    const { name, body, answer } = await answerTo(request)
    requests.push({ name, path: request.url ?? '', body, at, status: answer?.status ?? null })
    if (answer === null) return void request.socket.destroy()
    const limits = { 'x-ratelimit-limit': '1000', 'x-ratelimit-remaining': '900' }
    const fake = { server: 'fake GitHub from @octokit/openapi' }
    const type = { 'content-type': 'application/json; charset=utf-8' }
    response.writeHead(answer.status, { ...fake, ...type, ...limits, ...answer.headers })
    response.end(JSON.stringify(answer.body))
  }

  const server = createServer((request, response) => {
    serve(request, response).catch((error: unknown) => {
      misfits.push(`this fake GitHub failed: ${String(error)}`)
      response.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}${base}`

  return {
    /** For GITHUB_API_URL. */
    url,
    token,
    repository: known.repository,
    /** Requests and answers that did not fit. A test that provokes one takes it out: `misfits.splice(0)`. */
    misfits,
    /** All so far, in the order of their answers. */
    requests: (name?: string): readonly Request[] => requests.filter(r => name === undefined || r.name === name),
    /** How many requests have come, answered or not. */
    asked: () => asked,
    deployments: state.deployments,
    comments: state.comments,
    setPull: state.setPull,
    /** The next `times` requests of that name (`*`: any) go wrong. */
    answer: (name: string, fault: Fault, times = 1) => void faults.push({ name, fault, left: times }),
    /** Ends it. Throws when something did not fit. */
    stop: async () => {
      for (const timer of timers) clearTimeout(timer)
      server.closeAllConnections()
      await new Promise<void>(resolve => server.close(() => resolve()))
      if (misfits.length > 0)
        throw new Error(`requests or answers do not fit GitHub's description:\n${misfits.join('\n')}`)
    },
  } as const
}

export type FakeGitHub = Awaited<ReturnType<typeof startGitHub>>
