/** Every build asks this of the bundle it made, and fails by it (scripts/build.mjs). */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
// @ts-expect-error: a script of the project, without types
import { allowed, bundledPackages, licenceOf, problems } from '../../scripts/licences.mjs'

const mit = (name: string, more: object = {}) => ({ name, version: '1.0.0', license: 'MIT', ...more })
const text = 'a\nMIT\nMIT License\n\nCopyright\n\n@b/c\nMIT\nMIT License\n\nd\nMIT\n\ne\nISC\nISC License\n'

describe('the licences of the bundle', () => {
  it('are in order when each is on the list and its text goes along', () => {
    expect(problems([mit('a'), mit('@b/c'), mit('e', { license: 'ISC' })], text)).toEqual([])
  })

  it.each([
    ['is not in licenses.txt', mit('x'), 'licenses.txt has no MIT of x'],
    ['is there under another licence', mit('e'), 'licenses.txt has no MIT of e'],
    ['is there without its text', mit('d'), 'licenses.txt names d without the text'],
    [
      'is under a licence that asks for more',
      mit('a', { license: 'GPL-3.0-only' }),
      'under GPL-3.0-only, which is not',
    ],
    ['leaves a choice that nobody made', mit('a', { license: '(MIT OR GPL-2.0)' }), 'under (MIT OR GPL-2.0), which'],
    ['names none', { name: 'a', version: '1.0.0' }, 'a 1.0.0 is in the bundle and names no licence'],
    ['has its own', mit('a', { license: 'SEE LICENSE IN x' }), 'under SEE LICENSE IN x, which is not'],
  ])('are not when one %s', (_what, manifest, words) => {
    expect(problems([manifest], text)).toEqual([expect.stringContaining(words)])
  })

  it('are read in the old form too, where it leaves no choice', () => {
    expect(licenceOf({ licenses: [{ type: 'MIT', url: 'x' }] })).toBe('MIT')
    expect(licenceOf({ license: { type: 'MIT' } })).toBe('MIT')
    expect(licenceOf({ licenses: [{ type: 'MIT' }, { type: 'GPL-2.0' }] })).toBe(null)
  })
})

describe('a package of the bundle', () => {
  const modules = [
    {
      name: './lib/index.js + 2 modules',
      modules: [{ name: './lib/index.js' }, { name: './node_modules/yaml/dist/a.js' }],
    },
    { name: './node_modules/@b/c/lib/x.js' },
    { name: './node_modules/@b/c/lib/y.js' },
    { name: './node_modules/@b/c/node_modules/d/index.js' },
    { name: 'external "node:fs"' },
    { name: 'webpack/runtime/compat get default export' },
    { name: './node_modules/@vercel/ncc/dist/ncc/@@notfound.js?../build/Release/x.node' },
  ]

  it('is found by its modules, nested ones by themselves, and the bundler is none', () => {
    expect(bundledPackages({ modules })).toEqual([
      'node_modules/@b/c',
      'node_modules/@b/c/node_modules/d',
      'node_modules/yaml',
    ])
  })
})

describe('dist/', () => {
  // Modules of this form are named in the bundle; the build sees the others too.
  const named = readFileSync('dist/index.js', 'utf8').matchAll(
    /^(?:;\/\/ CONCATENATED|\/\/ EXTERNAL) MODULE: \.\/((?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+)\//gm,
  )
  const packages = [...new Set([...named].map(([, path]) => path ?? ''))]

  it('says whose work is in it, and under which licence', () => {
    expect(packages).toEqual(expect.arrayContaining(['node_modules/@actions/core', 'node_modules/ssh2']))
    const manifests = packages.map(path => JSON.parse(readFileSync(`${path}/package.json`, 'utf8')) as object)
    expect(problems(manifests, readFileSync('dist/licenses.txt', 'utf8'))).toEqual([])
  })

  it('is under licences that ask for no source', () => {
    expect((allowed as string[]).filter(name => /GPL|MPL|EPL|CDDL|CC-BY-SA|SSPL|BUSL/.test(name))).toEqual([])
  })
})
