/** The reference page of the manifest, in Markdown, from the schema. */
import { z } from 'zod'
import { fixedNames, type NameGroup, namesOf } from './lookup-names.ts'
import { manifestSchema, providers } from './schema.ts'
import { type Facts, literalOf, look, type Shape } from './shape.ts'

type Keys = Readonly<Record<string, z.ZodType>>
interface Section {
  readonly title: string
  readonly note?: string
  readonly keys: Keys
}

/** The page as text; the same on every run. */
export function referencePage(): string {
  return `${[intro(), ...sections().map(sectionText), environmentsText()].join('\n\n')}\n`
}

/** Where a section's keys stand: in a part of its own, at a path below it. */
interface Spot {
  readonly part: string
  readonly path: string
}

const titleOf = ({ part, path }: Spot): string =>
  [part, path === '' ? '' : code(path)].filter(Boolean).join(': ') || 'Top level'
const below = ({ part, path }: Spot, name: string): Spot => ({ part, path: path === '' ? name : `${path}.${name}` })

function sections(): readonly Section[] {
  const found = new Map<string, Section>()
  const add = (spot: Spot, keys: Keys, note?: string) => {
    const title = titleOf(spot)
    if (found.has(title)) return
    found.set(title, { title, keys, ...(note === undefined ? {} : { note }) })
    for (const [key, schema] of Object.entries(keys)) walk(below(spot, key), schema)
  }
  const walk = (here: Spot, schema: z.ZodType): void => {
    const { shape, facts } = look(schema)
    const spot: Spot = facts.part === undefined ? here : { part: `A ${facts.part}`, path: '' }
    if (shape.kind === 'list') walk({ ...spot, path: `${spot.path}[]` }, shape.item)
    else if (shape.kind === 'record') walk(below(spot, '<name>'), shape.value)
    else if (shape.kind === 'choice' && shape.by !== null) balancers(spot)
    else if (shape.kind === 'choice') for (const option of shape.of) walk(spot, option)
    else if (shape.kind === 'map')
      add(spot, shape.keys, facts.just && `May be written as the text of \`${facts.just}\` alone.`)
  }
  const balancers = (spot: Spot) => {
    const all = Object.values(providers).map(keysOf)
    const isShared = (key: string) => key !== 'provider' && all.every(keys => key in keys)
    const only = (keys: Keys, wanted: (key: string) => boolean): Keys =>
      Object.fromEntries(Object.entries(keys).filter(([key]) => wanted(key)))
    const names = Object.keys(providers).map(code).join(', ')
    add(spot, only(all[0] ?? {}, isShared), `\`provider\` is required: ${names}. These keys are for all of them:`)
    for (const keys of all)
      add(
        { part: `Provider ${literalOf(keys['provider'])}`, path: '' },
        only(keys, key => !isShared(key) && key !== 'provider'),
      )
  }
  add({ part: '', path: '' }, manifestSchema.shape)
  return [...found.values()]
}

const keysOf = (schema: z.ZodType): Keys => {
  const { shape } = look(schema)
  return shape.kind === 'map' ? shape.keys : {}
}
const code = (text: string) => `\`${text}\``
const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')

const sectionText = ({ title, note, keys }: Section): string =>
  [
    `## ${title}`,
    ...(note === undefined ? [] : ['', note]),
    '',
    '| key | type | default | meaning | look-ups |',
    '|---|---|---|---|---|',
    ...Object.entries(keys).map(([key, schema]) => {
      const { shape, facts } = look(schema)
      const [example] = facts.examples ?? []
      const shown = typeof example === 'string' ? example : JSON.stringify(example)
      const meaning = `${facts.description ?? ''}${example === undefined ? '' : ` For example ${code(shown)}.`}`
      return `| ${[code(key), typeOf(shape, facts), fallbackOf(facts), meaning, lookupsOf(schema)].map(cell).join(' | ')} |`
    }),
  ].join('\n')

function typeOf(shape: Shape, facts: Facts): string {
  if (facts.kind !== undefined) return facts.kind
  if (shape.kind === 'list') {
    const { shape: item, facts: own } = look(shape.item)
    return `list: ${typeOf(item, own)}${facts.orFile ? ', or a file' : ''}`
  }
  if (shape.kind === 'record') {
    const { shape: value, facts: own } = look(shape.value)
    return `map by name: ${typeOf(value, own)}`
  }
  if (shape.kind === 'choice')
    return shape.by !== null ? 'load balancer' : shape.of.map(o => typeOf(look(o).shape, look(o).facts)).join(' or ')
  if (shape.kind === 'map') return facts.part ?? 'map'
  if (shape.schema instanceof z.ZodEnum) return shape.schema.options.map(word => code(String(word))).join(', ')
  return facts.script ? 'script' : facts.nullable ? 'text or nothing' : 'text'
}

function fallbackOf({ fallback, optional }: Facts): string {
  if (!optional) return '**required**'
  return typeof fallback === 'string' ? code(fallback) : ''
}

/** The groups of names that may be looked up in a key's text, or in the texts of its list or map. */
function lookupsOf(schema: z.ZodType): string {
  const { shape, facts } = look(schema)
  if (facts.lookups !== undefined) return facts.lookups.join(', ')
  if (shape.kind === 'list' && look(shape.item).shape.kind === 'scalar') return lookupsOf(shape.item)
  return shape.kind === 'record' && look(shape.value).shape.kind === 'scalar' ? lookupsOf(shape.value) : ''
}

const intro = () => `# The manifest

One YAML file, \`deploy.yml\` by default. An unknown key is an error. This page is generated from the schema.

- A duration is a number of seconds, or \`90s\`, \`2m\`, \`1h\`, at most 168h.
- A share is a number of servers, or \`25%\` of the servers concerned: rounded down, at least 1; for \`min_in_service\` rounded up.
- A list of one may be written without its list.
- Text stays as written: \`1.10\` is not 1.1, \`yes\` and \`on\` are text.
- A script is never interpolated: it reads environment variables.

## Look-ups

\`\${{ name }}\` stands for one value: no functions, no operators. Which names may stand at a key is in its last column:

| group | names |
|---|---|
${(Object.keys(fixedNames) as NameGroup[]).map(group => `| ${group} | ${namesOf([group]).map(code).join(', ')} |`).join('\n')}

\`release.path\` is the directory of the release itself, as \`DEPLOY_RELEASE_PATH\` in scripts. \`pull_request.number\` has a value in previews only.`

const environmentsText = () => `## ${code('environments.<name>')}

Any key of the top level but \`application\`, \`previews\` and \`environments\`, laid over the rest: maps merge, lists replace, \`null\` removes. Once
the manifest has \`environments\`, the input \`environment\` is required.`
