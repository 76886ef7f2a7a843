/** What a deployment is of and where it goes: the release, the site on the servers, and what scripts see. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Clock } from '../clock.ts'
import { changedFiles, headCommit } from '../github/changed-files.ts'
import type { Request } from '../inputs.ts'
import { resolve } from '../manifest/lookups.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import type { MigrationFacts } from '../plan/gate.ts'
import { migrationServer } from '../plan/gate.ts'
import type { PlannedRelease } from '../plan/plan.ts'
import { type Digest, digestOf, type Json, releaseId } from '../release/digest.ts'
import type { LockInfo } from '../release/lock.ts'
import { pack } from '../release/pack.ts'
import { openSource, type Source } from '../release/source.ts'
import type { Emit } from '../report/events.ts'
import { previousOf, type Session } from '../rollout/session.ts'
import { commitOf, lookupNames } from '../rollout/variables.ts'
import type { Package } from '../rollout/worker.ts'

export interface Material {
  /** The release id, also of a deployment that stages nothing. */
  readonly contentId: string
  readonly commit: string | null
  readonly release: PlannedRelease | null
  readonly source: Source | null
  readonly digest: Digest
}

const notOnServer = { server: null, release: null } as const

/** Names that look-ups know before there is a release or a server at hand. */
const early = (request: Request, manifest: Manifest) =>
  lookupNames(
    { manifest, env: request.env, runId: request.run.runId, repository: request.run.repository },
    notOnServer.release,
    notOnServer.server,
  )

/** `release.path` with its look-ups resolved; null: a deployment of steps alone. */
export const releasePathOf = (request: Request, manifest: Manifest): string | null =>
  manifest.release === undefined ? null : resolve(manifest.release.path, early(request, manifest))

export const urlOf = (
  request: Request,
  manifest: Manifest,
  names: Record<string, string> = early(request, manifest),
): string | null => (manifest.url === undefined ? null : resolve(manifest.url, names))

/** Runs `work` with a directory of its own, which is gone afterwards however it ended. */
export async function withScratch<T>(temp: string, work: (scratch: string) => Promise<T>): Promise<T> {
  mkdirSync(temp, { recursive: true })
  const scratch = mkdtempSync(join(temp, 'deploy-action-'))
  try {
    return await work(scratch)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

/** Reads the source and names the release. Throws InputError. */
export async function materialOf(
  request: Request,
  manifest: Manifest,
  scratch: string,
  emit: Emit,
  signal: AbortSignal,
): Promise<Material> {
  const commit = request.run.headSha ?? request.run.sha ?? (await headCommit(request.workspace))
  const settings = manifest.release
  const written = { shared: settings?.shared ?? [], env: manifest.env, prepare: manifest.prepare }
  const from = request.source ?? settings?.source ?? null
  const source =
    settings === undefined || from === null
      ? null
      : await openSource({ workspace: request.workspace, source: from, exclude: settings.exclude, scratch, signal })
  for (const text of source?.warnings ?? []) emit({ type: 'message', level: 'warning', text })
  const digest = await digestOf(source, written as unknown as Json, signal)
  const contentId = releaseId(commit, digest.digest)
  if (settings === undefined) return { contentId, commit, release: null, source: null, digest }
  const path = releasePathOf(request, manifest) ?? ''
  return {
    contentId,
    commit,
    source,
    digest,
    release: {
      id: contentId,
      commit,
      path,
      source: from,
      files: source?.files ?? 0,
      bytes: source?.bytes ?? 0,
    },
  }
}

/** The packed source; null where no server needs it. */
export async function packageOf(
  material: Material,
  scratch: string,
  sessions: ReadonlyMap<string, Session>,
  signal: AbortSignal,
): Promise<Package | null> {
  const { source, digest, contentId } = material
  if (source === null || [...sessions.values()].every(s => s.probe.marks.some(m => m.id === contentId))) return null
  return pack(source, digest, join(scratch, 'release.tar.gz'), signal)
}

export const newToken = (): string => randomUUID()

/** What others see of the owner of a lock. */
export const lockInfo = ({ run }: Request, clock: Clock, shards?: LockInfo['shards']): LockInfo => ({
  run: run.url,
  actor: run.actor,
  startedAt: new Date(clock.wall()).toISOString(),
  ...(shards && { shards }),
})

/** The server whose records of migrations count, whether it is selected or not. */
export const migratorOf = (manifest: Manifest): readonly Server[] => {
  const server = manifest.migrate === undefined ? null : migrationServer(manifest)
  return server === null ? [] : [server]
}

/** What the servers and git say about migrations. Reads only. */
export async function migrationFactsOf(
  request: Request,
  manifest: Manifest,
  material: Material,
  sessions: ReadonlyMap<string, Session>,
  signal: AbortSignal,
): Promise<MigrationFacts> {
  const none: MigrationFacts = { done: false, underWay: false, changed: null }
  const { migrate } = manifest
  if (migrate === undefined) return none
  const all = [...sessions.values()]
  const records = all
    .flatMap(s => s.probe.migrated)
    .filter(m => m.code === 0)
    .toSorted((a, b) => a.at - b.at)
  const named = material.release !== null || material.commit !== null
  const done = named && records.some(m => m.release === material.contentId)
  const everywhere = manifest.servers.every(server => {
    const session = sessions.get(server.name)
    return session !== undefined && session.probe.current === material.contentId
  })
  // Its deployment succeeded: doing it again, or a part of it, is no half-way state.
  const good = all.every(s => s.probe.history.some(h => h.release === material.contentId && h.result === 'success'))
  const underWay = done && material.release !== null && !everywhere && !good
  if (migrate.paths.length === 0) return { done, underWay, changed: null }
  const server = sessions.get(migrationServer(manifest)?.name ?? '') ?? all[0]
  const previous = server === undefined ? null : previousOf(server.probe)
  const since = records.at(-1)?.commit ?? (previous === null ? null : commitOf(previous))
  if (since === null || material.commit === null)
    return {
      done,
      underWay,
      changed: null,
      unknownBecause: since === null ? 'nothing was deployed or migrated here before' : 'this deployment has no commit',
    }
  const { repository, apiUrl } = request.run
  const changed = await changedFiles({
    workspace: request.workspace,
    from: since,
    to: material.commit,
    paths: migrate.paths,
    repository,
    token: request.githubToken,
    apiUrl,
    signal,
  })
  return 'unknown' in changed
    ? { done, underWay, changed: null, unknownBecause: changed.unknown }
    : { done, underWay, changed: { since, files: changed.files } }
}
