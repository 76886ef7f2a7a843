/** The calls of Google's Compute Engine API that are needed. Source: its discovery document, compute v1, revision 20261106. */
import { z } from 'zod'
import type { Machine } from './cloud-members.ts'
import { type CheckRead, endpointOf, gcpAnswers, type OperationRead, type ServiceRead } from './gcp-answers.ts'
import type { Change, GroupKind, Health, Member } from './gcp-members.ts'
import { lastPart } from './gcp-names.ts'
import { type RestAnswer, type RestRequest, restApi } from './rest-api.ts'
import { RestError } from './rest-errors.ts'

/** Names that were checked: they become parts of paths. */
export interface GcpPlace {
  readonly project: string
  readonly zone: string
  readonly group: string
  readonly kind: GroupKind
}

export interface GcpApi {
  /** networkEndpointType; undefined: an instance group. */
  groupType(at: GcpPlace, signal: AbortSignal): Promise<string | undefined>
  isManaged(at: GcpPlace, signal: AbortSignal): Promise<boolean>
  /** `service`: the path of the backend service whose health of the endpoints counts. */
  members(at: GcpPlace, service: string, signal: AbortSignal): Promise<readonly Member[]>
  /** Of the zone; their ids are their names. */
  instances(at: GcpPlace, signal: AbortSignal): Promise<readonly (Machine<string> & { readonly number: string })[]>
  /** undefined: there is none. `path`: as in `global/backendServices/web`. */
  service(at: GcpPlace, path: string, signal: AbortSignal): Promise<ServiceRead | undefined>
  health(at: GcpPlace, service: string, groupUrl: string, signal: AbortSignal): Promise<readonly Health[]>
  /** undefined: it is not there, or may not be read. */
  check(at: GcpPlace, path: string, signal: AbortSignal): Promise<CheckRead | undefined>
  change(
    at: GcpPlace,
    what: Change,
    members: readonly Member[],
    server: string,
    signal: AbortSignal,
  ): Promise<OperationRead>
  /** undefined: it is not known there (any more). */
  operation(at: GcpPlace, name: string, signal: AbortSignal): Promise<OperationRead | undefined>
}

const perPage = '500'
/** 100,000 of a kind: an answer that always names a next page ends somewhere. */
const mostPages = 200

