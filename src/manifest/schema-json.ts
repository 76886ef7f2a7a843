/** The JSON Schema of the manifest (draft 2020-12), for editors: what is written, not what it becomes. */
import { z } from 'zod'
import { manifestSchema, name } from './schema.ts'
import { type Facts, look, type Shape } from './shape.ts'
import { variables } from './step-schema.ts'
import { duration, names, share, text } from './values.ts'

export type Json = Readonly<Record<string, unknown>>

/** Parts that are described once: `#/$defs/step`. */
type Parts = Map<string, Json>

/** The schema as a value; the same on every run. */
export function jsonSchema(): Json {
  const parts: Parts = new Map()
  const whole = jsonOf(manifestSchema, parts) as { readonly properties: Readonly<Record<string, Json>> }
  const { previews: _previews, application: _application, ...inEnvironment } = whole.properties
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Deploy manifest',
    ...whole,
    properties: {
      ...whole.properties,
      environments: {
        description: 'Laid over the rest: maps merge, lists replace, null removes.',
        type: 'object',
        minProperties: 1,
        propertyNames: leaf(name()),
        additionalProperties: orNull({
          type: 'object',
          additionalProperties: false,
          properties: Object.fromEntries(Object.entries(inEnvironment).map(([k, v]) => [k, partial(v, parts)])),
        }),
      },
    },
    $defs: Object.fromEntries(parts),
  }
}

function jsonOf(schema: z.ZodType, parts: Parts): Json {
  const { shape, facts } = look(schema)
  const own = () => shapeJson(shape, facts, parts)
  const json = facts.part === undefined ? own() : part(facts.part, own, parts)
  const kind = common.get(JSON.stringify(json))
  return { ...about(facts), ...(kind === undefined ? json : part(kind, () => json, parts)) }
}

function part(title: string, json: () => Json, parts: Parts): Json {
  if (!parts.has(title)) parts.set(title, json())
  return { $ref: `#/$defs/${title}` }
}

function shapeJson(shape: Shape, facts: Facts, parts: Parts): Json {
  if (shape.kind === 'list') {
    const item = jsonOf(shape.item, parts)
    const file: readonly Json[] = facts.orFile ? [{ type: 'string', description: 'Path of a file with the list.' }] : []
    const one = file.length === 0 || look(shape.item).facts.just === undefined ? item : mapOnly(shape.item, parts)
    const list = { type: 'array', items: item, ...(facts.required ? { minItems: 1 } : {}) }
    return { anyOf: [...file, one, list, ...(facts.required ? [] : [{ type: 'null' }])] }
  }
  if (shape.kind === 'choice') return { anyOf: shape.of.map(option => jsonOf(option, parts)) }
  if (shape.kind === 'record')
    return { type: 'object', propertyNames: leaf(shape.name), additionalProperties: jsonOf(shape.value, parts) }
  if (shape.kind === 'scalar') {
    const json = facts.written === undefined ? leaf(shape.schema) : facts.written
    return facts.nullable ? orNull(json) : json
  }
  const map = mapJson(shape.keys, parts)
  return facts.just === undefined ? map : { anyOf: [{ ...scalarText, minLength: 1 }, map] }
}

/** A server that stands alone instead of its list is a map: its text would be the path of a file. */
function mapOnly(schema: z.ZodType, parts: Parts): Json {
  const { shape } = look(schema)
  return shape.kind === 'map' ? mapJson(shape.keys, parts) : jsonOf(schema, parts)
}

function mapJson(keys: Readonly<Record<string, z.ZodType>>, parts: Parts): Json {
  const required = Object.entries(keys).flatMap(([key, schema]) => (look(schema).facts.optional ? [] : [key]))
  return {
    type: 'object',
    additionalProperties: false,
    properties: Object.fromEntries(Object.entries(keys).map(([key, schema]) => [key, jsonOf(schema, parts)])),
    ...(required.length > 0 ? { required } : {}),
  }
}

/** Text may be written without quotes even where YAML makes a number or a boolean of it: it is read as written. */
const scalarText = { type: ['string', 'number', 'boolean'] } as const

/** A scalar as Zod describes it. */
function leaf(schema: z.ZodType): Json {
  const { $schema: _schema, format: _format, ...json } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })
  const own = Object.fromEntries(
    Object.entries(json).filter(([key]) => ['type', 'enum', 'const', 'pattern', 'minLength', 'allOf'].includes(key)),
  )
  return own['type'] === 'string' && own['enum'] === undefined && own['const'] === undefined
    ? { ...own, ...scalarText }
    : own
}

/** Kinds of value that stand at so many keys that they are described once; later ones are made of earlier ones. */
const common = new Map<string, string>()
for (const [title, schema] of Object.entries({
  text: text(),
  texts: names(),
  duration: duration(),
  share: share(),
  variables: variables(),
})) {
  const { shape, facts } = look(schema)
  common.set(JSON.stringify(shapeJson(shape, facts, new Map())), title)
}

function orNull(json: Json): Json {
  return { anyOf: [json, { type: 'null' }] }
}

function about({ description, examples, fallback, written }: Facts): Json {
  const empty = fallback === undefined || (typeof fallback === 'object' && Object.keys(fallback ?? {}).length === 0)
  const type = written?.['type']
  return {
    ...(description === undefined ? {} : { description }),
    ...(examples === undefined ? {} : { examples }),
    ...(empty ? {} : { default: type === 'integer' || type === 'boolean' ? JSON.parse(String(fallback)) : fallback }),
  }
}

/** What of a map's schema holds in an overlay: any key may be missing or null; lists are whole, as they replace. */
function partial(json: Json, parts: Parts): Json {
  const { default: _default, ...rest } = json
  return orNull(partialMap(rest, parts))
}

function partialMap(json: Json, parts: Parts): Json {
  const {
    required: _required,
    $ref,
    anyOf,
    properties,
    additionalProperties,
    ...rest
  } = json as {
    readonly required?: unknown
    readonly $ref?: string
    readonly anyOf?: readonly Json[]
    readonly properties?: Readonly<Record<string, Json>>
    readonly additionalProperties?: boolean | Json
  }
  if ($ref !== undefined) {
    const one = parts.get($ref.slice('#/$defs/'.length))
    // Only a part with required keys of its own differs in an overlay.
    return one === undefined || !JSON.stringify(one).includes('"required":')
      ? json
      : { ...rest, ...partialMap(one, parts) }
  }
  if (anyOf?.some(option => option['type'] === 'array')) return json
  return {
    ...rest,
    ...(anyOf === undefined ? {} : { anyOf: anyOf.map(option => partialMap(option, parts)) }),
    ...(properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(properties).map(([k, v]) => [k, partial(v, parts)])) }),
    ...(additionalProperties === undefined
      ? {}
      : {
          additionalProperties:
            typeof additionalProperties === 'object' ? partial(additionalProperties, parts) : additionalProperties,
        }),
  }
}
