/**
 * The release id: the same for the same content on every server, attempt, runner and laptop. So it takes nothing from a file that a
 * checkout may choose: of its mode only whether it is executable, which is what git keeps and a umask leaves; no time, no owner. Files
 * are staged as 0644 or 0755 and directories as 0755 accordingly: what was hashed is what is staged.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { InputError, messageOf } from '../errors.ts'
import { inParallel } from './in-parallel.ts'
import type { Source } from './source.ts'

export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** `shared`, `env` and `prepare` as written for this environment. */
export type ReleaseSettings = Json

export interface Digest {
  /** SHA-256 in hexadecimal. */
  readonly digest: string
  /** SHA-256 of each file's bytes, by path: what is packed later is compared with it. */
  readonly files: ReadonlyMap<string, string>
}

/** Files of up to this many bytes are read in one piece. */
const onePiece = 1 << 20
const atOnce = 8

/** JSON with its keys sorted, so that equal values give equal text. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const pairs = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
    return `{${pairs.map(([k, v]) => `${JSON.stringify(k)}:${canonicalJson(v)}`).join(',')}}`
  }
  return JSON.stringify(value)
}

async function hashOf(path: string, size: number): Promise<string> {
  const hash = createHash('sha256')
  if (size <= onePiece) {
    const file = await open(path)
    try {
      hash.update(await file.readFile())
    } finally {
      await file.close()
    }
  } else for await (const chunk of createReadStream(path, { highWaterMark: 512 * 1024 })) hash.update(chunk)
  return hash.digest('hex')
}

/** Reads every file of the source; null: a release that `prepare` fills. Throws InputError, and the signal's reason. */
export async function digestOf(source: Source | null, settings: ReleaseSettings, signal: AbortSignal): Promise<Digest> {
  const files = new Map<string, string>()
  await inParallel(source?.entries ?? [], atOnce, async entry => {
    signal.throwIfAborted()
    if (entry.kind !== 'file' || source === null) return
    try {
      files.set(entry.path, await hashOf(join(source.directory, entry.path), entry.size))
    } catch (cause) {
      throw new InputError(`release.source: ${entry.path} cannot be read: ${messageOf(cause)}`, { cause })
    }
  })
  const whole = createHash('sha256')
  for (const entry of source?.entries ?? []) {
    const mode = entry.kind === 'file' ? (entry.executable ? '755' : '644') : ''
    const content = entry.kind === 'link' ? entry.target : (files.get(entry.path) ?? '')
    whole.update(`${JSON.stringify([entry.kind, entry.path, mode, content])}\n`)
  }
  whole.update(canonicalJson(settings))
  return { digest: whole.digest('hex'), files }
}

/** `commit`: a full one, or null. */
export function releaseId(commit: string | null, digest: string): string {
  if (commit !== null && !/^[0-9a-f]{12,64}$/.test(commit))
    throw new InputError(`"${commit}" is not a commit`, { hint: 'a full commit in hexadecimal is expected' })
  return `${commit?.slice(0, 12) ?? 'nocommit'}-${digest.slice(0, 8)}`
}
