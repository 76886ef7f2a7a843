/** What of a group and its backend service does not change while a deployment runs, and whether it can be used. */
import { BalancerError } from '../errors.ts'
import type { ServiceRead } from './gcp-answers.ts'
import type { GcpApi, GcpPlace } from './gcp-api.ts'
import { checkPath, type Named } from './gcp-names.ts'
import { shortened } from './rest-errors.ts'

export interface GroupFacts {
  /** Its endpoints are addresses outside of Google, not instances. */
  readonly byAddress: boolean
  /** The path of the backend service. */
  readonly service: string
  /** The group as the backend service names it. */
  readonly url: string
  /** connectionDraining.drainingTimeoutSec. */
  readonly drainMs: number
  /** Of passing health checks until it is healthy; undefined: it is not known. */
  readonly addMs: number | undefined
  readonly sticky: boolean
}

/** Types whose endpoints stand in a zone and can be attached one by one. */
const endpointTypes = ['GCE_VM_IP_PORT', 'GCE_VM_IP', 'NON_GCP_PRIVATE_IP_PORT']

/** Throws BalancerError where the group cannot be changed by single members, or is not behind that backend service. */
export async function groupFacts(name: string, api: GcpApi, named: Named, signal: AbortSignal): Promise<GroupFacts> {
  const place: GcpPlace = named
  const text = `${name}: the ${named.kind} ${named.group}`
  const type = await api.groupType(place, signal)
  if (named.kind === 'instance group' && (await api.isManaged(place, signal)))
    throw new BalancerError(`${text} is managed: what leaves it is replaced or recreated by its manager`, {
      hint: 'put the instances into a zonal network endpoint group or an unmanaged instance group, or use the provider health-file',
    })
  if (named.kind === 'network endpoint group' && !endpointTypes.includes(type ?? ''))
    throw new BalancerError(`${text} holds ${shortened(type ?? 'nothing known')}: servers cannot be detached from it`, {
      hint: `the types ${endpointTypes.join(', ')} can be changed`,
    })
  const { path, url, service } = await findService(name, api, named, signal)
  const check = (service.healthChecks ?? []).map(checkPath).find(p => p !== undefined)
  const every = check === undefined ? undefined : await api.check(place, check, signal)
  return {
    byAddress: type === 'NON_GCP_PRIVATE_IP_PORT',
    service: path,
    url,
    drainMs: (service.connectionDraining?.drainingTimeoutSec ?? 0) * 1000,
    addMs: every && (every.checkIntervalSec * every.healthyThreshold + every.timeoutSec) * 1000,
    sticky: !['NONE', undefined].includes(service.sessionAffinity),
  }
}

/** The one backend service of that name that has the group. */
async function findService(name: string, api: GcpApi, named: Named, signal: AbortSignal) {
  const found: { readonly path: string; readonly service: ServiceRead }[] = []
  for (const path of named.services) {
    const service = await api.service(named, path, signal)
    if (service) found.push({ path, service })
  }
  const tail = `/zones/${named.zone}/${named.kind === 'instance group' ? 'instanceGroups' : 'networkEndpointGroups'}/${named.group}`
  const having = found.flatMap(({ path, service }) =>
    (service.backends ?? []).filter(b => b.group.endsWith(tail)).map(({ group: url }) => ({ path, service, url })),
  )
  const [only, other] = having
  if (only !== undefined && other === undefined) return only
  const fail = (what: string, hint: string): never => {
    throw new BalancerError(`${name}: ${what}`, { hint })
  }
  if (found.length === 0)
    return fail(
      `there is no ${named.services.join(' and no ')} in project ${named.project}`,
      '`gcloud compute backend-services list` shows them',
    )
  if (other !== undefined)
    return fail(
      `${having.map(h => h.path).join(' and ')} both have the ${named.kind} ${named.group}`,
      'say which one is meant: backend_service: regions/REGION/backendServices/NAME',
    )
  const there = found.flatMap(({ service }) => service.backends ?? []).map(b => b.group)
  return fail(
    `the ${named.kind} ${named.group} in ${named.zone} is no backend of ${found.map(f => f.path).join(' or ')}; backends: ${shortened(there.join(', ')) || 'none'}`,
    'look at project, zone and names in the manifest',
  )
}
