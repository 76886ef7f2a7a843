/** What the fake GitHub remembers, and how its operations change it. Answers are the description's own examples, filled in. */
import { example } from './description.ts'

export interface Person {
  readonly login: string
  readonly type: 'User' | 'Bot'
}

export interface KnownPull {
  readonly number: number
  readonly state: 'open' | 'closed'
  readonly headSha: string
  /** `owner/name`; null: the repository it came from is gone. Default: the repository itself. */
  readonly from?: string | null
}

export interface KnownComment {
  readonly issue: number
  readonly body: string
  readonly by: Person
}

export interface Status {
  readonly state: string
  readonly description: string
  readonly logUrl: string
  readonly environmentUrl: string
}

export interface Deployment {
  readonly id: number
  readonly ref: string
  readonly environment: string
  readonly task: string
  readonly description: string
  readonly transient: boolean
  readonly production: boolean
  readonly payload: unknown
  /** Oldest first. */
  readonly statuses: readonly Status[]
  /** Of its last status; `pending` without one. */
  readonly state: string
}

export interface Comment extends KnownComment {
  readonly id: number
}

export interface Known {
  /** `owner/name` */
  readonly repository: string
  /** Whose token it is. */
  readonly as: Person
  readonly pulls: readonly KnownPull[]
  readonly comments: readonly KnownComment[]
  /** Deployments that are there already, oldest first. */
  readonly deployments: readonly { readonly environment: string; readonly state: string }[]
  /** The ref is behind the default branch: with `auto_merge` GitHub merges, and deploys nothing. */
  readonly behind: boolean
  /** Checks of the commit have failed: without `required_contexts: []` there is no deployment. */
  readonly failingChecks: boolean
  /** What compare answers: changed files. */
  readonly files: readonly string[]
}

export interface Asked {
  readonly name: string
  readonly path: Readonly<Record<string, string>>
  readonly query: URLSearchParams
  readonly body: Readonly<Record<string, unknown>>
}

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

const docs = 'https://docs.github.com/rest'
export const refusal = (status: number, message: string, more: object = {}): Answer => ({
  status,
  body: { message, documentation_url: docs, status: String(status), ...more },
})
const notFound = () => refusal(404, 'Not Found')
const invalid = (field: string, message: string) =>
  refusal(422, 'Validation Failed', { errors: [{ resource: 'Deployment', code: 'custom', field, message }] })

const now = () => new Date().toISOString().replace(/\.\d+/, '')

