/**
 * The import linter: who may import whom in src/, which folders do no I/O, who writes to stdout, who reads inputs. The table is
 * the architecture; a new arrow is a decision that is made here.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

export interface Source {
  /** Relative to src/, with "/". */
  readonly path: string
  readonly text: string
}

/** A folder, a file, or either with ` (types)`: only `import type` of it. */
type Target = string
interface Room {
  readonly imports: readonly Target[]
  /** No I/O and no clock: a function of its arguments. */
  readonly pure?: true
}

/** Files that everyone may import; they import each other only. */
const leaves = ['errors.ts', 'clock.ts', 'times.ts']

const rooms: Readonly<Record<string, Room>> = {
  manifest: { imports: [], pure: true },
  plan: { imports: ['manifest'], pure: true },
  fleet: { imports: ['manifest (types)'] },
  release: { imports: ['fleet', 'manifest'] },
  balancers: { imports: ['fleet', 'manifest'] },
  verify: { imports: ['fleet', 'manifest'] },
  rollout: {
    imports: ['plan', 'manifest', 'fleet', 'release', 'balancers', 'verify', 'report/events.ts'],
  },
  report: { imports: ['plan', 'manifest (types)'] },
  github: {
    imports: [
      ...['events.ts', 'follower.ts', 'state.ts', 'server-state.ts', 'outcome-words.ts', 'sanitise.ts'].map(
        f => `report/${f}`,
      ),
      ...['inputs.ts (types)', 'manifest (types)'],
    ],
  },
  commands: {
    imports: [
      ...['inputs.ts', 'event.ts', 'manifest', 'plan', 'rollout', 'fleet'],
      ...['release', 'balancers', 'verify', 'report', 'github'],
    ],
  },
  'event.ts': { imports: [] },
  'inputs.ts': { imports: ['event.ts', 'shell.ts', 'manifest'] },
  'shell.ts': { imports: ['manifest/nearest.ts'] },
  'usage.ts': { imports: ['inputs.ts (types)', 'shell.ts', 'fleet/quote.ts'] },
  'output.ts': { imports: ['report/lagging.ts'] },
  'signals.ts': { imports: ['begin.ts', 'output.ts'] },
  'passphrase.ts': { imports: ['fleet/private-keys.ts', 'output.ts'] },
  'version.ts': { imports: [] },
  'reporting.ts': { imports: ['inputs.ts', 'output.ts', 'commands', 'report', 'manifest', 'plan'] },
  'main.ts': {
    imports: [
      ...[
        'inputs.ts',
        'shell.ts',
        'usage.ts',
        'version.ts',
        'passphrase.ts',
        'signals.ts',
        'reporting.ts',
        'output.ts',
      ],
      ...['commands', 'report', 'manifest'],
    ],
  },
  'begin.ts': { imports: [] },
  'index.ts': { imports: ['begin.ts', 'main.ts', 'output.ts'] },
  'errors.ts': { imports: [] },
  'clock.ts': { imports: [] },
  'times.ts': { imports: [] },
}

const impureModules = [
  ...['fs', 'fs/promises', 'net', 'tls', 'http', 'https', 'http2', 'dgram', 'dns', 'dns/promises', 'child_process'],
  ...['os', 'process', 'readline', 'timers', 'timers/promises', 'worker_threads', 'cluster', 'perf_hooks'],
].map(name => `node:${name}`)
const impureWords =
  /\b(Date\.now|new Date\(\)|performance\.now|Math\.random|setTimeout|setInterval|fetch|systemClock)\b/

/** Packages that one room alone knows. */
const ownPackages: Readonly<Record<string, readonly string[]>> = { ssh2: ['fleet'], yaml: ['manifest'] }

const mayWriteToStdout = (path: string) => ['main.ts', 'output.ts'].includes(path)
const mayReadEnvironment = (path: string) =>
  ['begin.ts', 'inputs.ts', 'main.ts', 'output.ts', 'reporting.ts', 'index.ts'].includes(path)

export interface Import {
  readonly from: string
  readonly typeOnly: boolean
}

