/** Where a deployment keeps its things on a server, as words of a POSIX shell. */
import { InputError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'

export interface Site {
  readonly application: string
  readonly environment: string | null
  /** `release.path`; null: a deployment of steps alone. */
  readonly releasePath: string | null
}

/** The release of a deployment without `environments`; no environment can have this name. */
const noEnvironment = '_'

const refuse = (what: string, value: string, hint: string): never => {
  throw new InputError(`${what} ${JSON.stringify(value)} cannot be used on a server`, { hint })
}

/** The site itself, when every part of it can stand in a path. Throws InputError. */
export function checkedSite(site: Site): Site {
  const { application, environment, releasePath } = site
  if (!/^[a-z0-9-]{1,40}$/.test(application)) refuse('the application', application, 'a-z, 0-9 and "-", at most 40')
  if (environment !== null && !/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(environment))
    refuse('the environment', environment, 'letters, digits, ".", "_" and "-", at most 63')
  if (releasePath === null) return site
  if (!/^\/[^\0-\x1f\x7f]+$/.test(releasePath) || releasePath.split('/').some((p, i) => i > 0 && /^\.{0,2}$/.test(p)))
    refuse('release.path', releasePath, 'an absolute path without control characters, "//", "." and ".." is expected')
  return site
}

/** The directory of lock, journal, marks and history. Throws InputError. */
export function stateDirectory(site: Site): string {
  const { application, environment, releasePath } = checkedSite(site)
  if (releasePath !== null) return quote(`${releasePath}/.deploy-action`)
  return `"\${HOME:?}"/${quote(`.deploy-action/${application}/${environment ?? noEnvironment}`)}`
}

/** `release.path` as a shell word. Throws InputError for a deployment that has none. */
export function rootDirectory(site: Site): string {
  const { releasePath } = checkedSite(site)
  if (releasePath === null)
    throw new InputError('the manifest has no release block', { hint: 'add release: {path: …}' })
  return quote(releasePath)
}

/** Ids made by `releaseId` alone: what comes from elsewhere never becomes part of a path. Throws InputError. */
export function checkedRelease(id: string): string {
  if (!isReleaseId(id)) refuse('the release', id, 'a release is named <commit: 12 hex>-<digest: 8 hex>')
  return id
}

export const isReleaseId = (id: string): boolean => /^([0-9a-f]{12}|nocommit)-[0-9a-f]{8}$/.test(id)

/** Places of `shared`, without the "/" that marks a directory. Throws InputError for those that could leave the release. */
export function sharedPlaces(
  shared: readonly string[],
): readonly { readonly path: string; readonly directory: boolean }[] {
  const places = shared.map(written => {
    const path = written.replace(/\/+$/, '')
    if (/[\0-\x1f\x7f]/.test(path) || path.split('/').some(part => /^\.{0,2}$/.test(part)))
      refuse('shared', written, 'a path inside the release is expected, without "//", "." and ".."')
    return { path, directory: written.endsWith('/') }
  })
  for (const { path } of places) {
    const outer = places.find(p => path.startsWith(`${p.path}/`))
    if (outer !== undefined)
      refuse('shared', path, `it lies in ${outer.path}, which is a link to the shared directory already`)
  }
  return places
}