/** Variables as gcloud and Terraform call them. */
export function gcpApi(name: string, env: Readonly<Record<string, string>>): GcpApi {
  const forms = gcpAnswers()
  const api = restApi({
    name,
    vendor: 'Google Cloud',
    env,
    tokens: ['GOOGLE_OAUTH_ACCESS_TOKEN', 'CLOUDSDK_AUTH_ACCESS_TOKEN'],
    base: { variable: 'CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE', usual: 'https://compute.googleapis.com/compute/v1' },
  })
  const zonal = ({ project, zone }: GcpPlace) => `/projects/${project}/zones/${zone}`
  const collection = ({ kind }: GcpPlace) => (kind === 'instance group' ? 'instanceGroups' : 'networkEndpointGroups')
  const groupPath = (at: GcpPlace) => `${zonal(at)}/${collection(at)}/${at.group}`
  const groupText = (at: GcpPlace) => `${at.kind} ${at.group} in ${at.zone}`
  const read = <S extends z.ZodType>(path: string, what: string, needs: string, answer: S): RestRequest<S> => ({
    method: 'GET',
    path,
    doing: `read ${what}`,
    wanted: what,
    needs,
    answer,
  })
  /** undefined where it is not there, or where one of these is the answer. */
  async function maybe<S extends z.ZodType>(
    request: RestRequest<S>,
    signal: AbortSignal,
    also: readonly number[] = [],
  ) {
    try {
      return (await api.call(request, signal)).body
    } catch (error) {
      if (error instanceof RestError && (error.status === 404 || also.includes(error.status ?? 0))) return undefined
      throw error
    }
  }
  async function all<S extends z.ZodType<{ nextPageToken?: string | undefined }>>(
    request: RestRequest<S>,
    signal: AbortSignal,
  ): Promise<readonly z.output<S>[]> {
    const pages: z.output<S>[] = []
    let token: string | undefined
    do {
      const query: Record<string, string> = {
        maxResults: perPage,
        ...(token === undefined ? {} : { pageToken: token }),
      }
      const { body }: RestAnswer<z.output<S>> = await api.call({ ...request, query }, signal)
      pages.push(body)
      token = body.nextPageToken === '' ? undefined : body.nextPageToken
    } while (token !== undefined && pages.length < mostPages)
    return pages
  }

  return {
    async groupType(at, signal) {
      const needs = `compute.${collection(at)}.get`
      return (await api.call(read(groupPath(at), groupText(at), needs, forms.group), signal)).body.networkEndpointType
    },
    async isManaged(at, signal) {
      const path = `${zonal(at)}/instanceGroupManagers/${at.group}`
      const request = read(
        path,
        `instance group manager ${at.group}`,
        'compute.instanceGroupManagers.get',
        z.object({}),
      )
      return (await maybe(request, signal)) !== undefined
    },
    async members(at, service, signal) {
      const list = (method: string) => `${groupPath(at)}/${method}`
      const facts = { doing: `list the members of ${groupText(at)}`, wanted: groupText(at), method: 'POST' } as const
      if (at.kind === 'instance group') {
        const pages = await all(
          {
            ...facts,
            path: list('listInstances'),
            body: { instanceState: 'ALL' },
            needs: 'compute.instanceGroups.list',
            answer: forms.instancesIn,
          },
          signal,
        )
        return pages.flatMap(p => p.items ?? []).map(({ instance }) => ({ instance: lastPart(instance) }))
      }
      const pages = await all(
        {
          ...facts,
          path: list('listNetworkEndpoints'),
          body: { healthStatus: 'SHOW' },
          needs: 'compute.networkEndpointGroups.list',
          answer: forms.endpointsIn,
        },
        signal,
      )
      return pages.flatMap(p => p.items ?? []).map(item => endpointOf(item, service))
    },
    async instances(at, signal) {
      const list = read(
        `${zonal(at)}/instances`,
        `the instances of ${at.zone}`,
        'compute.instances.list',
        forms.instances,
      )
      const pages = await all(list, signal)
      return pages
        .flatMap(p => p.items ?? [])
        .map(({ id = '', name: called, networkInterfaces = [] }) => ({
          id: called,
          number: id,
          name: called,
          addresses: networkInterfaces
            .flatMap(n => [
              n.networkIP,
              n.ipv6Address,
              ...(n.accessConfigs ?? []).map(a => a.natIP),
              ...(n.ipv6AccessConfigs ?? []).map(a => a.externalIpv6),
            ])
            .flatMap(a => a || []),
        }))
    },
    service: ({ project }, path, signal) =>
      maybe(read(`/projects/${project}/${path}`, path, 'compute.backendServices.get', forms.service), signal),
    async health(at, service, group, signal) {
      const { body } = await api.call(
        {
          method: 'POST',
          path: `/projects/${at.project}/${service}/getHealth`,
          body: { group },
          doing: `read the health of ${groupText(at)}`,
          wanted: service,
          needs: 'compute.backendServices.get',
          answer: forms.health,
        },
        signal,
      )
      return (body.healthStatus ?? []).map(h => ({
        ...(h.instance === undefined ? {} : { instance: lastPart(h.instance) }),
        ...(h.ipAddress ? { ip: h.ipAddress } : {}),
        ...(h.ipv6Address ? { ipv6: h.ipv6Address } : {}),
        ...(h.port === undefined ? {} : { port: h.port }),
        states: [h.healthState, h.ipv6HealthState].flatMap(s => s ?? []),
      }))
    },
    check: ({ project }, path, signal) =>
      maybe(read(`/projects/${project}/${path}`, path, 'compute.healthChecks.get', forms.check), signal, [400, 403]),
    async change(at, what, members, server, signal) {
      const ofInstances = at.kind === 'instance group'
      const method = ofInstances ? `${what}Instances` : `${what === 'add' ? 'attach' : 'detach'}NetworkEndpoints`
      const right = ofInstances ? 'update' : method
      const { body } = await api.call(
        {
          method: 'POST',
          path: `${groupPath(at)}/${method}`,
          body: ofInstances
            ? { instances: members.map(m => reference(at, m)) }
            : { networkEndpoints: members.map(bare) },
          doing: `${what} ${server} ${what === 'add' ? 'to' : 'from'} ${groupText(at)}`,
          wanted: groupText(at),
          needs: `compute.${collection(at)}.${right}${what === 'add' ? ' and compute.instances.use' : ''}`,
          server,
          answer: forms.operation,
        },
        signal,
      )
      return body
    },
    operation: (at, operation, signal) => {
      const path = `${zonal(at)}/operations/${operation}`
      return maybe(read(path, `operation ${operation}`, 'compute.zoneOperations.get', forms.operation), signal)
    },
  }
}

const reference = ({ project, zone }: GcpPlace, { instance = '' }: Member) => ({
  instance: `https://www.googleapis.com/compute/v1/projects/${project}/zones/${zone}/instances/${instance}`,
})

/** An endpoint as it is named in a request. */
const bare = ({ instance, ip, ipv6, port }: Member) => ({
  ...(instance === undefined ? {} : { instance }),
  ...(ip === undefined ? {} : { ipAddress: ip }),
  ...(ipv6 === undefined ? {} : { ipv6Address: ipv6 }),
  ...(port === undefined ? {} : { port }),
})
