/**
 * The release as one gzip'd tar in a file, made once and sent to every server. Written here and not by the runner's tar, so that modes
 * are those of the digest on every machine, and each file's bytes are compared with it as they go in.
 */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, readFile, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { DeployError, InputError, messageOf } from '../errors.ts'
import type { Digest } from './digest.ts'
import type { Source, SourceEntry } from './source.ts'
import { padding, tarEnd, tarHeader } from './tar-header.ts'

export interface Package {
  readonly file: string
  /** Bytes of the file: what is sent to each server. */
  readonly bytes: number
  /** Opened anew for each server. */
  open(): Readable
}

/** Measured: 20 servers read a file in pieces of 256 KiB to 1 MiB with the least memory for the speed. */
const pieces = 512 * 1024
/** Gathered before it goes to gzip: a call for each small file would cost more than the file. */
const gathered = 256 * 1024

type FileEntry = Extract<SourceEntry, { kind: 'file' }>

const changed = (path: string, cause?: unknown): DeployError =>
  new InputError(
    `release.source: ${path} changed while it was packed${cause === undefined ? '' : `: ${messageOf(cause)}`}`,
    { cause, hint: 'nothing may write to the source while it is deployed: is a build or a watcher still running?' },
  )

/** The bytes of a file, as they were when they were hashed. */
async function* contentOf(source: Source, entry: FileEntry, expected: string | undefined): AsyncGenerator<Buffer> {
  const hash = createHash('sha256')
  let size = 0
  try {
    const path = join(source.directory, entry.path)
    // A stream for each small file costs more than reading it.
    const chunks = entry.size <= pieces ? [await readFile(path)] : createReadStream(path, { highWaterMark: pieces })
    for await (const chunk of chunks) {
      size += chunk.length
      if (size > entry.size) throw changed(entry.path)
      hash.update(chunk)
      yield chunk
    }
  } catch (cause) {
    throw cause instanceof DeployError ? cause : changed(entry.path, cause)
  }
  if (size !== entry.size || hash.digest('hex') !== expected) throw changed(entry.path)
}

async function* members(source: Source, digest: Digest): AsyncGenerator<Buffer> {
  for (const entry of source.entries) {
    yield tarHeader({
      path: entry.path,
      kind: entry.kind,
      mode: entry.kind === 'file' && !entry.executable ? 0o644 : entry.kind === 'link' ? 0o777 : 0o755,
      size: entry.kind === 'file' ? entry.size : 0,
      mtime: entry.kind === 'file' ? entry.mtime : 0,
      target: entry.kind === 'link' ? entry.target : '',
    })
    if (entry.kind !== 'file') continue
    yield* contentOf(source, entry, digest.files.get(entry.path))
    yield padding(entry.size)
  }
  yield tarEnd
}

async function* inPieces(buffers: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let waiting: Buffer[] = []
  let size = 0
  for await (const buffer of buffers) {
    waiting.push(buffer)
    size += buffer.length
    if (size < gathered) continue
    yield Buffer.concat(waiting)
    waiting = []
    size = 0
  }
  if (size > 0) yield Buffer.concat(waiting)
}

/** Writes the package to `file`, which is removed again when it fails. Throws InputError, and the signal's reason. */
export async function pack(source: Source, digest: Digest, file: string, signal: AbortSignal): Promise<Package> {
  await mkdir(dirname(file), { recursive: true })
  try {
    await pipeline(
      Readable.from(inPieces(members(source, digest)), { objectMode: true, highWaterMark: 2 }),
      createGzip({ level: 1, chunkSize: gathered }),
      createWriteStream(file, { mode: 0o600 }),
      { signal },
    )
  } catch (error) {
    await rm(file, { force: true })
    throw signal.aborted ? signal.reason : error
  }
  const { size } = await stat(file)
  return { file, bytes: size, open: () => createReadStream(file, { highWaterMark: pieces }) }
}
