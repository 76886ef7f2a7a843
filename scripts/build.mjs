/**
 * src → lib (tsc) → dist/index.js and dist/licenses.txt (ncc), and nothing else. The same sources give the same bytes:
 * see docs/decisions/0001-commonjs-bundle.md.
 *
 *   node scripts/build.mjs            builds dist/
 *   node scripts/build.mjs --check    builds elsewhere and compares with dist/ (or with --against DIR)
 */
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { bundledPackages, problems } from './licences.mjs'
import { root, run, whenStarted } from './node24.mjs'

export const products = ['index.js', 'licenses.txt']

/** Builds into `out`. Throws when a step fails, and then leaves `out` as it was. */
export function build(out) {
  const fresh = join(root, '.cache', 'bundle')
  const stats = join(fresh, 'stats.json')
  for (const path of [join(root, 'lib'), fresh]) rmSync(path, { recursive: true, force: true })
  step('tsc', ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.json'])
  step('ncc', [
    ...['node_modules/@vercel/ncc/dist/ncc/cli.js', 'build', join(root, 'lib', 'index.js')],
    ...['--out', fresh, '--license', 'licenses.txt', '--no-cache', '--quiet', '--stats-out', stats],
  ])
  // ncc adds what packages refer to (ssh2's Windows helper pagent.exe, native modules where install scripts built them): left behind.
  for (const name of products) if (!existsSync(join(fresh, name))) throw new Error(`the build made no ${name}`)
  const read = path => JSON.parse(readFileSync(path, 'utf8'))
  const packages = bundledPackages(read(stats)).map(path => read(join(root, path, 'package.json')))
  rmSync(stats)
  const wrong = problems(packages, readFileSync(join(fresh, 'licenses.txt'), 'utf8'))
  if (wrong.length > 0) throw new Error(`The bundle may not be shipped:\n  ${wrong.join('\n  ')}`)
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out, { recursive: true })
  for (const name of products) copyFileSync(join(fresh, name), join(out, name))
}

function step(name, args) {
  const code = run(process.execPath, args)
  if (code !== 0) throw new Error(`${name} ended with ${code}`)
}

const newest = path =>
  statSync(path).isDirectory()
    ? Math.max(0, ...readdirSync(path).map(name => newest(join(path, name))))
    : statSync(path).mtimeMs

/** The bundle is older than a source, or not there. */
export function isStale() {
  const files = products.map(name => join(root, 'dist', name))
  if (!files.every(existsSync)) return true
  const built = Math.min(...files.map(file => statSync(file).mtimeMs))
  return ['src', 'package-lock.json', 'tsconfig.json'].some(source => newest(join(root, source)) > built)
}

/** What differs between a fresh build and `against`, as sentences; empty: nothing. */
export function differences(against) {
  const fresh = mkdtempSync(join(tmpdir(), 'deploy-action-dist-'))
  try {
    build(fresh)
    const there = existsSync(against) ? readdirSync(against) : []
    return [
      ...there.filter(name => !products.includes(name)).map(name => `${name} does not belong there`),
      ...products.flatMap(name => {
        if (!there.includes(name)) return [`${name} is missing`]
        return readFileSync(join(against, name)).equals(readFileSync(join(fresh, name)))
          ? []
          : [`${name} is not what the sources build`]
      }),
    ]
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

await whenStarted(import.meta.url, args => {
  const dist = join(root, 'dist')
  if (!args.includes('--check')) {
    build(dist)
    return 0
  }
  const against = args.includes('--against') ? args[args.indexOf('--against') + 1] : dist
  const found = differences(against)
  for (const line of found) console.error(`dist: ${line}`)
  if (found.length > 0) console.error('Run `npm run build` and commit dist/.')
  return found.length === 0 ? 0 : 1
})
