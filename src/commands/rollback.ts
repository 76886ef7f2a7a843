/** `rollback`: an earlier release, which is on the servers still, takes the place of the present one. */
import { InputError } from '../errors.ts'
import { makePlan } from '../plan/make-plan.ts'
import { type ReleasesThere, type RollbackTarget, rollbackTarget } from '../plan/rollback-target.ts'
import { shardName } from '../plan/shards.ts'
import { journalState } from '../release/journal.ts'
import { isReleaseId } from '../release/site.ts'
import type { Result } from '../report/events.ts'
import type { Session } from '../rollout/session.ts'
import { carryOut, nothingSelected } from './carry-out.ts'
import { checkVariables } from './check-variables.ts'
import type { Context } from './context.ts'
import { found } from './equipment.ts'
import { selectionOf } from './shard.ts'
import { releasePathOf } from './site.ts'

const releasesOn = (sessions: ReadonlyMap<string, Session>): readonly ReleasesThere[] =>
  [...sessions].map(([server, { probe }]) => {
    const { open, opened } = journalState(probe.journal.entries)
    return { server, ...probe, unfinished: open ? (opened?.release ?? null) : null }
  })

export async function rollback(c: Context): Promise<Result> {
  const { request, manifest } = c
  const path = releasePathOf(request, manifest)
  if (path === null)
    throw new InputError('rollback: the manifest has no release, so there is nothing to go back to', {
      hint: 'add release: {path: …}, or deploy the older commit',
    })
  if (request.release !== null && !isReleaseId(request.release))
    throw new InputError(`input release: "${request.release}" is not the name of a release`, {
      hint: 'it looks like 0123456789ab-01234567; the command status lists what runs, and the summary of each deployment names its own',
    })
  const selection = selectionOf(request, manifest)
  if (nothingSelected(c, selection.all)) return 'success'
  // Each would find out by what its own servers run, while the others change theirs.
  if (selection.shard !== null && request.release === null)
    throw new InputError(
      `rollback in ${shardName(selection.shard)} needs the input release: shards might choose different ones`,
      {
        hint: 'the command status lists what runs, and the summary of each deployment names its own',
      },
    )
  checkVariables(manifest, request, selection.own)
  let chosen: RollbackTarget | null = null
  return carryOut(c, {
    selection,
    material: { release: null, source: null },
    // Of a shard always given.
    build: request.release ?? '',
    alsoRead: manifest.servers,
    async prepare(opened) {
      // Chosen once, before a recovery changes what the servers run.
      chosen ??= rollbackTarget(releasesOn(opened.sessions), releasesOn(opened.others), request.release)
      const { id, commit, reason } = chosen
      const plan = makePlan(
        manifest,
        { ...request, command: 'rollback' },
        {
          release: { id, commit, path, source: null, files: 0, bytes: 0 },
          migration: { done: false, underWay: false, changed: null },
          ...found(c, opened, 'rollback', id),
        },
      )
      const notices = [`Going back to ${id}: ${reason}.`, ...plan.notices]
      return { plan: { ...plan, notices }, contentId: id, packed: null }
    },
  })
}
