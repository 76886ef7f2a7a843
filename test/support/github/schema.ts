/** Checks values against the subset of JSON Schema that OpenAPI 3.0 uses in GitHub's description. Throws on a keyword it does not know. */

export interface Schema {
  readonly [keyword: string]: unknown
}

export type Resolve = (reference: string) => Schema

/** Keywords that say nothing about what fits. */
const silent = new Set(
  'description title default example examples deprecated readOnly writeOnly externalDocs x-multi-segment discriminator'.split(
    ' ',
  ),
)
const known = new Set(
  (
    '$ref type nullable enum format pattern properties required additionalProperties items oneOf anyOf allOf not ' +
    'minimum maximum exclusiveMinimum exclusiveMaximum minLength maxLength minItems maxItems uniqueItems minProperties maxProperties'
  ).split(' '),
)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const types: Readonly<Record<string, (value: unknown) => boolean>> = {
  string: value => typeof value === 'string',
  integer: value => Number.isInteger(value),
  number: value => typeof value === 'number',
  boolean: value => typeof value === 'boolean',
  array: value => Array.isArray(value),
  object: isObject,
}

const formats: Readonly<Record<string, (value: string) => boolean>> = {
  uri: value => URL.canParse(value.replace(/\{[^}]*\}/g, '')),
  'date-time': value => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/.test(value),
  date: value => /^\d{4}-\d\d-\d\d$/.test(value),
}

export interface Checking {
  readonly resolve: Resolve
  /** An object has no other keys than those that are described, unless its schema lets others in. */
  readonly closed: boolean
}

/** What does not fit, one sentence each with the place in the value; empty: all of it fits. */
export function misfits(schema: Schema, value: unknown, checking: Checking, at = ''): readonly string[] {
  const foreign = Object.keys(schema).filter(k => !known.has(k) && !silent.has(k) && !k.startsWith('x-'))
  if (foreign.length > 0) throw new Error(`the validator does not know ${foreign.join(', ')}`)
  const where = at || 'the value'
  if (typeof schema['$ref'] === 'string') return misfits(checking.resolve(schema['$ref']), value, checking, at)
  if (value === null && schema['nullable'] === true) return []
  const inner = (sub: unknown, part: unknown, place: string, more = checking) =>
    misfits(sub as Schema, part, more, place)

  const found: string[] = []
  const type = schema['type']
  if (typeof type === 'string' && types[type]?.(value) !== true)
    return [`${where} is ${value === null ? 'null' : JSON.stringify(value)?.slice(0, 80)}, not of type ${type}`]
  const list = schema['enum']
  if (Array.isArray(list) && !list.includes(value)) found.push(`${where} is none of ${list.join(', ')}`)

  // What several schemas describe together is open in each of them by itself.
  const open = { ...checking, closed: false }
  for (const part of (schema['allOf'] as Schema[] | undefined) ?? []) found.push(...inner(part, value, at, open))
  const any = (schema['anyOf'] ?? schema['oneOf']) as Schema[] | undefined
  if (any !== undefined) {
    const each = any.map(part => inner(part, value, at))
    if (each.every(wrong => wrong.length > 0)) found.push(`${where} fits none of ${any.length}: ${each.flat()[0]}`)
  }
  if (schema['not'] !== undefined && inner(schema['not'], value, at).length === 0)
    found.push(`${where} is what it must not be`)

  if (typeof value === 'string') found.push(...text(schema, value, where))
  if (typeof value === 'number') {
    const { minimum, maximum } = schema as { minimum?: number; maximum?: number }
    if (minimum !== undefined && value < minimum) found.push(`${where} is under ${minimum}`)
    if (maximum !== undefined && value > maximum) found.push(`${where} is over ${maximum}`)
  }
  if (Array.isArray(value)) {
    const { minItems = 0, maxItems = Infinity } = schema as { minItems?: number; maxItems?: number }
    if (value.length < minItems || value.length > maxItems) found.push(`${where} has ${value.length} items`)
    if (schema['items'] !== undefined)
      value.forEach((item, i) => {
        found.push(...inner(schema['items'], item, `${at}[${i}]`))
      })
  }
  if (isObject(value)) {
    const properties = (schema['properties'] ?? {}) as Readonly<Record<string, Schema>>
    for (const name of (schema['required'] as string[] | undefined) ?? [])
      if (value[name] === undefined) found.push(`${at}.${name} is missing`)
    const others = schema['additionalProperties']
    for (const [name, part] of Object.entries(value)) {
      const own = Object.hasOwn(properties, name) ? properties[name] : undefined
      if (own !== undefined) found.push(...inner(own, part, `${at}.${name}`))
      else if (isObject(others)) found.push(...inner(others, part, `${at}.${name}`))
      else if (others === false || (checking.closed && others !== true && schema['properties'] !== undefined))
        found.push(`${at}.${name} is not described`)
    }
  }
  return found
}

function text(schema: Schema, value: string, where: string): readonly string[] {
  const { minLength = 0, maxLength = Infinity, pattern, format } = schema as Readonly<Record<string, never>>
  const found: string[] = []
  if (value.length < minLength) found.push(`${where} is shorter than ${minLength}`)
  if (value.length > maxLength) found.push(`${where} is longer than ${maxLength}`)
  if (pattern !== undefined && !new RegExp(pattern, 'u').test(value)) found.push(`${where} does not match ${pattern}`)
  // GitHub describes an empty address as the default of what is an address.
  const byDefault = value === schema['default']
  if (format !== undefined && !byDefault && formats[format]?.(value) === false) found.push(`${where} is no ${format}`)
  return found
}
