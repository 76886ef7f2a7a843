/**
 * The migrations gate (semantics.md): whether migrations are enabled, why, and whether the script still has to run.
 * Enabled means that the whole rollout is serial, whatever was asked.
 */
import { InputError } from '../errors.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import type { Plan, PlannedMigration } from './plan.ts'

/** What was found about migrations before the plan is made. */
export interface MigrationFacts {
  /** The release was migrated before, as recorded on the servers. */
  readonly done: boolean
  /** The release was migrated and is not yet on all servers of the environment. */
  readonly underWay: boolean
  /** Which of `migrate.paths` changed, since which commit. `null`: it could not be found out, which counts as changed. */
  readonly changed: { readonly since: string; readonly files: readonly string[] } | null
  /** Why `changed` is null. */
  readonly unknownBecause?: string
}

/** Who asks, as far as the gate depends on it. */
export interface Asked {
  /** The input; null: left out. */
  readonly migrate: boolean | null
  readonly rollback?: boolean
  /** A shard, or the plan of shards. */
  readonly fanOut?: boolean
}

/** Migrated in the job before: saying `false` in a fan-out is the word that its shards need not be serial. */
const lifted = (asked: Asked, facts: MigrationFacts): boolean =>
  asked.fanOut === true && asked.migrate === false && facts.underWay

const noMigration = (origin: PlannedMigration['origin'], reason: string): PlannedMigration => ({
  enabled: false,
  origin,
  reason,
  server: null,
  done: false,
})

/** The migration's server: the first of the environment with one of the roles, before any filter. */
export function migrationServer(manifest: Manifest): Server | null {
  const roles = manifest.migrate?.roles ?? []
  return manifest.servers.find(s => roles.length === 0 || roles.some(r => s.roles.includes(r))) ?? null
}

/** Pure: the gate with all its inputs. Throws InputError when the migration's server is left out, or unreachable, while it has to run. */
export function migrationGate(
  manifest: Manifest,
  asked: Asked,
  selected: readonly Server[],
  facts: MigrationFacts,
  unreachable: readonly string[] = [],
): PlannedMigration {
  if (asked.rollback) return noMigration('default', 'a rollback never migrates, and undoes no migration')
  const { migrate } = manifest
  const input = asked.migrate
  if (migrate === undefined) {
    if (input === true)
      throw new InputError('input migrate is true, but the manifest has no migrate block', {
        hint: 'add migrate: {run: …}, or leave the input out',
      })
    return noMigration('default', 'the manifest has no migrate block')
  }
  if (input === false && (!facts.underWay || lifted(asked, facts)))
    return noMigration('input', 'the input migrate is false')
  const server = migrationServer(manifest)
  if (server === null)
    throw new InputError(`no server can migrate: none has the role ${migrate.roles.join(' or ')}`, {
      hint: 'see migrate.roles',
    })
  const decision = decide(migrate.paths, input, facts)
  if (!decision.enabled) return noMigration('manifest', decision.reason)
  const done = facts.done && input !== true
  if (!done && unreachable.includes(server.name))
    throw new InputError(`the migration has to run on ${server.name}, which cannot be reached`, {
      hint: 'bring it up first, or set migrate to false to deploy without migrating',
    })
  if (!done && !selected.some(s => s.name === server.name))
    throw new InputError(`the migration has to run on ${server.name}, which the input servers leaves out`, {
      hint: `add ${server.name} to servers, or set migrate to false to deploy without migrating`,
    })
  return { enabled: true, origin: decision.origin, reason: decision.reason, server: server.name, done }
}

/** What people are to know of the gate. `without`: the strategy that applies without it. */
export function gateNotices(
  manifest: Manifest,
  asked: Asked,
  facts: MigrationFacts,
  { enabled, done, reason }: PlannedMigration,
  without: Plan['strategy'],
): readonly string[] {
  const notices: string[] = []
  if (lifted(asked, facts))
    notices.push(
      'This release was migrated and is not on all servers yet; its shards are not held to serial, for the input migrate is false.',
    )
  if (enabled && without.value !== 'serial')
    notices.push(
      `Deploying in serial: migrations are enabled (${reason}). ${without.value} was ${without.origin === 'input' ? 'asked for' : `to apply (${without.reason})`}; this deployment only.`,
    )
  if (done) notices.push('The migration of this release has run before and is not repeated; migrate: true repeats it.')
  if (asked.rollback && manifest.migrate !== undefined)
    notices.push(
      'A rollback undoes no migration, and is not held to serial by one: the database stays as it is.' +
        (asked.migrate === true ? ' The input migrate: true has no effect.' : ''),
    )
  return notices
}

function decide(
  paths: readonly string[],
  input: boolean | null,
  facts: MigrationFacts,
): { enabled: true; origin: 'input' | 'manifest'; reason: string } | { enabled: false; reason: string } {
  if (input === true) return { enabled: true, origin: 'input', reason: 'the input migrate is true' }
  if (facts.underWay)
    return { enabled: true, origin: 'manifest', reason: 'this release was migrated and is not on all servers yet' }
  if (paths.length === 0)
    return { enabled: true, origin: 'manifest', reason: 'the manifest has a migrate block without paths' }
  if (facts.changed === null)
    return {
      enabled: true,
      origin: 'manifest',
      reason: `it is not known whether ${paths.join(', ')} changed (${facts.unknownBecause ?? 'no commit to compare with'}), which counts as changed`,
    }
  const { files, since } = facts.changed
  if (files.length === 0)
    return { enabled: false, reason: `nothing under ${paths.join(', ')} changed since ${since.slice(0, 12)}` }
  const shown = files.slice(0, 3).join(', ')
  return {
    enabled: true,
    origin: 'manifest',
    reason: `changed since ${since.slice(0, 12)}: ${shown}${files.length > 3 ? ` and ${files.length - 3} more` : ''}`,
  }
}
