/** What a plan says, as phrases: the log and the summary of `plan` use the same. Not sanitised yet. */
import type { Plan, PlannedGroup, PlannedServer } from '../plan/plan.ts'
import { sourceText } from '../plan/waits.ts'
import { duration } from './durations.ts'
import { count } from './name-list.ts'

const size = (bytes: number) =>
  bytes < 1_000_000 ? `${Math.ceil(bytes / 1000)} kB` : `${(bytes / 1_000_000).toFixed(1)} MB`

/** What is released, as a phrase; null: the deployment is its steps alone. */
export function releaseText({ release }: Plan): string | null {
  if (!release) return null
  const source =
    release.source === null
      ? 'an empty directory'
      : `${release.source} (${count(release.files, 'file')}, ${size(release.bytes)})`
  return `${release.id} from ${source} to ${release.path}${release.commit ? `, commit ${release.commit}` : ''}`
}

/** Whether and where the migration runs, as a phrase. */
export function migrationText({ migration }: Plan): string {
  if (!migration.enabled) return `no (${migration.origin}): ${migration.reason}`
  const where = migration.server === null ? '' : ` on ${migration.server}`
  const done = migration.done ? ', not run again: this release was migrated before' : ''
  return `yes${where} (${migration.origin})${done}: ${migration.reason}`
}

/** A server's way through the rollout, as a phrase. */
export function wayOf(server: PlannedServer): string {
  if (server.done) return 'skipped if it verifies: an unfinished deployment of this release was done with it'
  if (server.balancers.length === 0) return server.inPlace ? `in place: ${server.inPlace}` : 'in place'
  const { leftOut, keptOut } = server
  const leaves = server.balancers.filter(b => !leftOut.includes(b) && !keptOut.includes(b))
  return [
    ...(leaves.length > 0 ? [`out of ${leaves.join(', ')}, then back`] : []),
    ...(leftOut.length > 0 ? [`left out of ${leftOut.join(', ')} by an earlier deployment: goes back`] : []),
    ...(keptOut.length > 0 ? [`kept out of ${keptOut.join(', ')}: it is out, and not by us`] : []),
  ].join('; ')
}

/** How a group's servers go, as a phrase. */
export function groupText({ strategy, limit, stages, hold }: PlannedGroup): string {
  const most = Math.min(limit, Math.max(1, ...stages.map(s => s.length)))
  const inStages = stages.length > 1 ? `, in ${stages.length} stages of ${stages.map(s => s.length).join(', ')}` : ''
  const by = hold?.check === undefined ? 'verify and the balancers' : 'a check of its own'
  const held = hold === null || stages.length < 2 ? '' : `, held ${duration(hold.for)} between them by ${by}`
  return `${strategy}, ${most === 1 ? 'one server' : `at most ${count(most, 'server')}`} at a time${inStages}${held}`
}

/** How the waits come about, one line for each balancer that has any. */
export const waitTexts = (plan: Plan): readonly string[] =>
  plan.waits
    .filter(wait => wait.removing > 0 || wait.adding > 0)
    .map(
      wait =>
        `${wait.balancer}: adds ${duration(wait.adds)}. ${wait.reason}; ${count(wait.servers, 'server')}, ${duration(wait.removing)} after removing (${sourceText(wait.sources.removing)}), ${duration(wait.adding)} after adding (${sourceText(wait.sources.adding)})`,
    )
