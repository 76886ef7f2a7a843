/**
 * The kinds of value a manifest is made of. A YAML scalar reaches these schemas as the text that was written (or null), so that
 * `1.10` stays `1.10`; each kind says what text it takes and what it becomes.
 */
import { z } from 'zod'
import type { NameGroup } from './lookup-names.ts'
import { outsideWorkspace } from './workspace-path.ts'

/** What a key says about itself; the JSON Schema, the reference page and the error messages are made from it. */
export interface KeyFacts {
  readonly description?: string
  readonly example?: unknown
  /** `${{ }}` look-ups of these groups may stand in this scalar; absent: none may. */
  readonly lookups?: readonly NameGroup[]
  /** A shell script: never interpolated. */
  readonly script?: boolean
  /** The JSON Schema of what is written, where it differs from what Zod says of the text. */
  readonly written?: Readonly<Record<string, unknown>>
  /** The type in a word or two, for the reference page. */
  readonly kind?: string
  /** The key has to be there although its schema has a default (an empty list, that is refused with a message of its own). */
  readonly required?: boolean
  /** A map that may be written as the text of this key alone. */
  readonly just?: string
  /** A list that may also be given as the path of a file with it. */
  readonly orFile?: boolean
  /** A part that is described once, under this name. */
  readonly part?: string
}

declare module 'zod' {
  interface GlobalMeta extends Omit<KeyFacts, 'example' | 'description'> {}
}

/** Attaches what a key says about itself to its schema. */
export function key<T extends z.ZodType>(schema: T, facts: KeyFacts): T {
  const { example, ...rest } = facts
  return schema.meta({ ...rest, ...(example === undefined ? {} : { examples: [example] }) }) as T
}

export const text = () =>
  z
    .string({
      error: issue => (issue.input === null ? 'a text is expected, nothing stands here' : 'a text is expected'),
    })
    .min(1, 'a text is expected, this one is empty')

/** A whole number between two bounds. */
export const integer = (min: number, max: number) =>
  z
    .string({ error: 'a whole number is expected' })
    .regex(/^\d{1,15}$/, 'a whole number is expected')
    .transform(Number)
    .refine(n => n >= min && n <= max, `a whole number from ${min} to ${max} is expected`)
    .meta({ written: { type: 'integer', minimum: min, maximum: max }, kind: `whole number, ${min} to ${max}` })

/** `true` or `false`; `yes`, `on` and their like are text in YAML 1.2 and an error here. */
export const bool = () =>
  z
    .enum(['true', 'false'], { error: 'true or false is expected' })
    .transform(v => v === 'true')
    .meta({ written: { type: 'boolean' }, kind: 'true or false' })

const unit = { ms: 0.001, s: 1, m: 60, h: 3600 } as const
const aDuration = 'a duration is expected: a number of seconds, or 90s, 2m, 1h'
/** Node's timers hold 24.8 days; nothing in a deployment takes a week. */
const longest = 168 * 3600

/** A duration in seconds: `90`, `0.2`, `90s`, `2m`, `1h`. At most 168h. */
export const duration = () =>
  z
    .string({ error: aDuration })
    .regex(/^\d{1,15}(\.\d{1,15})?(ms|s|m|h)?$/, aDuration)
    .transform(v => {
      const suffix = /[a-z]+$/.exec(v)?.[0] as keyof typeof unit | undefined
      return Number.parseFloat(v) * (suffix ? unit[suffix] : 1)
    })
    .refine(s => s <= longest, 'at most 168h is expected')
    .meta({
      written: {
        anyOf: [
          { type: 'number', minimum: 0, maximum: longest },
          { type: 'string', pattern: '^\\d{1,15}(\\.\\d{1,15})?(ms|s|m|h)?$' },
        ],
      },
      kind: 'duration',
    })

/** A duration that has to leave time for something: more than 0. */
export const timeLimit = () => duration().refine(s => s > 0, 'more than 0 is expected')

/** `3` or `25%` of the servers concerned. */
export type Share = { readonly count: number } | { readonly percent: number }

const aShare = 'a number of servers or a percentage is expected: 3 or 25%'
export const share = () =>
  z
    .string({ error: aShare })
    .regex(/^\d{1,9}%?$/, aShare)
    .transform((v): Share => (v.endsWith('%') ? { percent: Number.parseInt(v, 10) } : { count: Number(v) }))
    .refine(v => !('percent' in v) || v.percent <= 100, 'at most 100% is expected')
    .meta({
      written: {
        anyOf: [
          { type: 'integer', minimum: 0 },
          { type: 'string', pattern: '^\\d{1,9}%?$' },
        ],
      },
      kind: 'share',
    })

/** A share of at least one server. */
export const someShare = () =>
  share().refine(v => ('percent' in v ? v.percent : v.count) > 0, 'at least 1, or 1%, is expected')

/** A list; one thing alone may be written without its list. */
export const oneOrMany = <T extends z.ZodType>(item: T) =>
  z.preprocess(v => (v === null ? [] : Array.isArray(v) ? v : [v]), z.array(item)).prefault([])

/** The same, where a list that is not there means something else than an empty one. */
export const oneOrManyIfAny = <T extends z.ZodType>(item: T) =>
  z
    .preprocess(v => (v === undefined || Array.isArray(v) ? v : v === null ? [] : [v]), z.array(item).optional())
    .optional()

/** A map that may be written as the text of one of its keys alone. */
export const orJust = <T extends z.ZodType>(name: string, map: T) =>
  z.preprocess(v => (typeof v === 'string' ? { [name]: v } : v), map).meta({ just: name })

export const names = () => oneOrMany(text())

/** Refinements of a map run also when a key of it is wrong, so that all problems come at once. */
export const always = (message: string, hint: string) => ({ message, params: { hint }, when: () => true })

/** A path inside the workspace, as far as its text says. */
export const workspacePath = () =>
  text().refine(path => outsideWorkspace(path) === null, {
    error: issue => outsideWorkspace(String(issue.input)) ?? undefined,
  })
