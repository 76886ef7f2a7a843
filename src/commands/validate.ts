/** `validate`: everything that can be said of a manifest without a connection, for one environment or for all of them. */
import { InputError, messageOf } from '../errors.ts'
import { parseKnownHosts } from '../fleet/known-hosts.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { mentionsPreviews, readAllEnvironments, readManifest, readPreviewManifest } from '../manifest/read.ts'
import { makePlan } from '../plan/make-plan.ts'
import { noStoredWaits } from '../plan/sticky-waits.ts'
import type { Result } from '../report/events.ts'
import type { Bare } from './context.ts'
import { workspaceReader } from './workspace.ts'

/** Throws ManifestError with all problems, InputError. */
export async function validate({ request, emit }: Bare): Promise<Result> {
  const readFile = workspaceReader(request)
  const options = { file: request.manifest, text: readFile(request.manifest), readFile }
  const manifests =
    request.environment === null
      ? readAllEnvironments(options)
      : [readManifest({ ...options, environment: request.environment })]
  const previews = request.environment === null && mentionsPreviews(options) ? [readPreviewManifest(options, null)] : []
  for (const manifest of [...manifests, ...previews]) {
    canBePlanned(manifest)
    const file = manifest.ssh.known_hosts
    if (file !== undefined && request.sshKnownHosts === null) parseKnownHosts(readFile(file))
  }
  const what = manifests
    .map(m => [m.environment ?? 'the manifest', m] as const)
    .concat(previews.map(m => ['previews', m] as const))
    .map(([name, { servers }]) => `${name}: ${servers.length} server${servers.length === 1 ? '' : 's'}`)
    .join(', ')
  emit({ type: 'message', level: 'info', text: `${request.manifest} is valid (${what})` })
  return 'success'
}

/** What can never be satisfied (min_in_service, a role nobody has) is found by planning a deployment of everything. */
function canBePlanned(manifest: Manifest): void {
  try {
    const wish = { command: 'deploy', servers: 'all', strategy: null, maxParallelism: null, migrate: null } as const
    makePlan(manifest, wish, {
      release: null,
      migration: { done: false, underWay: false, changed: null },
      current: {},
      url: null,
      earlier: [],
      unreachable: [],
      storedWaits: noStoredWaits,
      done: [],
    })
  } catch (error) {
    if (!(error instanceof InputError) || manifest.environment === null) throw error
    throw new InputError(`${manifest.environment}: ${messageOf(error)}`, {
      cause: error,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }
}
