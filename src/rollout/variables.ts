/** The variables that scripts see, and the names that look-ups know. Pure. */
import { InputError } from '../errors.ts'
import { lookupsIn, resolve } from '../manifest/lookups.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import type { Plan } from '../plan/plan.ts'

/** What is the same for every script of a deployment. */
export interface Surroundings {
  readonly plan: Plan
  readonly manifest: Manifest
  /** The action step's own environment. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly ref: string | null
  readonly runUrl: string | null
  readonly runId: string | null
  readonly repository: string | null
  readonly actor: string | null
  /** The release id, also of a deployment that stages nothing: migrations are recorded by it. */
  readonly contentId: string
  /** The input migrate is true: a migration that ran before runs again. */
  readonly repeatMigration: boolean
}

/** The release a script runs for: the new one, or the previous one when going back. */
export interface ScriptRelease {
  readonly id: string
  readonly path: string
  readonly commit: string | null
}

export const releaseDirectory = (root: string, id: string): string => `${root}/releases/${id}`
export const currentDirectory = (root: string): string => `${root}/current`

/** The commit a release id was made from, as far as the id says it; null for `nocommit` and for other tools' names. */
export const commitOf = (id: string): string | null => /^([0-9a-f]{12})-[0-9a-f]{8}$/.exec(id)?.[1] ?? null

/** `DEPLOY_*` for one server; every name is set, so that a script under `set -u` can ask for any. */
export function deployVariables(
  s: Surroundings,
  server: Server,
  release: ScriptRelease | null,
  previous: string | null,
): Record<string, string> {
  const { plan } = s
  return {
    DEPLOY_APPLICATION: plan.application,
    DEPLOY_ENVIRONMENT: plan.environment ?? '',
    DEPLOY_RELEASE: release?.id ?? '',
    DEPLOY_RELEASE_PATH: release?.path ?? '',
    DEPLOY_CURRENT_PATH: plan.release ? currentDirectory(plan.release.path) : '',
    DEPLOY_PREVIOUS_RELEASE: previous ?? '',
    DEPLOY_SHA: release?.commit ?? '',
    DEPLOY_REF: s.ref ?? '',
    DEPLOY_SERVER: server.name,
    DEPLOY_HOST: server.host,
    DEPLOY_ROLES: server.roles.join(' '),
    DEPLOY_STRATEGY: plan.groups.find(g => g.servers.includes(server.name))?.strategy ?? plan.strategy.value,
    DEPLOY_MIGRATE: String(plan.migration.enabled),
    DEPLOY_PULL_REQUEST: pullRequest(s.manifest) ?? '',
    DEPLOY_RUN_URL: s.runUrl ?? '',
  }
}

/** The number that a preview is of; null: it is none. */
const pullRequest = ({ preview }: Pick<Manifest, 'preview'>): string | null =>
  preview === undefined || preview.number === null ? null : String(preview.number)

type Variables = Readonly<Record<string, string | null>>

/** Values of `env` blocks: look-ups resolved, and names without a value taken from the step's own environment. Throws InputError. */
export function valuesOf(
  variables: Variables,
  env: Surroundings['env'],
  where: string,
  resolve: (text: string) => string,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(variables).map(([name, value]) => {
      if (value !== null) return [name, resolve(value)]
      const own = env[name]
      if (own === undefined)
        throw new InputError(`${where}: ${name} has no value, and the action step's env does not have it`, {
          hint: `add env: {${name}: …} to the step that uses this action, or give it a value in the manifest`,
        })
      return [name, own]
    }),
  )
}

/** Values of `secrets`. Throws InputError that names all that are missing. */
export function secretsOf(names: readonly string[], env: Surroundings['env']): Record<string, string> {
  const missing = names.filter(n => env[n] === undefined || env[n] === '')
  if (missing.length > 0)
    throw new InputError(
      `secrets: ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not in the action step's env`,
      {
        hint: missing.map(n => `env: {${n}: \${{ secrets.${n} }}}`).join(', '),
      },
    )
  return Object.fromEntries(names.map(n => [n, env[n] ?? '']))
}

interface LookupFacts extends Pick<Surroundings, 'env' | 'runId' | 'repository'> {
  readonly manifest: Pick<Manifest, 'application' | 'environment' | 'env' | 'preview'>
}

/**
 * The names that a look-up knows, with values that are whole: first what the run knows, then the manifest's `env`, which may look that
 * up, then the server's, which may look up both.
 */
export function lookupNames(
  s: LookupFacts,
  release: ScriptRelease | null,
  server: Server | null,
): Record<string, string> {
  const names: Record<string, string> = {}
  const set = (name: string, value: string | null | undefined) => {
    if (value !== null && value !== undefined && value !== '') names[name] = value
  }
  set('application', s.manifest.application)
  set('environment', s.manifest.environment)
  set('release.id', release?.id)
  set('release.path', release?.path)
  set('release.sha', release?.commit)
  set('pull_request.number', pullRequest(s.manifest))
  set('github.run_id', s.runId)
  set('github.repository', s.repository)
  set('server.name', server?.name)
  set('server.host', server?.host)
  set('server.id', server?.id)
  const add = (prefix: string, variables: Variables) => {
    for (const [name, value] of Object.entries(variables)) {
      // One that cannot be filled in here (a look-up of the server where none is at hand) has no name: using it is an error that says so.
      const filled = value === null ? s.env[name] : fillable(value, names)
      set(`${prefix}.${name}`, filled)
    }
  }
  add('env', s.manifest.env)
  if (server !== null) add('server.env', server.env)
  return names
}

function fillable(text: string, names: Record<string, string>): string | undefined {
  return lookupsIn(text).every(l => l.name !== null && names[l.name] !== undefined) ? resolve(text, names) : undefined
}
