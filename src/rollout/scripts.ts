/** What scripts and checks of one server are, filled in: their text, what they see, where they start. Pure. */
import { stepScript } from '../fleet/step-script.ts'
import { checksFor } from '../manifest/checks.ts'
import { resolve, resolveAll } from '../manifest/lookups.ts'
import type { Check, Hold, Migration, Step } from '../manifest/schema.ts'
import { isReleaseId } from '../release/site.ts'
import { previousOf, type Session } from './session.ts'
import {
  commitOf,
  deployVariables,
  lookupNames,
  releaseDirectory,
  type ScriptRelease,
  type Surroundings,
  secretsOf,
  valuesOf,
} from './variables.ts'

/** What of a step its script depends on; null: a check's command. */
export type Scripted = Pick<Step | Migration, 'env' | 'name' | 'shell' | 'working_directory' | 'become'> | null

export interface Scripts {
  /** A release of this server by its id, or another tool's by its link. */
  releaseOf(release: string | null): ScriptRelease | null
  /** `there`: whether the release's directory is; else the script starts in the user's home. Throws InputError. */
  scriptOf(
    text: string,
    release: ScriptRelease | null,
    step: Scripted,
    more?: Record<string, string>,
    there?: boolean,
  ): string
  /** The checks that select this server. Throws ManifestError for a look-up without a value. */
  checksOf(release: ScriptRelease | null): readonly Check[]
  /** The check of a hold, filled in for this server. */
  checkOf(check: NonNullable<Hold['check']>, release: ScriptRelease | null): Check
}

/** Throws InputError for secrets that are missing. */
export function scriptsFor(session: Session, s: Surroundings): Scripts {
  const { server } = session
  const { manifest, plan } = s
  const root = plan.release?.path ?? null
  const previous = previousOf(session.probe)
  const secrets = secretsOf(manifest.secrets, s.env)

  /** The whole commit, as it was recorded when that release came; its id holds twelve digits of it. */
  const commitBefore = (release: string): string | null =>
    session.probe.history.findLast(h => h.release === release && h.commit !== null)?.commit ?? commitOf(release)
  const releaseOf = (release: string | null): ScriptRelease | null => {
    if (release === null || root === null || plan.release === null) return null
    if (release === plan.release.id)
      return { id: release, path: releaseDirectory(root, release), commit: plan.release.commit }
    return isReleaseId(release)
      ? { id: release, path: releaseDirectory(root, release), commit: commitBefore(release) }
      : { id: release, path: release.startsWith('/') ? release : `${root}/${release}`, commit: null }
  }
  const variables = (
    release: ScriptRelease | null,
    step: Pick<Step, 'env' | 'name'> | null,
    more: Record<string, string>,
  ): Record<string, string> => {
    const names = lookupNames(s, release, server)
    const filled = (text: string) => resolve(text, names)
    return {
      ...deployVariables(s, server, release, previous),
      ...more,
      ...valuesOf(manifest.env, s.env, 'env', filled),
      ...valuesOf(server.env, s.env, `env of ${server.name}`, filled),
      ...(step === null ? {} : valuesOf(step.env, s.env, `env of the step "${step.name}"`, filled)),
    }
  }
  /** A user's script with everything it sees. */
  const scriptOf = (
    text: string,
    release: ScriptRelease | null,
    step: Scripted,
    more: Record<string, string> = {},
    there = true,
  ): string =>
    stepScript({
      script: text,
      shell: step?.shell ?? manifest.shell,
      env: variables(release, step, more),
      secrets,
      directory:
        step?.working_directory === undefined
          ? ((there ? release?.path : undefined) ?? '~')
          : resolve(step.working_directory, lookupNames(s, release, server)),
      become: step?.become,
    })

  const checksOf = (release: ScriptRelease | null) => {
    const names = lookupNames(s, release, server)
    return checksFor(manifest.verify, server).map(check =>
      check.command === undefined ? resolveAll(check, names) : check,
    )
  }

  const checkOf: Scripts['checkOf'] = (check, release) => {
    const whole = { ...check, roles: [] }
    return check.command === undefined ? resolveAll(whole, lookupNames(s, release, server)) : whole
  }

  return { releaseOf, scriptOf, checksOf, checkOf }
}
