/**
 * Payloads of events as GitHub sends them: its published examples, changed where a test needs it, and checked against its published schemas
 * (@octokit/webhooks-examples and -schemas). A payload that does not fit them throws.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { z } from 'zod'

const require = createRequire(import.meta.url)
const read = (path: string): unknown => JSON.parse(readFileSync(require.resolve(path), 'utf8'))

type Json = Readonly<Record<string, unknown>>
const schemas = read('@octokit/webhooks-schemas/schema.json') as {
  readonly $schema: string
  readonly definitions: Json
}
const examples = read('@octokit/webhooks-examples/api.github.com/index.json') as readonly {
  readonly name: string
  readonly examples: readonly Json[]
}[]

export type PullAction = 'opened' | 'synchronize' | 'reopened' | 'closed'

export interface PullEvent {
  readonly action: PullAction
  readonly number: number
  readonly headSha: string
  /** `owner/name`; null: it is gone. Default: the repository itself. */
  readonly from?: string | null
  /** What anyone may choose who opens a pull request. */
  readonly branch?: string
  readonly title?: string
  readonly login?: string
}

const repository = 'octo/shop'

const fits = (name: string, payload: unknown): void => {
  const { $schema, definitions } = schemas
  const schema = z.fromJSONSchema({ $schema, definitions, $ref: `#/definitions/${name}` } as never)
  const result = schema.safeParse(payload)
  if (!result.success) throw new Error(`the payload does not fit ${name}: ${z.prettifyError(result.error)}`)
}

/** An example of an event that fits the schemas; some of the published ones are older than they are. */
function example(name: string, action: string): Json {
  const all = examples.find(e => e.name === name)?.examples ?? []
  const found = all.find(e => {
    if (e['action'] !== action) return false
    try {
      fits(`${name}$${action}`, e)
      return true
    } catch {
      return false
    }
  })
  if (found === undefined) throw new Error(`there is no example of ${name} ${action}`)
  return structuredClone(found)
}

const object = (value: unknown): Json => value as Json

/** The payload of a `pull_request` event, and of `pull_request_target`, which is the same. */
export function pullEvent({ action, number, headSha, from = repository, branch, title, login }: PullEvent): string {
  const like = example('pull_request', action)
  const pull = object(like['pull_request'])
  const user = { ...object(pull['user']), ...(login === undefined ? {} : { login }) }
  const side = (name: 'head' | 'base', repo: string | null, more: Json) => {
    const of = object(pull[name])
    const full = repo === null ? null : { ...object(of['repo']), full_name: repo, fork: repo !== repository }
    return { ...of, ...more, repo: full }
  }
  const payload = {
    ...like,
    number,
    pull_request: {
      ...pull,
      number,
      user,
      ...(title === undefined ? {} : { title }),
      head: side('head', from, {
        sha: headSha,
        ...(branch === undefined ? {} : { ref: branch, label: `octo:${branch}` }),
      }),
      base: side('base', repository, {}),
    },
    repository: { ...object(like['repository']), full_name: repository },
    sender: user,
  }
  fits(`pull_request$${action}`, payload)
  return JSON.stringify(payload)
}

/** The payload of a comment on a pull request. */
export function commentEvent(number: number, body: string): string {
  const like = example('issue_comment', 'created')
  const api = `https://api.github.com/repos/${repository}/pulls/${number}`
  const html = `https://github.com/${repository}/pull/${number}`
  const payload = {
    ...like,
    issue: {
      ...object(like['issue']),
      number,
      pull_request: { url: api, html_url: html, diff_url: `${html}.diff`, patch_url: `${html}.patch` },
    },
    comment: { ...object(like['comment']), body },
  }
  fits('issue_comment$created', payload)
  return JSON.stringify(payload)
}
