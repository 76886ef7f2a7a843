/**
 * What `post` needs to bring a run to an end that was killed: written under RUNNER_TEMP before the first lock is taken, marked finished
 * as the last act of main. It holds no secret: the manifest names them, and `post` has its inputs and its env from the runner.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { PlannedShard } from '../plan/plan.ts'
import type { ShardsLock } from './shard.ts'

export interface RunFile {
  readonly version: 1
  readonly finished: boolean
  /** The lock's token: `post` is the same owner. */
  readonly token: string
  /** Of a shard: the lock it shares, and which one it is. */
  readonly fanOut?: { readonly shared: ShardsLock; readonly shard: PlannedShard }
  /** Names of the selected servers; of a shard its own. */
  readonly servers: readonly string[]
  readonly manifest: Manifest
  /** Text of known_hosts; null: every server has its own host_key. */
  readonly knownHosts: string | null
  /** A preview is being removed: nothing of it is recovered. */
  readonly teardown?: true
}

export const runFilePath = (request: Request, token: string): string =>
  join(request.temp, `deploy-action-run-${token}.json`)

/** Whole or not at all. */
export function writeRunFile(path: string, file: RunFile): void {
  mkdirSync(dirname(path), { recursive: true })
  const { written, ...manifest } = file.manifest
  writeFileSync(`${path}.new`, JSON.stringify({ ...file, manifest: { ...manifest, written: [...written] } }), {
    mode: 0o600,
  })
  renameSync(`${path}.new`, path)
}

/** null: there is none, or it is not one of this version. */
export function readRunFile(path: string): RunFile | null {
  try {
    const file = JSON.parse(readFileSync(path, 'utf8')) as RunFile & {
      readonly manifest: { readonly written: readonly string[] }
    }
    return file.version === 1
      ? { ...file, manifest: { ...file.manifest, written: new Set(file.manifest.written) } }
      : null
  } catch {
    return null
  }
}
