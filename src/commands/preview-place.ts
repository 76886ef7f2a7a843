/** Where a pull request's preview lives, with every value at hand; and what speaks against it before anything is connected to. */
import { InputError } from '../errors.ts'
import type { Request } from '../inputs.ts'
import { resolve } from '../manifest/lookups.ts'
import type { Manifest, OtherPath } from '../manifest/manifest.ts'
import { previewName } from '../manifest/preview.ts'
import { nameOf } from '../manifest/preview-checks.ts'
import { meetsAny, plainHost, previewPath } from '../manifest/preview-path.ts'
import type { PreviewPlace } from '../release/preview-scripts.ts'
import { lookupNames } from '../rollout/variables.ts'

interface Asked {
  readonly request: Request
  readonly manifest: Manifest
}

/** The manifest of another pull request's preview. */
export function ofNumber(manifest: Manifest, number: number): Manifest {
  if (manifest.preview === undefined) throw new Error('this is no manifest of a preview')
  return { ...manifest, environment: previewName(number), preview: { ...manifest.preview, number } }
}

/** Throws InputError for a path that breaks a rule, or that nothing says keeps apart from an environment's. */
export function placeOf({ request, manifest }: Asked): PreviewPlace {
  const number = manifest.preview?.number ?? null
  const written = manifest.release?.path
  if (number === null || written === undefined) throw new Error('this is no manifest of one preview')
  const path = previewPath(n => resolved(request, ofNumber(manifest, n), written), number)
  const others = otherPaths({ request, manifest })
  const near = others.find(o => meetsAny(path, o.path))
  if (near !== undefined)
    throw new InputError(
      `a preview's path (here ${path.path}) is, holds or lies in ${near.path}, the path of ${near.environment}`,
      {
        hint: 'give previews a directory of their own: previews.release.path',
      },
    )
  return { ...path, application: manifest.application, number, repository: request.run.repository, others }
}

const resolved = (
  { env, run }: Request,
  manifest: Pick<Manifest, 'application' | 'environment' | 'env' | 'preview'>,
  text: string,
): string => resolve(text, lookupNames({ manifest, env, runId: run.runId, repository: run.repository }, null, null))

/** The environments' paths, as far as they could meet a preview's. Throws InputError for one that is not known and could. */
function otherPaths({ request, manifest }: Asked): PreviewPlace['others'] {
  const hosts = new Set(manifest.servers.map(s => plainHost(s.host)))
  return (manifest.preview?.others ?? []).flatMap(other => {
    const environment = nameOf(other.environment)
    const path = plainPath(request, manifest, other)
    if (path !== null) return [{ environment, path }]
    if (other.hosts !== null && !other.hosts.some(host => hosts.has(plainHost(host)))) return []
    throw new InputError(
      `the path of ${environment} (${other.path}) is not known here, so nothing says that previews keep apart from it`,
      { hint: 'give the step the same env as that environment’s, or previews a host of their own' },
    )
  })
}

/** null: it cannot be filled in, or is no plain path. */
function plainPath(request: Request, { application }: Manifest, { environment, path, env }: OtherPath): string | null {
  try {
    const text = resolved(request, { application, environment, env }, path).replace(/\/+$/, '')
    const plain = text.startsWith('/') && text.split('/').every((part, i) => i === 0 || !/^\.{0,2}$/.test(part))
    return plain ? text : null
  } catch {
    return null
  }
}
