/** Every *.json below the directory of reports. What lies there came as an artifact: no link is followed, and sizes are bounded. */
import { closeSync, constants, fstatSync, openSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { isAbsolute, join, relative, resolve } from 'node:path'
import { InputError, messageOf } from '../errors.ts'
import type { Request } from '../inputs.ts'

const mega = 1024 * 1024
/** Bytes of one report, and of all together: 5,000 servers make about 20 MB. */
const mostBytes = 50 * mega
const mostBytesInAll = 250 * mega
const mostFiles = 2000
const mostEntries = 20_000

export interface ReportFile {
  /** As it is called from the workspace, for people. */
  readonly name: string
  /** Its text, or why there is none. */
  readonly text: string | null
  readonly problem: string | null
}

const download =
  'actions/download-artifact puts them there: check its pattern, its path and merge-multiple, and that each shard uploaded its report-path (if: always())'

const isWithin = (root: string, path: string) => {
  const way = relative(root, path)
  return way !== '..' && !way.startsWith('../') && !isAbsolute(way)
}

type Place = Pick<Request, 'reports' | 'workspace' | 'temp' | 'onGitHub'>

/** The directory itself. Throws InputError where it is not there, or lies where a job has no business; a person may name any. */
function rootOf({ reports, workspace, temp, onGitHub }: Place): string {
  const path = resolve(workspace, reports)
  const within = [workspace, temp].flatMap(place => realOrNull(place) ?? [])
  const real = realOrNull(path)
  if (real === null) throw new InputError(`input reports: there is no directory ${reports}`, { hint: download })
  if (!statSync(real).isDirectory())
    throw new InputError(`input reports: ${reports} is no directory`, {
      hint: 'name the directory that the reports were downloaded into',
    })
  if (onGitHub && !within.some(place => isWithin(place, real)))
    throw new InputError(`input reports: ${reports} lies neither in the workspace nor in RUNNER_TEMP`, {
      hint: 'name a directory of this job',
    })
  return real
}

function realOrNull(path: string): string | null {
  try {
    return realpathSync(path)
  } catch {
    return null
  }
}

/** Throws InputError. */
function entriesOf(directory: string) {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch (cause) {
    throw new InputError(`input reports: a directory cannot be read: ${messageOf(cause)}`, { cause })
  }
}

/** Throws InputError for a directory that cannot be the one. */
function* filesBelow(root: string): Generator<string> {
  let entries = 0
  const left = [root]
  for (let directory = left.pop(); directory !== undefined; directory = left.pop()) {
    for (const entry of entriesOf(directory).toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      if (++entries > mostEntries)
        throw new InputError(`input reports: more than ${mostEntries} files lie there`, { hint: download })
      if (entry.isDirectory()) left.push(join(directory, entry.name))
      else if (entry.name.endsWith('.json')) yield join(directory, entry.name)
    }
  }
}

/** Throws Error with a sentence. */
function readText(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  try {
    const found = fstatSync(file)
    if (!found.isFile()) throw new Error('it is no file')
    if (found.size > mostBytes) throw new Error(`it has more than ${mostBytes / mega} MB`)
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

const why = (error: unknown) =>
  error instanceof Error && 'code' in error && error.code === 'ELOOP'
    ? 'it is a link, which is not followed'
    : messageOf(error)

/** One after the other, so that only one text is in memory. Throws InputError for the directory as a whole. */
export function* reportFiles(request: Place): Generator<ReportFile> {
  const root = rootOf(request)
  let files = 0
  let bytes = 0
  for (const path of filesBelow(root)) {
    const name = join(request.reports, relative(root, path))
    if (++files > mostFiles) throw new InputError(`input reports: more than ${mostFiles} reports`, { hint: download })
    let text: string
    try {
      text = readText(path)
    } catch (error) {
      yield { name, text: null, problem: why(error) }
      continue
    }
    bytes += text.length
    if (bytes > mostBytesInAll)
      throw new InputError(`input reports: more than ${mostBytesInAll / mega} MB in all`, { hint: download })
    yield { name, text, problem: null }
  }
  if (files === 0) throw new InputError(`input reports: no report lies in ${request.reports}`, { hint: download })
}
