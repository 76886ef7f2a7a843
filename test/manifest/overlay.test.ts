import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readDocument } from '../../src/manifest/document.ts'
import { type Node, placeOf, plain } from '../../src/manifest/node.ts'
import { overlay } from '../../src/manifest/overlay.ts'
import { pointTo } from '../../src/manifest/source.ts'
import { base, problemsIn, readAll } from './reading.ts'

type Value = null | string | readonly Value[] | { readonly [key: string]: Value }

const node = (value: Value): Node => {
  const { root } = readDocument('f.json', JSON.stringify(value))
  if (root === null) throw new Error('not read')
  return root
}
const over = (below: Value, above: Value) => plain(overlay(node(below), node(above)))

const key = fc.constantFrom('a', 'b', 'c', 'd')
const { map, any } = fc.letrec<{ any: Value; map: { [key: string]: Value } }>(tie => ({
  any: fc.oneof(
    { maxDepth: 3 },
    fc.string({ maxLength: 3 }),
    fc.constant(null),
    fc.array(tie('any'), { maxLength: 3 }),
    tie('map'),
  ),
  map: fc.dictionary(key, tie('any'), { maxKeys: 4, noNullPrototype: true }),
}))
const isMap = (v: unknown): v is Record<string, Value> => typeof v === 'object' && v !== null && !Array.isArray(v)

describe('an environment over the rest', () => {
  it('merges maps, replaces lists, and removes by null', () => {
    expect(
      over({ a: { x: '1', y: '2' }, b: ['1', '2'], c: '3' }, { a: { y: null, z: '4' }, b: ['5'], c: null }),
    ).toEqual({
      a: { x: '1', z: '4' },
      b: ['5'],
    })
  })
  it('changes nothing when it is empty', () => fc.assert(fc.property(map, v => void expect(over(v, {})).toEqual(v))))
  it('twice is the same as once', () =>
    fc.assert(
      fc.property(map, map, (below, above) => {
        const once = overlay(node(below), node(above))
        expect(plain(overlay(once, node(above)))).toEqual(plain(once))
      }),
    ))
  it('leaves at each key what the rules say', () =>
    fc.assert(
      fc.property(map, map, (below, above) => {
        const result = over(below, above) as Record<string, unknown>
        for (const k of new Set([...Object.keys(below), ...Object.keys(above)])) {
          const top = above[k]
          if (!Object.hasOwn(above, k)) expect(result[k]).toEqual(below[k])
          else if (top === null) expect(Object.hasOwn(result, k)).toBe(false)
          else if (Array.isArray(top) || typeof top === 'string') expect(result[k]).toEqual(top)
          else if (isMap(top)) expect(result[k]).toEqual(over(isMap(below[k]) ? below[k] : {}, top))
        }
      }),
    ))
  it('keeps nulls inside lists', () =>
    fc.assert(
      fc.property(fc.array(any, { maxLength: 3 }), list => void expect(over({}, { a: list })).toEqual({ a: list })),
    ))
})

describe('in a manifest', () => {
  it('a list that is written without its list is replaced like a list', () => {
    const [manifest] = readAll(
      `${base}activate: {run: a, timeout: 5m}\nverify: {tcp: {port: 1}, timeout: 9s}\nenvironments: {p: {activate: {run: b}, verify: {command: c}}}`,
    )
    expect(manifest?.activate).toMatchObject([{ run: 'b', timeout: 1800 }])
    expect(manifest?.verify[0]).not.toHaveProperty('tcp')
    expect(manifest?.verify).toMatchObject([{ command: 'c', timeout: 30 }])
  })
  it('a migration that is just its script is merged like a map', () => {
    const [manifest] = readAll(`${base}migrate: up\nenvironments: {p: {migrate: {timeout: 5m}}}`)
    expect(manifest?.migrate).toMatchObject({ run: 'up', timeout: 300 })
  })
  it('a balancer is changed without naming its provider again, and removed by null', () => {
    const lb =
      'load_balancers: {edge: {provider: haproxy, backends: a, hosts: [h]}, other: {provider: haproxy, backends: [b], hosts: h}}'
    const [manifest] = readAll(`${base}${lb}\nenvironments: {p: {load_balancers: {edge: {backends: c}, other: null}}}`)
    expect(Object.keys(manifest?.load_balancers ?? {})).toEqual(['edge'])
    expect(manifest?.load_balancers['edge']).toMatchObject({ backends: ['c'], hosts: [{ name: 'h' }] })
  })
  it('a mistake of an overlay is shown in the overlay, one below it where it is', () => {
    const text = `${base}shell: zsh\nenvironments:\n  p:\n    web_server: pumma\n`
    expect(problemsIn(text).map(p => p.split(' → ')[0])).toEqual([
      '4:8 shell: one of bash, sh, bash -l is expected, not "zsh"',
      '7:17 web_server: one of puma, unicorn, passenger-enterprise, thin, passenger, other is expected, not "pumma"',
    ])
  })
  it('what is missing because of an overlay is shown there', () => {
    const text = `${base}load_balancers: {edge: {provider: haproxy, backends: [a], hosts: [h]}}\nenvironments:\n  p:\n    load_balancers:\n      edge: {backends: null}\n`
    expect(problemsIn(text)).toEqual([
      '8:7 "backends" is missing in load_balancers.edge → The backends the servers stand in. for example: backends: ["storefront"]',
    ])
  })
  it('a variable without a value is not lost', () => {
    expect(problemsIn(`${base}environments: {p: {env: {IMAGE: }}}`)).toEqual([
      '4:26 environments.p.env.IMAGE: in an environment no value means "removed", and there is nothing to remove → to take it from the action step\'s env, write `IMAGE:` under env at the top of the manifest',
    ])
    const [manifest] = readAll(`${base}env: {IMAGE: , A: 1}\nenvironments: {p: {env: {A: null}}}`)
    expect(manifest?.env).toEqual({ IMAGE: null })
  })
  it('places follow the node they came from', () => {
    const merged = overlay(
      readDocument('a.yml', 'm:\n  x: 1\n  y: 2').root ?? undefined,
      readDocument('b.yml', 'm: {y: 3}').root ?? node({}),
    )
    expect(pointTo(placeOf(merged, ['m', 'x'], 'value'))).toMatchObject({ file: 'a.yml', line: 2, column: 6 })
    expect(pointTo(placeOf(merged, ['m', 'y'], 'value'))).toMatchObject({ file: 'b.yml', line: 1, column: 8 })
  })
})
