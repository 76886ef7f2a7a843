/** Names of Google Cloud's resources, as a manifest gives them. They become parts of paths. Pure. */
import { BalancerError } from '../errors.ts'
import type { GroupKind } from './gcp-members.ts'

/** The patterns of the discovery document. */
const resource = /^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$/
const project =
  /^(?:(?:[-a-z0-9]{1,63}\.)*[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?:)?(?:\d{1,19}|[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?)$/

export const isResourceName = (text: string): boolean => resource.test(text)

/** `…/instances/web1` is web1. */
export const lastPart = (url: string): string => url.slice(url.lastIndexOf('/') + 1)

/** A zone is its region and a letter. */
const regionOf = (zone: string): string => zone.slice(0, zone.lastIndexOf('-'))

export interface Named {
  readonly project: string
  readonly zone: string
  readonly group: string
  readonly kind: GroupKind
  /** Paths the backend service may have: a bare name may be a global one and one of the zone's region. */
  readonly services: readonly string[]
}

/** Throws BalancerError with everything that cannot be a name. */
export function namesFrom(
  name: string,
  given: { readonly project: string; readonly zone: string; readonly group: string; readonly service: string },
  kind: GroupKind,
): Named {
  const wrong = [
    ...(project.test(given.project) ? [] : [`project "${given.project}"`]),
    ...(resource.test(given.zone) && /-/.test(given.zone) ? [] : [`zone "${given.zone}"`]),
    ...(resource.test(given.group) ? [] : [`${kind} "${given.group}"`]),
  ]
  const services = servicesMeant(given.service, given.zone)
  if (services === undefined) wrong.push(`backend_service "${given.service}"`)
  if (wrong.length > 0 || services === undefined)
    throw new BalancerError(`${name}: no such name can be at Google Cloud: ${wrong.join(', ')}`, {
      hint: 'names as `gcloud compute backend-services list` shows them; a backend service also as regions/REGION/backendServices/NAME',
    })
  const { project: inProject, zone, group } = given
  return { project: inProject, zone, group, kind, services }
}

function servicesMeant(text: string, zone: string): readonly string[] | undefined {
  if (resource.test(text))
    return [`global/backendServices/${text}`, `regions/${regionOf(zone)}/backendServices/${text}`]
  const [, path, region, called] =
    /^(?:https:\/\/[\w./-]+\/)?(?:projects\/[^/]+\/)?((?:global|regions\/([^/]+))\/backendServices\/([^/]+))$/.exec(
      text,
    ) ?? []
  const allowed = called !== undefined && resource.test(called) && (region === undefined || resource.test(region))
  return path !== undefined && allowed ? [path] : undefined
}

/** `global/healthChecks/web` of a URL, when it is one that can be read. */
export function checkPath(url: string): string | undefined {
  const [, path] =
    /\/((?:global|regions\/[a-z0-9-]+)\/(?:healthChecks|httpHealthChecks|httpsHealthChecks)\/[a-z0-9-]+)$/.exec(url) ??
    []
  return path
}
