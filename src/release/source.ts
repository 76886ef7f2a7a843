/** What a release is made of: a directory or an archive of the workspace, read into a sorted list. */
import type { Dirent } from 'node:fs'
import { lstat, mkdir, mkdtemp, readdir, readlink, realpath, stat } from 'node:fs/promises'
import { isAbsolute, join, posix, relative } from 'node:path'
import { type DeployError, InputError, messageOf } from '../errors.ts'
import { outsideWorkspace } from '../manifest/workspace-path.ts'
import { isArchive, unpackArchive } from './archive.ts'
import { type Excluded, excluding } from './exclude.ts'
import { inParallel } from './in-parallel.ts'

/** `path` is relative to the source, with "/". Sizes in bytes. */
export type SourceEntry = { readonly path: string } & (
  | { readonly kind: 'directory' }
  | {
      readonly kind: 'file'
      readonly executable: boolean
      readonly size: number
      /** Seconds since 1970: staged, for what a web server makes of it, but no part of the digest. */
      readonly mtime: number
    }
  | { readonly kind: 'link'; readonly target: string }
)

export interface Source {
  /** Absolute. */
  readonly directory: string
  /** Sorted by path, directories before what is in them. */
  readonly entries: readonly SourceEntry[]
  readonly files: number
  readonly bytes: number
  readonly warnings: readonly string[]
}

export interface SourceOptions {
  readonly workspace: string
  /** Workspace-relative. */
  readonly source: string
  readonly exclude: readonly string[]
  /** A directory of the runner's for what is unpacked; removed by the caller. */
  readonly scratch: string
  readonly signal: AbortSignal
}

/** File system calls at once: libuv runs four, and a queue keeps them busy. */
const atOnce = 16

/** Throws InputError, and the signal's reason. */
export async function openSource(options: SourceOptions): Promise<Source> {
  const { source, scratch, signal } = options
  const excluded = excluding(options.exclude)
  const real = await placeOf(options)
  const found = await stat(real)
  let directory = real
  if (found.isFile() && isArchive(source)) {
    await mkdir(scratch, { recursive: true })
    directory = await mkdtemp(join(scratch, 'source-'))
    await unpackArchive(real, source, directory, signal)
  } else if (!found.isDirectory())
    throw new InputError(`release.source: ${source} is neither a directory nor a .tar, .tar.gz, .tgz or .tar.zst`, {
      hint: 'name what the build made: a directory, or one archive of it',
    })
  const entries = (await walk(directory, '', excluded, signal)).toSorted((a, b) => (a.path < b.path ? -1 : 1))
  const files = entries.filter(e => e.kind !== 'directory').length
  if (files === 0)
    throw new InputError(
      `release.source: ${source} is empty${options.exclude.length > 0 ? ', or all of it is excluded' : ''}`,
      {
        hint: 'did the build run before, and into this directory? Leave source out for a release that prepare fills',
      },
    )
  const bytes = entries.reduce((sum, e) => sum + (e.kind === 'file' ? e.size : 0), 0)
  return { directory, entries, files, bytes, warnings: linkWarnings(entries) }
}

/** The real path of the source, which lies in the workspace however many links lead there. */
async function placeOf({ workspace, source }: SourceOptions): Promise<string> {
  const outside = outsideWorkspace(source)
  if (outside !== null) throw new InputError(`release.source: ${source}: ${outside}`)
  const real = await realpath(join(workspace, source)).catch((cause: NodeJS.ErrnoException) => {
    const missing = cause.code === 'ENOENT' || cause.code === 'ENOTDIR'
    throw new InputError(`release.source: ${source} ${missing ? 'is not there' : `cannot be read: ${cause.message}`}`, {
      cause,
      hint: 'is it built in this job, or downloaded into the workspace, before this step?',
    })
  })
  const inside = relative(await realpath(workspace), real)
  if (inside.startsWith('..') || isAbsolute(inside))
    throw new InputError(`release.source: ${source} is a link that leads out of the workspace`, {
      hint: 'copy what is deployed into the workspace',
    })
  if (inside.split('/').includes('.git'))
    throw new InputError(`release.source: ${source} lies in .git, which is never deployed`)
  return real
}

async function walk(top: string, below: string, excluded: Excluded, signal: AbortSignal): Promise<SourceEntry[]> {
  signal.throwIfAborted()
  const children = await readdir(join(top, below), { withFileTypes: true }).catch((cause: unknown) => {
    throw unreadable(below || '.', cause)
  })
  const kept = children
    .map(child => ({ child, path: below === '' ? child.name : `${below}/${child.name}` }))
    .filter(({ child, path }) => !excluded(path, child.isDirectory()))
  const entries = await inParallel(kept, atOnce, async ({ child, path }) => {
    if (child.isDirectory()) return null
    return entryOf(top, path, child)
  })
  const found: SourceEntry[] = entries.filter(e => e !== null)
  // One directory after another: deep trees stay within the calls at once.
  for (const { child, path } of kept)
    if (child.isDirectory()) {
      named(path)
      found.push({ path, kind: 'directory' })
      for (const entry of await walk(top, path, excluded, signal)) found.push(entry)
    }
  return found
}

const unreadable = (path: string, cause: unknown): DeployError =>
  new InputError(`release.source: ${path} cannot be read: ${messageOf(cause)}`, { cause, hint: 'look at its rights' })

/** A name that is not UTF-8 was read with U+FFFD in it, and could not be opened again. */
function named(path: string): void {
  if (path.includes('\uFFFD'))
    throw new InputError(`release.source: the name ${path} is not UTF-8`, { hint: 'rename it, or exclude it' })
}

async function entryOf(top: string, path: string, child: Dirent): Promise<SourceEntry> {
  named(path)
  try {
    if (child.isSymbolicLink()) return { path, kind: 'link', target: await readlink(join(top, path)) }
    const { mode, size, mtimeMs } = await lstat(join(top, path))
    if (child.isFile())
      return { path, kind: 'file', executable: (mode & 0o111) !== 0, size, mtime: Math.floor(mtimeMs / 1000) }
  } catch (cause) {
    throw unreadable(path, cause)
  }
  throw new InputError(`release.source: ${path} is a socket, a pipe or a device, which cannot be deployed`, {
    hint: 'remove it, or add it to release.exclude',
  })
}

/** Links are staged as they are; those that lead out mean something else, or nothing, on a server. */
function linkWarnings(entries: readonly SourceEntry[]): readonly string[] {
  const leaving = entries.flatMap(e => {
    if (e.kind !== 'link') return []
    const out = isAbsolute(e.target) || posix.normalize(posix.join(posix.dirname(e.path), e.target)).startsWith('..')
    return out ? [`${e.path} -> ${e.target}`] : []
  })
  if (leaving.length === 0) return []
  const shown = leaving.slice(0, 5).join(', ')
  return [
    `links of the source lead out of it and are deployed as they are: ${shown}${leaving.length > 5 ? ` and ${leaving.length - 5} more` : ''}`,
  ]
}
