/** Whether everything that scripts and checks see has a value on every server where they run: asked before anything is connected to. */
import { InputError, ManifestError } from '../errors.ts'
import type { Request } from '../inputs.ts'
import { checksFor } from '../manifest/checks.ts'
import { resolve, resolveAll } from '../manifest/lookups.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import type { Step } from '../manifest/schema.ts'
import { migrationServer } from '../plan/gate.ts'
import { serversOf } from '../plan/steps.ts'
import { lookupNames, type ScriptRelease, secretsOf, valuesOf } from '../rollout/variables.ts'

/** Stands for the release, whose name is not known yet; what look-ups make of it is thrown away. */
const anyRelease: ScriptRelease = { id: 'release', path: '/release', commit: 'commit' }
/** So many are named, that the message stays readable. */
const mostNamed = 10

/**
 * Asks for every `env` and `secrets`, and fills in the look-ups of each server that is to run something with them. Throws InputError
 * that names the servers.
 */
export function checkVariables(manifest: Manifest, { env, run, migrate }: Request, servers: readonly Server[]): void {
  const migration = manifest.migrate ? [manifest.migrate] : []
  const steps: readonly Step[] = [...manifest.prepare, ...manifest.activate, ...manifest.finalize, ...manifest.cleanup]
  const asIs = (text: string) => text
  secretsOf(manifest.secrets, env)
  valuesOf(manifest.env, env, 'env', asIs)
  for (const server of servers) valuesOf(server.env, env, `env of ${server.name}`, asIs)
  for (const step of [...steps, ...migration]) valuesOf(step.env, env, `env of the step "${step.name}"`, asIs)

  const release = manifest.release === undefined ? null : anyRelease
  const problems: ManifestError[] = []
  for (const server of servers) {
    const names = lookupNames({ manifest, env, runId: run.runId, repository: run.repository }, release, server)
    const attempt = (where: string, work: () => unknown) => {
      try {
        work()
      } catch (error) {
        if (!(error instanceof ManifestError)) throw error
        const { hint } = error
        problems.push(new ManifestError(`${server.name}: ${where}: ${error.message}`, [], hint ? { hint } : {}))
      }
    }
    const fill = (of: Step['env']) => valuesOf(of, env, '', text => resolve(text, names))
    const runs = [
      ...steps.filter(step => serversOf(step, manifest.environment, servers).includes(server)),
      ...(migrate !== false && migrationServer(manifest)?.name === server.name ? migration : []),
    ]
    const checks = checksFor(manifest.verify, server)
    if (runs.length > 0 || checks.some(check => check.command !== undefined)) {
      attempt('env', () => fill(manifest.env))
      attempt(`env of ${server.name}`, () => fill(server.env))
    }
    for (const step of runs)
      attempt(`the step "${step.name}"`, () => {
        fill(step.env)
        if (step.working_directory !== undefined) resolve(step.working_directory, names)
      })
    for (const check of checks)
      if (check.command === undefined) attempt('verify', () => resolveAll({ ...check, roles: [] }, names))
  }
  const [first] = problems
  if (first === undefined) return
  const more = problems.length > mostNamed ? [`and ${problems.length - mostNamed} more`] : []
  throw new InputError([...problems.slice(0, mostNamed).map(p => p.message), ...more].join('\n'), {
    cause: first,
    ...(first.hint === undefined ? {} : { hint: first.hint }),
  })
}
