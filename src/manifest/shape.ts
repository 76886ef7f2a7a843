/** What a schema looks like from outside: a map, a list, a choice or a scalar, with what its key says about itself. */
import { z } from 'zod'
import type { KeyFacts } from './values.ts'

export interface Facts extends Omit<KeyFacts, 'example'> {
  readonly examples?: readonly unknown[]
  /** What is read when the key is not there, as written. */
  readonly fallback?: unknown
  readonly nullable?: boolean
  /** The key may be left out. */
  readonly optional: boolean
}

export type Shape =
  | { readonly kind: 'map'; readonly keys: Readonly<Record<string, z.ZodType>> }
  | { readonly kind: 'record'; readonly name: z.ZodType; readonly value: z.ZodType }
  | { readonly kind: 'list'; readonly item: z.ZodType }
  /** `by`: the key whose value says which one it is. */
  | { readonly kind: 'choice'; readonly of: readonly z.ZodType[]; readonly by: string | null }
  | { readonly kind: 'scalar'; readonly schema: z.ZodType }

export interface Look {
  readonly shape: Shape
  readonly facts: Facts
}

// Zod's own accessors give its core types, whose classes are these.
const inner = (schema: unknown): z.ZodType => schema as z.ZodType

/** Looks through defaults, transforms and their like; facts further out win. */
export function look(schema: z.ZodType): Look {
  const facts: { -readonly [K in keyof Facts]: Facts[K] } = { optional: schema._zod.optin !== undefined }
  let at = schema
  for (;;) {
    const own = at.meta() ?? {}
    Object.assign(facts, { ...own, ...facts })
    if (at instanceof z.ZodPrefault || at instanceof z.ZodDefault) {
      if (facts.fallback === undefined) facts.fallback = at.def.defaultValue
      at = inner(at.def.innerType)
    } else if (at instanceof z.ZodNullable) {
      facts.nullable = true
      at = inner(at.def.innerType)
    } else if (at instanceof z.ZodOptional) at = inner(at.def.innerType)
    else if (at instanceof z.ZodPipe) at = inner(at.def.in instanceof z.ZodTransform ? at.def.out : at.def.in)
    else break
  }
  if (facts.required) facts.optional = false
  return { shape: shapeOf(at), facts }
}

function shapeOf(schema: z.ZodType): Shape {
  if (schema instanceof z.ZodObject) return { kind: 'map', keys: schema.shape as Record<string, z.ZodType> }
  if (schema instanceof z.ZodRecord)
    return { kind: 'record', name: inner(schema.def.keyType), value: inner(schema.def.valueType) }
  if (schema instanceof z.ZodArray) return { kind: 'list', item: inner(schema.def.element) }
  if (schema instanceof z.ZodDiscriminatedUnion)
    return { kind: 'choice', of: schema.def.options.map(inner), by: schema.def.discriminator }
  if (schema instanceof z.ZodUnion) return { kind: 'choice', of: schema.def.options.map(inner), by: null }
  return { kind: 'scalar', schema }
}

/** The text a literal (a balancer's `provider`) stands for. */
export const literalOf = (schema: z.ZodType | undefined): string | null =>
  schema instanceof z.ZodLiteral ? String([...schema.values][0]) : null

/** Of a choice, the schema for a value as written; undefined: it cannot be told (a balancer without its provider). */
export function chosen(shape: Shape & { kind: 'choice' }, value: unknown): z.ZodType | undefined {
  const { by } = shape
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (by === null) return shape.of.find(option => (look(option).shape.kind === 'map') === isMap)
  const named = isMap ? (value as Record<string, unknown>)[by] : undefined
  return shape.of.find(option => {
    const { shape: one } = look(option)
    return one.kind === 'map' && literalOf(one.keys[by]) === named
  })
}

/** What the schema says at a path of a value as written; undefined: nothing known stands there. */
export function lookAt(schema: z.ZodType, path: readonly PropertyKey[], value: unknown): Look | undefined {
  const here = look(schema)
  const { shape } = here
  if (shape.kind === 'choice') {
    const option = chosen(shape, value)
    if (path.length > 0) return option === undefined ? undefined : lookAt(option, path, value)
    const one = option === undefined ? undefined : look(option)
    return one === undefined ? here : { shape: one.shape, facts: { ...one.facts, ...here.facts } }
  }
  const [part, ...rest] = path
  if (part === undefined) return here
  const below: unknown = typeof value === 'object' && value !== null ? Reflect.get(value, part) : undefined
  const next =
    shape.kind === 'map'
      ? Object.hasOwn(shape.keys, part)
        ? shape.keys[String(part)]
        : undefined
      : shape.kind === 'record'
        ? shape.value
        : shape.kind === 'list'
          ? shape.item
          : undefined
  return next === undefined ? undefined : lookAt(next, rest, below)
}
