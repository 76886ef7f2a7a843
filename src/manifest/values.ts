/**
 * The kinds of value a manifest is made of. A YAML scalar reaches these schemas as the text that was written (or null), so that
 * `1.10` stays `1.10`; each kind says what text it takes and what it becomes.
 */
import { z } from 'zod'

/** What a key says about itself; the JSON Schema, the reference page and the error messages are made from it. */
export interface KeyFacts {
  readonly description: string
  readonly example?: unknown
  /** `${{ }}` look-ups may stand in this scalar. */
  readonly lookups?: boolean
  /** The JSON Schema of what is written, where it differs from "a string". */
  readonly written?: Readonly<Record<string, unknown>>
}

declare module 'zod' {
  interface GlobalMeta {
    lookups?: boolean
    written?: Readonly<Record<string, unknown>>
  }
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
    .min(1)

const written = (json: Readonly<Record<string, unknown>>) => ({ written: json })

/** A whole number between two bounds. */
export const integer = (min: number, max: number) =>
  z
    .string({ error: 'a whole number is expected' })
    .regex(/^\d+$/, 'a whole number is expected')
    .transform(Number)
    .refine(n => n >= min && n <= max, `a whole number from ${min} to ${max} is expected`)
    .meta(written({ type: 'integer', minimum: min, maximum: max }))

/** `true` or `false`; `yes`, `on` and their like are text in YAML 1.2 and an error here. */
export const bool = () =>
  z
    .enum(['true', 'false'], { error: 'write true or false' })
    .transform(v => v === 'true')
    .meta(written({ type: 'boolean' }))

const unit = { ms: 0.001, s: 1, m: 60, h: 3600 } as const

/** A duration in seconds: `90`, `0.2`, `90s`, `2m`, `1h`. */
export const duration = () =>
  z
    .string({ error: 'a duration is expected: a number of seconds, or 90s, 2m, 1h' })
    .regex(/^\d+(\.\d+)?(ms|s|m|h)?$/, 'a duration is expected: a number of seconds, or 90s, 2m, 1h')
    .transform(v => {
      const suffix = /[a-z]+$/.exec(v)?.[0] as keyof typeof unit | undefined
      return Number.parseFloat(v) * (suffix ? unit[suffix] : 1)
    })
    .meta(
      written({
        anyOf: [
          { type: 'number', minimum: 0 },
          { type: 'string', pattern: '^\\d+(\\.\\d+)?(ms|s|m|h)?$' },
        ],
      }),
    )

/** `3` or `25%` of the servers concerned. */
export type Share = { readonly count: number } | { readonly percent: number }

export const share = () =>
  z
    .string({ error: 'a number of servers or a percentage is expected: 3 or 25%' })
    .regex(/^\d+%?$/, 'a number of servers or a percentage is expected: 3 or 25%')
    .transform((v): Share => (v.endsWith('%') ? { percent: Number.parseInt(v, 10) } : { count: Number(v) }))
    .refine(v => !('percent' in v) || v.percent <= 100, 'at most 100% is expected')
    .meta(
      written({
        anyOf: [
          { type: 'integer', minimum: 0 },
          { type: 'string', pattern: '^\\d+%?$' },
        ],
      }),
    )

/** A list; one thing alone may be written without its list. */
export const oneOrMany = <T extends z.ZodType>(item: T) =>
  z.preprocess(v => (v === null ? [] : Array.isArray(v) ? v : [v]), z.array(item)).prefault([])

export const names = () => oneOrMany(text())
