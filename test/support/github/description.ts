/** GitHub's published OpenAPI description (@octokit/openapi): which operations there are, and whether requests and answers fit them. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { misfits, type Schema } from './schema.ts'

interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'header'
  readonly required?: boolean
  readonly schema: Schema
}

interface Media {
  readonly schema?: Schema
  readonly examples?: Readonly<Record<string, { readonly value?: unknown; readonly $ref?: string }>>
}

interface Body {
  readonly required?: boolean
  readonly content?: Readonly<Record<string, Media>>
}

export interface Operation {
  readonly parameters?: readonly (Parameter | { readonly $ref: string })[]
  readonly requestBody?: Body
  readonly responses: Readonly<Record<string, Body | { readonly $ref: string }>>
}

export interface Matched {
  readonly template: string
  /** `POST /repos/{owner}/{repo}/deployments` */
  readonly name: string
  readonly operation: Operation
  /** Decoded. */
  readonly path: Readonly<Record<string, string>>
}

type Document = Readonly<Record<string, unknown>> & {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
}

const file = fileURLToPath(
  new URL('../../../node_modules/@octokit/openapi/generated/api.github.com.json', import.meta.url),
)
const document = JSON.parse(readFileSync(file, 'utf8')) as Document

/** `#/components/schemas/deployment` */
function resolve<T = Schema>(reference: string): T {
  let at: unknown = document
  for (const part of reference.slice(2).split('/'))
    at = (at as Record<string, unknown>)[part.replaceAll('~1', '/').replaceAll('~0', '~')]
  if (at === undefined) throw new Error(`${reference} is not in the description`)
  return at as T
}
const whole = <T extends object>(part: T | { readonly $ref: string }): T =>
  '$ref' in part && typeof part.$ref === 'string' ? resolve<T>(part.$ref) : (part as T)

const templates = Object.keys(document.paths).map(template => ({
  template,
  // Fewest parameters first: `/issues/comments/{comment_id}` before `/issues/{issue_number}/…`.
  parameters: template.split('{').length,
  pattern: new RegExp(`^${template.replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{(\w+)\}/g, '(?<$1>[^/]+)')}$`),
}))
templates.sort((a, b) => a.parameters - b.parameters)

/** Which operation a request is; null: the description has none. */
export function match(method: string, pathname: string): Matched | null {
  for (const { template, pattern } of templates) {
    const groups = pattern.exec(pathname)?.groups
    const operation = document.paths[template]?.[method.toLowerCase()]
    if (!pattern.test(pathname) || operation === undefined) continue
    const path = Object.fromEntries(Object.entries(groups ?? {}).map(([k, v]) => [k, decodeURIComponent(v)]))
    return { template, name: `${method} ${template}`, operation, path }
  }
  return null
}

/** Text of a path or query as the type that is described for it. */
function typed(schema: Schema, value: string): unknown {
  const { type } = typeof schema['$ref'] === 'string' ? resolve(schema['$ref']) : schema
  if (type === 'integer' || type === 'number') return /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value
  if (type === 'boolean') return value === 'true' ? true : value === 'false' ? false : value
  return value
}

const json = (body: Body | undefined): Media | undefined => body?.content?.['application/json']

/** What of a request is not as described; empty: it fits. `body` undefined: it has none. */
export function requestMisfits({ operation, path }: Matched, query: URLSearchParams, body: unknown): readonly string[] {
  const parameters = (operation.parameters ?? []).map(p => whole<Parameter>(p))
  const found: string[] = []
  const check = (place: string, schema: Schema, value: unknown) =>
    found.push(...misfits(schema, value, { resolve, closed: true }).map(wrong => `${place}: ${wrong}`))
  for (const { name, in: place, required, schema } of parameters) {
    const value = place === 'path' ? path[name] : place === 'query' ? (query.get(name) ?? undefined) : undefined
    if (value !== undefined) check(`${place} ${name}`, schema, typed(schema, value))
    else if (required === true && place !== 'header') found.push(`${place} ${name} is missing`)
  }
  for (const name of new Set(query.keys())) {
    if (!parameters.some(p => p.in === 'query' && p.name === name)) found.push(`query ${name} is not described`)
    if (query.getAll(name).length > 1) found.push(`query ${name} is given twice`)
  }
  // Described in words only (docs: Using pagination in the REST API).
  if (Number(query.get('per_page') ?? 1) > 100) found.push('query per_page is over 100')
  const schema = json(operation.requestBody)?.schema
  if (body === undefined) {
    if (operation.requestBody?.required === true) found.push('the body is missing')
  } else if (schema === undefined) found.push('a body is not described')
  else check('body', schema, body)
  return found
}

/** What of an answer is not as described. An error that an operation does not list is GitHub's basic error. */
export function answerMisfits({ operation, name }: Matched, status: number, body: unknown): readonly string[] {
  const described = operation.responses[String(status)]
  if (described === undefined && status < 400) return [`${name}: ${status} is not described`]
  const basic = { $ref: '#/components/schemas/basic-error' }
  const schema = described === undefined ? basic : json(whole<Body>(described))?.schema
  return schema === undefined ? [] : misfits(schema, body, { resolve, closed: false })
}

/** The description's own example of an answer, the first item of it where it is a list. */
export function example(name: string, status: number): Record<string, unknown> {
  const [method = '', template = ''] = name.split(' ')
  const described = document.paths[template]?.[method.toLowerCase()]?.responses[String(status)]
  const examples = described === undefined ? {} : (json(whole<Body>(described))?.examples ?? {})
  const [first] = Object.values(examples)
  const value = first?.$ref === undefined ? first?.value : resolve<{ value: unknown }>(first.$ref).value
  const one: unknown = Array.isArray(value) ? value[0] : value
  if (typeof one !== 'object' || one === null) throw new Error(`the description has no example of ${name} ${status}`)
  return structuredClone(one) as Record<string, unknown>
}
