/** What is wrong, as problems that point into the file: from Zod's issues and from our own findings. */
import type { z } from 'zod'
import type { Problem } from '../errors.ts'
import { nearest, suggestion } from './nearest.ts'
import { type Node, nodeAt, type Path, pathText, placeOf, plain } from './node.ts'
import { type Facts, lookAt } from './shape.ts'
import { type Place, pointTo } from './source.ts'

/** Something wrong at a path of the tree; `at` where the place is known more exactly. */
export interface Finding {
  readonly path: Path
  readonly on: 'key' | 'value'
  readonly message: string
  readonly hint?: string
  readonly at?: Place
}

export const problemOf = (root: Node, { path, on, message, hint, at }: Finding): Problem => ({
  ...pointTo(at ?? placeOf(root, path, on)),
  message,
  ...(hint === undefined ? {} : { hint }),
})

type Issue = z.core.$ZodIssue

/** Messages for what a schema has no words of its own for; handed to Zod. */
export function words(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_type')
    return issue.expected === 'object' || issue.expected === 'record'
      ? 'a map of keys and values is expected'
      : issue.expected === 'array'
        ? 'a list is expected'
        : undefined
  if (issue.code === 'invalid_value') return `one of ${issue.values.map(String).join(', ')} is expected`
  if (issue.code === 'invalid_union' && Array.isArray(issue['options'])) return 'a known one is expected'
  if (issue.code === 'invalid_format' && issue.format === 'starts_with')
    return `a text that begins with "${String(issue['prefix'])}" is expected`
  return undefined
}

/** Every problem that a schema has with a tree. */
export function schemaFindings(root: Node, schema: z.ZodType, known: readonly string[] = []): readonly Finding[] {
  const value = plain(root)
  const result = schema.safeParse(value, { error: words })
  if (result.success) return []
  const found = result.error.issues.flatMap(issue => findings(root, schema, value, issue, [], known))
  // A key that is missing only because its name was misspelt is one mistake, not two.
  return found.filter(
    ({ misses, path }) =>
      misses === undefined || !found.some(f => f.meant === misses && pathText(f.path.slice(0, -1)) === pathText(path)),
  )
}

interface SchemaFinding extends Finding {
  /** The known key an unknown one was meant to be. */
  readonly meant?: string
  /** The key that is not there. */
  readonly misses?: string
}

function findings(
  root: Node,
  schema: z.ZodType,
  value: unknown,
  issue: Issue,
  before: Path,
  known: readonly string[],
): readonly SchemaFinding[] {
  const path = [...before, ...issue.path]
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map(name =>
      unknownKey(name, path, [...keysAt(schema, path, value), ...(path.length ? [] : known)]),
    )
  if (issue.code === 'invalid_key') {
    const [why] = issue.issues
    return [{ path, on: 'key', message: `${pathText(path)}: ${why?.message ?? issue.message}` }]
  }
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    // The alternative that was meant is the one that takes a value of this kind at all.
    const meant =
      issue.errors.find(e => !e.some(i => i.code === 'invalid_type' && i.path.length === 0)) ?? issue.errors[0]
    return (meant ?? []).flatMap(i => findings(root, schema, value, i, path, known))
  }
  const node = nodeAt(root, path)
  // An item of a list is described by the list's key.
  const named = typeof path.at(-1) === 'number' ? path.slice(0, -1) : path
  const facts = lookAt(schema, path, value)?.facts
  const about = facts?.description === undefined ? lookAt(schema, named, value)?.facts : facts
  if (node === undefined && path.length > 0) return [missing(path, facts, issue)]
  const written = node?.kind === 'text' && node.text !== null && node.text !== '' ? `, not "${short(node.text)}"` : ''
  const place = pathText(path)
  const message = `${place === '' ? '' : `${place}: `}${issue.message}${written}`
  return [
    withHint(
      { path, on: 'value', message },
      hintFor(node, facts, issue) ?? exampleHint(about, String(named.at(-1) ?? '')) ?? about?.description,
    ),
  ]
}

