import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { referencePage } from '../../src/manifest/reference.ts'
import { manifestSchema, providerNames } from '../../src/manifest/schema.ts'
import { type Json, jsonSchema } from '../../src/manifest/schema-json.ts'
import { look } from '../../src/manifest/shape.ts'
import { base, problems } from './reading.ts'

const schema = jsonSchema()
const checker = z.fromJSONSchema(schema)
/** What an editor says: YAML 1.2 as JSON sees it, against the schema. */
const accepts = (text: string): boolean => checker.safeParse(parse(text)).success
const fixture = (name: string) => readFileSync(new URL(`fixtures/${name}`, import.meta.url), 'utf8')
const at = (...path: readonly string[]): Json => path.reduce((json, part) => json[part] as Json, schema)

describe('the JSON Schema', () => {
  it.each(['small.yml', 'large.yml'])('accepts the example %s', name => expect(accepts(fixture(name))).toBe(true))

  it.each([
    'activate: sudo systemctl restart x',
    'activate: [a, {run: b, timeout: 5m, retry: 3, once: true}, {run: c, retry: {attempts: 2, delay: 1s}}]',
    'activate:',
    'migrate: bin/rails db:migrate',
    'migrate: {run: x, roles: web, paths: db/}',
    'env: {A: 1, B: 1.10, C: yes, D: true, E: null, F: ""}',
    'secrets: TOKEN',
    'verify: {http: {port: 3000, path: /up, expect: {status: 200}}, timeout: 1.5}',
    'verify: [{http: {expect: {status: [200-299, 404]}}}, {tcp: {port: 1}}, {command: x}]',
    'rollout: {min_in_service: 25%, max_failures: 1, lock_wait: 0}',
    'rollout: {min_in_service: 0}',
    'release: {path: /srv/x, exclude: "*.map", shared: [log/]}',
    'load_balancers: {e: {provider: haproxy, backends: [b], hosts: [h, {host: i, port: 22}]}}',
    'load_balancers: {e: {provider: command, remove: r, drained: d, add: a, serving: s, on: server}}',
    'env: {A: 1}\nenvironments: {p: , q: {shell: sh, env: {A: null}, migrate: null, ssh: {user: x}}}',
    'load_balancers: {e: {provider: haproxy, backends: [b], hosts: [h]}}\nenvironments: {p: {load_balancers: {e: {wait_after_adding_servers: 5}}}, q: {load_balancers: {e: null}}}',
    'environments: {p: {rollout: {max_parallelism: 3}}, q: {servers: [h]}, r: {servers: {host: h}}}',
  ])('accepts what is read: %s', text => {
    expect(problems(text)).toEqual([])
    expect(accepts(base + text)).toBe(true)
  })

  it.each([
    'activate: {rum: x}',
    'activate: {shell: sh}',
    'activate: {run: x, once: "yes"}',
    'shell: zsh',
    'unknown: 1',
    'application: A B',
    'release: {}',
    'release: {path: srv}',
    'rollout: {max_parallelism: 0}',
    'rollout: {max_parallelism: ten}',
    'rollout: {groups: [{strategy: serial}]}',
    'env: {1A: x}',
    'load_balancers: {e: {provider: haproxi}}',
    'load_balancers: {e: {provider: haproxy, hosts: [h]}}',
    'load_balancers: {"a b": {provider: haproxy, backends: b, hosts: h}}',
    'verify: {http: {port: 99999}}',
    'environments: {p: {shell: zsh}}',
    'environments: {p: {environments: {}}}',
    'environments: {p: {activate: [{shell: sh}]}}',
    'environments: {}',
  ])('refuses what is refused: %s', text => {
    const again = text.startsWith('application') ? base.replace('application: site\n', '') : base
    expect(problems(text)).not.toEqual([])
    expect(accepts(again + text)).toBe(false)
  })

  it('names its draft, and every reference in it leads somewhere', () => {
    expect(schema['$schema']).toBe('https://json-schema.org/draft/2020-12/schema')
    const text = JSON.stringify(schema)
    const used = new Set([...text.matchAll(/"#\/\$defs\/([^"]+)"/g)].map(m => m[1]))
    expect([...used].sort()).toEqual(Object.keys(at('$defs')).sort())
    expect(text).not.toContain('"lookups"')
    expect(text).not.toContain('"written"')
  })
  it('requires what is required, and nothing in an environment', () => {
    expect(schema['required']).toEqual(['application'])
    expect(at('properties', 'release')['required']).toEqual(['path'])
    const [environment] = at('properties', 'environments', 'additionalProperties')['anyOf'] as readonly Json[]
    expect(environment).not.toHaveProperty('required')
    expect(Object.keys(environment?.['properties'] as Json)).not.toContain('previews')
  })
  it('has descriptions, defaults and examples as they are written', () => {
    expect(at('properties', 'rollout', 'properties', 'max_parallelism')).toEqual({
      description: 'Step runs at any one time, the whole deployment over.',
      default: 10,
      type: 'integer',
      minimum: 1,
      maximum: 10_000,
    })
    expect(at('$defs', 'step', 'anyOf', '1', 'properties', 'once')).toMatchObject({ type: 'boolean', default: false })
    expect(at('$defs', 'step', 'anyOf', '1', 'properties', 'timeout')).toMatchObject({
      $ref: '#/$defs/duration',
      default: '30m',
    })
    expect(at('properties', 'application')).toMatchObject({ examples: ['storefront'] })
  })
  it('is the same every time', () => expect(JSON.stringify(jsonSchema())).toBe(JSON.stringify(schema)))
})

describe('the reference page', () => {
  const page = referencePage()
  /** Every key of the schema, wherever it is. */
  const keys = (s: z.ZodType): readonly string[] => {
    const { shape } = look(s)
    if (shape.kind === 'map') return Object.entries(shape.keys).flatMap(([name, inner]) => [name, ...keys(inner)])
    if (shape.kind === 'list') return keys(shape.item)
    if (shape.kind === 'record') return keys(shape.value)
    return shape.kind === 'choice' ? shape.of.flatMap(keys) : []
  }
  it('has a row for every key, and every key says what it means', () => {
    for (const name of new Set(keys(manifestSchema)))
      if (name !== 'provider') expect(page).toContain(`\n| \`${name}\` | `)
    for (const row of page.split('\n').filter(l => /^\| `/.test(l) && l.split(' | ').length >= 5))
      expect(row.split(' | ')[3]).not.toBe('')
  })
  it('has a section for every provider', () => {
    for (const name of providerNames) expect(page).toContain(`\n## Provider ${name}\n`)
  })
  it('shows type, default, meaning and look-ups', () => {
    expect(page).toContain(
      '| `max_parallelism` | whole number, 1 to 10000 | `10` | Step runs at any one time, the whole deployment over. |  |',
    )
    expect(page).toContain(
      '| `application` | text | **required** | The name of what is deployed. For example `storefront`. |  |',
    )
    expect(page).toContain('| `url` | text |  | Where the environment is reached. | deployment, release, env |')
    expect(page).toContain('| `shell` | `bash`, `sh`, `bash -l` | `bash` |')
    expect(page).toContain('| `run` | script | **required** |')
  })
  it('describes no section twice', () => {
    const titles = page.split('\n').filter(l => l.startsWith('## '))
    expect(new Set(titles).size).toBe(titles.length)
  })
  it('has tables whose rows have as many cells as their heads', () => {
    for (const table of page.split(/\n\n/).filter(t => t.includes('\n|---')))
      expect(
        new Set(
          table
            .split('\n')
            .filter(l => l.startsWith('|'))
            .map(l => l.replaceAll('\\|', '').split('|').length),
        ).size,
      ).toBe(1)
  })
})