/** The code without comments. A comment begins a line or follows white space, so that `'https://…'` and globs stay. */
const withoutComments = (text: string) =>
  text.replace(/(^|\s)\/\*[\s\S]*?\*\//g, '$1').replace(/(^|[\s;{}(),])\/\/[^\n]*/g, '$1')

/** Imports and re-exports, static and dynamic. */
export function importsOf(text: string): readonly Import[] {
  const code = withoutComments(text)
  const found: Import[] = []
  for (const [, clause = '', from = ''] of code.matchAll(
    /^[ \t]*(?:import|export)\b((?:[^'"`;=]|=(?!>))*?)\bfrom\s*['"]([^'"\n]+)['"]/gm,
  ))
    found.push({ from, typeOnly: /^\s*type\b/.test(clause) || onlyTypes(clause) })
  for (const [, from = ''] of code.matchAll(/^[ \t]*import\s*['"]([^'"\n]+)['"]/gm))
    found.push({ from, typeOnly: false })
  for (const [, from = ''] of code.matchAll(/\bimport\s*\(\s*['"]([^'"\n]+)['"]/g))
    found.push({ from, typeOnly: false })
  return found
}

/** `{ type A, type B }` */
function onlyTypes(clause: string): boolean {
  const names = /^\s*\{([^}]*)\}\s*$/.exec(clause)?.[1]
  if (names === undefined) return false
  const each = names.split(',').map(n => n.trim())
  return each.filter(Boolean).every(n => n.startsWith('type ')) && each.some(Boolean)
}

const roomOf = (path: string) => (path.includes('/') ? (path.split('/')[0] ?? path) : path)

function allowed(room: Room, target: string, typeOnly: boolean): boolean {
  return [target, roomOf(target)].some(
    name => room.imports.includes(name) || (typeOnly && room.imports.includes(`${name} (types)`)),
  )
}

function wrongArrow(source: Source, room: Room, own: string, imported: Import): string | null {
  const { from, typeOnly } = imported
  if (!from.startsWith('.')) {
    if (room.pure && impureModules.includes(from)) return `${own}/ does no I/O, so it may not import ${from}`
    const owners = ownPackages[from]
    return owners === undefined || owners.includes(own) ? null : `only ${owners.join(', ')}/ imports ${from}`
  }
  const target = posix.normalize(posix.join(posix.dirname(source.path), from))
  if (target.startsWith('../')) return `${from} lies outside src/`
  if (!target.endsWith('.ts')) return `${from} does not name its .ts file`
  if (roomOf(target) === own && target.includes('/')) return null
  if (room.pure && target === 'clock.ts' && !typeOnly) return `${own}/ knows no clock`
  if (leaves.includes(target) || allowed(room, target, typeOnly)) return null
  const others = room.imports.length > 0 ? room.imports.join(', ') : 'nothing but errors.ts and clock.ts'
  return `${own} may not import ${target}; it may import ${others}`
}

/** What breaks the rules, as `path: sentence`. */
export function violations(sources: readonly Source[]): readonly string[] {
  return sources.flatMap(source => {
    const own = roomOf(source.path)
    const room = rooms[own]
    if (room === undefined) return [`${source.path}: ${own} has no place in the table of scripts/arrows.ts`]
    const code = withoutComments(source.text)
    const words = [
      room.pure && impureWords.test(code)
        ? `${own}/ is a function of its arguments: no ${impureWords.exec(code)?.[0]}`
        : null,
      !mayWriteToStdout(source.path) && /\bconsole\s*\.|\bprocess\s*\.\s*stdout\b/.test(code)
        ? 'only output.ts writes to stdout'
        : null,
      !mayReadEnvironment(source.path) && /\bprocess\s*\.\s*(env|argv)\b/.test(code)
        ? 'only inputs.ts (handed to it by main.ts or index.ts) reads the environment and the arguments'
        : null,
      source.path !== 'inputs.ts' && /\bget(Boolean|Multiline)?Input\s*\(/.test(code)
        ? 'only inputs.ts reads inputs'
        : null,
    ]
    const arrows = importsOf(source.text).map(imported => wrongArrow(source, room, own, imported))
    return [...arrows, ...words].filter(found => found !== null).map(found => `${source.path}: ${found}`)
  })
}

/** Every .ts file under a directory. */
export const readSources = (directory: string): readonly Source[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter(path => path.endsWith('.ts'))
    .sort()
    .map(path => ({ path: path.replaceAll('\\', '/'), text: readFileSync(join(directory, path), 'utf8') }))

export const src = join(dirname(dirname(fileURLToPath(import.meta.url))), 'src')

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const found = violations(readSources(src))
  for (const line of found) console.error(`src/${line}`)
  process.exitCode = found.length === 0 ? 0 : 1
}