export function createState(known: Known) {
  let lastId = 1000
  const deployments: Deployment[] = []
  const comments: Comment[] = []
  const pulls = new Map(known.pulls.map(p => [p.number, p]))
  const nextId = () => ++lastId
  for (const { environment, state } of known.deployments)
    deployments.push({
      id: nextId(),
      ref: 'a'.repeat(40),
      environment,
      task: 'deploy',
      description: '',
      transient: false,
      production: false,
      payload: {},
      statuses: [{ state, description: '', logUrl: '', environmentUrl: '' }],
      state,
    })
  for (const comment of known.comments) comments.push({ ...comment, id: nextId() })

  const base = `https://api.github.com/repos/${known.repository}`
  const user = (person: Person, like: unknown) => ({ ...(like as object), login: person.login, type: person.type })

  const deploymentBody = (d: Deployment) => ({
    ...example('GET /repos/{owner}/{repo}/deployments', 200),
    id: d.id,
    url: `${base}/deployments/${d.id}`,
    statuses_url: `${base}/deployments/${d.id}/statuses`,
    ref: d.ref,
    sha: /^[0-9a-f]{40}$/.test(d.ref) ? d.ref : 'b'.repeat(40),
    task: d.task,
    environment: d.environment,
    original_environment: d.environment,
    description: d.description,
    payload: d.payload,
    transient_environment: d.transient,
    production_environment: d.production,
    created_at: now(),
    updated_at: now(),
  })

  const commentBody = (c: Comment) => {
    const like = example('POST /repos/{owner}/{repo}/issues/{issue_number}/comments', 201)
    return { ...like, id: c.id, url: `${base}/issues/comments/${c.id}`, body: c.body, user: user(c.by, like['user']) }
  }

  /** One page, with GitHub's Link header (docs: Using pagination in the REST API). */
  function paged<T>({ query, name, path }: Asked, all: readonly T[], origin: string): Answer & { body: T[] } {
    const size = Number(query.get('per_page') ?? 30)
    const page = Number(query.get('page') ?? 1)
    const last = Math.max(1, Math.ceil(all.length / size))
    const route = (name.split(' ')[1] ?? '').replace(/\{(\w+)\}/g, (_, p: string) => encodeURIComponent(path[p] ?? ''))
    const to = (n: number, rel: string) => {
      const params = new URLSearchParams(query)
      params.set('page', String(n))
      return `<${origin}${route}?${params}>; rel="${rel}"`
    }
    const links = [
      ...(page > 1 ? [to(page - 1, 'prev'), to(1, 'first')] : []),
      ...(page < last ? [to(page + 1, 'next'), to(last, 'last')] : []),
    ]
    return {
      status: 200,
      body: all.slice((page - 1) * size, page * size),
      ...(links.length > 0 ? { headers: { link: links.join(', ') } } : {}),
    }
  }

  function addStatus(id: number, status: Status): void {
    const at = deployments.findIndex(d => d.id === id)
    const one = deployments[at]
    if (one === undefined) return
    deployments[at] = { ...one, state: status.state, statuses: [...one.statuses, status] }
  }

  const operations: Readonly<Record<string, (asked: Asked, origin: string) => Answer>> = {
    'GET /user': () => ({
      status: 200,
      body: { ...example('GET /user', 200), login: known.as.login, type: known.as.type },
    }),

    'GET /repos/{owner}/{repo}/deployments': (asked, origin) => {
      const wanted = (d: Deployment) =>
        (['environment', 'task', 'ref'] as const).every(k => !asked.query.has(k) || asked.query.get(k) === d[k])
      const page = paged(asked, deployments.filter(wanted).reverse(), origin)
      return { ...page, body: page.body.map(deploymentBody) }
    },

    'POST /repos/{owner}/{repo}/deployments': ({ body }) => {
      const b = body as Readonly<Record<string, never>>
      if (String(b['environment'] ?? '').length > 255) return invalid('environment', 'environment is too long')
      if (known.behind && b['auto_merge'] !== false)
        return { status: 202, body: { message: 'Auto-merged main into topic-branch on deployment.' } }
      const contexts = b['required_contexts'] as readonly string[] | undefined
      if (known.failingChecks && contexts?.length !== 0)
        return refusal(409, 'Conflict: Commit status checks failed for topic-branch.')
      if (!/^[0-9a-f]{40}$/.test(String(b['ref']))) return refusal(422, `No ref found for: ${b['ref']}`)
      const environment = b['environment'] ?? 'production'
      const one: Deployment = {
        id: nextId(),
        ref: b['ref'] ?? '',
        environment,
        task: b['task'] ?? 'deploy',
        description: b['description'] ?? '',
        transient: b['transient_environment'] ?? false,
        production: b['production_environment'] ?? environment === 'production',
        payload: b['payload'] ?? {},
        statuses: [],
        state: 'pending',
      }
      deployments.push(one)
      return { status: 201, body: deploymentBody(one) }
    },

    'POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses': ({ path, body }) => {
      const id = Number(path['deployment_id'])
      const one = deployments.find(d => d.id === id)
      if (one === undefined) return notFound()
      const of = (name: string) => String(body[name] ?? '')
      if (of('description').length > 140)
        return invalid('description', 'description is too long (maximum is 140 characters)')
      for (const name of ['log_url', 'environment_url', 'target_url'])
        if (of(name) !== '' && !/^https?:\/\//.test(of(name))) return invalid(name, `${name} must use http(s) scheme`)
      const [state, description] = [of('state'), of('description')]
      const [logUrl, environmentUrl] = [of('log_url'), of('environment_url')]
      // auto_inactive: other successful, not transient, not production deployments of the environment.
      if (state === 'success' && body['auto_inactive'] !== false)
        for (const d of deployments)
          if (d.id < id && d.environment === one.environment && d.state === 'success' && !d.transient && !d.production)
            addStatus(d.id, { state: 'inactive', description: '', logUrl: '', environmentUrl: '' })
      addStatus(id, { state, description, logUrl, environmentUrl })
      const like = example('POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses', 201)
      const more = { log_url: logUrl, target_url: logUrl, environment_url: environmentUrl }
      const answer = { ...like, id: nextId(), state, description, environment: one.environment, created_at: now() }
      return { status: 201, body: { ...answer, ...more } }
    },

    'GET /repos/{owner}/{repo}/deployments/{deployment_id}/statuses': (asked, origin) => {
      const one = deployments.find(d => d.id === Number(asked.path['deployment_id']))
      if (one === undefined) return notFound()
      const like = example('POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses', 201)
      const page = paged(asked, one.statuses.toReversed(), origin)
      return { ...page, body: page.body.map(s => ({ ...like, state: s.state, description: s.description })) }
    },

    'GET /repos/{owner}/{repo}/issues/{issue_number}/comments': (asked, origin) => {
      const issue = Number(asked.path['issue_number'])
      const page = paged(
        asked,
        comments.filter(c => c.issue === issue),
        origin,
      )
      return { ...page, body: page.body.map(commentBody) }
    },

    'POST /repos/{owner}/{repo}/issues/{issue_number}/comments': ({ path, body }) => {
      const text = String(body['body'])
      if (text.length > 65_536) return invalid('body', 'body is too long (maximum is 65536 characters)')
      if (text.trim() === '') return invalid('body', "body can't be blank")
      const one: Comment = { id: nextId(), issue: Number(path['issue_number']), body: text, by: known.as }
      comments.push(one)
      return { status: 201, body: commentBody(one) }
    },

    'PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}': ({ path, body }) => {
      const at = comments.findIndex(c => c.id === Number(path['comment_id']))
      const one = comments[at]
      if (one === undefined) return notFound()
      const text = String(body['body'])
      if (text.length > 65_536) return invalid('body', 'body is too long (maximum is 65536 characters)')
      const changed = { ...one, body: text }
      comments[at] = changed
      return { status: 200, body: commentBody(changed) }
    },

    'GET /repos/{owner}/{repo}/pulls/{pull_number}': ({ path }) => {
      const pull = pulls.get(Number(path['pull_number']))
      if (pull === undefined) return notFound()
      // Its example's teams do not fit the description's own schema.
      const like = { ...example('GET /repos/{owner}/{repo}/pulls/{pull_number}', 200), requested_teams: [] }
      const side = (name: 'head' | 'base', full: string | null, more: object) => {
        const part = (like as Record<string, unknown>)[name] as { readonly repo: object }
        return { ...part, ...more, repo: full === null ? null : { ...part.repo, full_name: full } }
      }
      const from = pull.from === undefined ? known.repository : pull.from
      const head = side('head', from, { sha: pull.headSha })
      const body = { ...like, number: pull.number, state: pull.state, head, base: side('base', known.repository, {}) }
      return { status: 200, body }
    },

    'GET /repos/{owner}/{repo}/compare/{basehead}': () => {
      const like = example('GET /repos/{owner}/{repo}/compare/{basehead}', 200)
      const [file] = like['files'] as readonly object[]
      const files = known.files.map(filename => ({ ...file, filename }))
      return { status: 200, body: { ...like, status: 'ahead', files } }
    },
  }

  return {
    operations,
    deployments: (): readonly Deployment[] => [...deployments],
    comments: (issue?: number): readonly Comment[] => comments.filter(c => issue === undefined || c.issue === issue),
    setPull: (pull: KnownPull) => void pulls.set(pull.number, pull),
  }
}