function keysAt(schema: z.ZodType, path: Path, value: unknown): readonly string[] {
  const shape = lookAt(schema, path, value)?.shape
  return shape?.kind === 'map' ? Object.keys(shape.keys) : []
}

function unknownKey(name: string, path: Path, known: readonly string[]): SchemaFinding {
  const meant = nearest(name, known)
  return {
    path: [...path, name],
    on: 'key',
    message: `unknown key "${short(name)}"${path.length > 0 ? ` in ${pathText(path)}` : ''}`,
    hint: suggestion(name, known),
    ...(meant === undefined ? {} : { meant }),
  }
}

function missing(path: Path, facts: Facts | undefined, issue: Issue): SchemaFinding {
  const parent = path.slice(0, -1)
  const place = parent.length > 0 ? ` in ${pathText(parent)}` : ''
  const name = String(path.at(-1))
  const provider = issue.code === 'invalid_union' && 'options' in issue ? (issue.options as readonly unknown[]) : null
  const hint =
    provider !== null
      ? `write ${name}: one of ${provider.map(String).join(', ')}`
      : [facts?.description, exampleHint(facts, name)].filter(Boolean).join(' ')
  const finding = { path: parent, on: 'key', message: `"${name}" is missing${place}`, misses: name } as const
  return withHint(finding, hint || undefined)
}

function hintFor(node: Node | undefined, facts: Facts | undefined, issue: Issue): string | undefined {
  const text = node?.kind === 'text' ? node.text : undefined
  if (issue.code === 'custom' && typeof issue.params?.['hint'] === 'string') return issue.params['hint']
  if (text === null) return 'write a value, or remove the key'
  if (issue.code === 'invalid_union' && 'options' in issue)
    return suggestion(text ?? '', (issue.options as string[]).map(String))
  if (facts?.kind === 'true or false') {
    const meant = /^(yes|on|y|1|true)$/i.test(text ?? '')
      ? 'true'
      : /^(no|off|n|0|false)$/i.test(text ?? '')
        ? 'false'
        : null
    return meant === null ? 'write true or false' : `write ${meant}`
  }
  if (issue.code === 'invalid_value' && text !== undefined) return suggestion(text, issue.values.map(String))
  return undefined
}

const exampleHint = (facts: Facts | undefined, name: string): string | undefined => {
  const [example] = facts?.examples ?? []
  if (example === undefined || name === '') return undefined
  const value = typeof example === 'string' ? example : JSON.stringify(example)
  return `for example: ${name}: ${value}`
}

const withHint = <F extends Finding>(finding: F, hint: string | undefined): F =>
  hint === undefined ? finding : { ...finding, hint }
const short = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}…` : text).replaceAll('\n', '\\n')

/** Characters of a line shown on either side of the caret: a JSON file may be one line. */
const around = 60

/** A problem as text: place and message, the line, a caret below it, and what to write instead. */
export function formatProblem({ file, line, column, source, message, hint }: Problem): string {
  const from = Math.max(0, column - 1 - around)
  const shown = source.slice(from, column - 1 + around)
  const head = from > 0 ? '…' : ''
  const tail = from + shown.length < source.length ? '…' : ''
  // Tabs are kept, so that the caret stands below its character however wide a tab is.
  const blank = `${head}${shown.slice(0, column - 1 - from)}`.replace(/[^\t]/g, ' ')
  const gutter = ' '.repeat(String(line).length)
  return [
    `${file}:${line}:${column}: ${message}`,
    ` ${line} | ${head}${shown}${tail}`,
    ` ${gutter} | ${blank}^`,
    ...(hint === undefined ? [] : [` ${gutter} = ${hint}`]),
  ].join('\n')
}

/** Problems in the order of their places, each once. */
export function tidy(problems: readonly Problem[]): readonly Problem[] {
  const seen = new Map(problems.map(p => [`${p.file}\0${p.line}\0${p.column}\0${p.message}`, p]))
  const files = [...new Set(problems.map(p => p.file))]
  return [...seen.values()].sort(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column,
  )
}
