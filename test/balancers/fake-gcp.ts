/**
 * A FAKE of Google's Compute Engine API, made from its discovery document (compute v1, revision 20261106): it was never compared with the
 * real one. A change is an operation that runs for a while on the clock it is given; requests follow when it has ended, and for `lagMs`
 * after that. A detached endpoint is told as DRAINING for the whole draining timeout; of an instance nothing is told once it is out.
 */
import { z } from 'zod'
import type { Clock } from '../../src/clock.ts'
import { type Call, type FakeApi, fakeApi, type Reply, type Route } from './fake-api.ts'
import type { Backend } from './routing.ts'

export interface GcpInstance {
  readonly name: string
  readonly id: string
  readonly ip: string
  readonly nat?: string
}

export interface Endpoint {
  readonly instance?: string
  readonly ipAddress?: string
  readonly port?: number
}

export interface FakeGcp extends FakeApi {
  routes(): readonly Backend[]
  /** What the group shows of an instance or address: endpoints that drain are not in. */
  members(of: string): readonly Endpoint[]
  /** As another tool would, at once. */
  put(...endpoints: readonly Endpoint[]): void
  take(of: string): void
  /** These members as if they had been there for ever, and nothing else ever changed. */
  settle(endpoints: readonly Endpoint[]): void
  set(more: Partial<GcpState>): void
}

export interface GcpState {
  /** How long an operation runs, in milliseconds. */
  readonly operationMs: number
  /** Whether the members show a change when its operation begins or when it ends. */
  readonly shown: 'at begin' | 'at end'
  /** Every operation ends with this. */
  readonly fails: { readonly code: string; readonly message: string } | null
  /** The group refuses a change while another one runs. */
  readonly locks: boolean
  readonly managed: boolean
  readonly type: string
  /** The endpoints' health is told with them: centralised health checks. */
  readonly tellsHealth: boolean
  /** Where the backend service is; `other`: it has another group. */
  readonly scopes: readonly ('global' | 'regions/europe-west1')[]
  readonly otherGroup: boolean
  /** undefined: no connectionDraining. */
  readonly drainSeconds: number | undefined
  readonly sessionAffinity: string
  readonly annotated: boolean
}

export interface GcpFacts {
  readonly clock: Pick<Clock, 'now'>
  readonly token: string
  readonly instances: readonly GcpInstance[]
  /** By the name of an instance, or the address of an endpoint. */
  readonly behind: Readonly<Record<string, Backend & { readonly status: () => number }>>
  readonly check?: { readonly checkIntervalSec: number; readonly healthyThreshold: number; readonly timeoutSec: number }
  readonly lagMs?: number
  readonly state?: Partial<GcpState>
}

const project = 'shop-project'
const zone = 'europe-west1-b'
const always = Number.NEGATIVE_INFINITY
const here = `https://www.googleapis.com/compute/v1/projects/${project}`
const usual: GcpState = {
  operationMs: 1500,
  shown: 'at begin',
  fails: null,
  locks: false,
  managed: false,
  type: 'GCE_VM_IP_PORT',
  tellsHealth: true,
  scopes: ['global'],
  otherGroup: false,
  drainSeconds: 30,
  sessionAffinity: 'NONE',
  annotated: false,
}

const instanceUrl = z
  .string()
  .regex(/^https:\/\/www\.googleapis\.com\/compute\/v1\/projects\/[^/]+\/zones\/[^/]+\/instances\/[^/]+$/)
const references = z.strictObject({ instances: z.array(z.strictObject({ instance: instanceUrl })).min(1) })
const endpoints = z.strictObject({
  networkEndpoints: z
    .array(
      z.strictObject({
        annotations: z.record(z.string(), z.string()).optional(),
        fqdn: z.string().optional(),
        instance: z.string().optional(),
        ipAddress: z.string().optional(),
        ipv6Address: z.string().optional(),
        port: z.int32().optional(),
      }),
    )
    .min(1),
})
const pages = z.strictObject({
  filter: z.string().optional(),
  maxResults: z.coerce.number().int().min(0).max(500).optional(),
  orderBy: z.string().optional(),
  pageToken: z.string().optional(),
})

const error = (status: number, reason: string, message: string): Reply => ({
  status,
  body: { error: { code: status, message, errors: [{ message, domain: 'global', reason }] } },
})
const notFound = (what: string) => error(404, 'notFound', `The resource '${what}' was not found`)

interface Member extends Endpoint {
  readonly since: number
}
interface Operation {
  readonly name: string
  readonly what: 'add' | 'remove'
  readonly of: readonly string[]
  readonly until: number
  readonly fails: GcpState['fails']
  readonly apply: () => void
  applied: boolean
}
const keyOf = ({ instance, ipAddress, port }: Endpoint) => `${instance ?? ''} ${ipAddress ?? ''} ${port ?? ''}`
const ownerOf = ({ instance, ipAddress = '' }: Endpoint) => instance ?? ipAddress

export async function fakeGcp(facts: GcpFacts): Promise<FakeGcp> {
  const { clock, behind, instances, lagMs = 8000 } = facts
  const check = facts.check ?? { checkIntervalSec: 5, healthyThreshold: 2, timeoutSec: 5 }
  const first: GcpState = { ...usual, ...facts.state }
  let state = first
  const members = new Map<string, Member>()
  const gone = new Map<string, Member>()
  const operations: Operation[] = []

  const put = (endpoint: Endpoint) => {
    const key = keyOf(endpoint)
    if (!members.has(key)) members.set(key, { ...endpoint, since: clock.now() })
    gone.delete(key)
  }
  const takeKey = (key: string) => {
    const member = members.get(key)
    if (members.delete(key) && member) gone.set(key, { ...member, since: clock.now() })
  }
  const of = (owner: string) => [...members.values()].filter(m => ownerOf(m) === owner)
  const runs = (operation: Operation) => clock.now() < operation.until
  const catchUp = () => {
    for (const operation of operations)
      if (!operation.applied && !runs(operation)) {
        operation.applied = true
        if (operation.fails === null) operation.apply()
      }
  }

  const operationBody = (operation: Operation) => ({
    kind: 'compute#operation',
    id: '4711',
    name: operation.name,
    zone: `${here}/zones/${zone}`,
    operationType: operation.what,
    status: runs(operation) ? 'RUNNING' : 'DONE',
    progress: runs(operation) ? 0 : 100,
    insertTime: '2026-01-01T00:00:00.000-08:00',
    ...(runs(operation) || operation.fails === null ? {} : { error: { errors: [operation.fails] } }),
  })
  function begin(what: Operation['what'], changed: readonly Endpoint[], lied: boolean): Reply {
    const { fails, shown, operationMs } = state
    const apply = () => {
      for (const endpoint of changed) {
        if (what === 'add') put(endpoint)
        else takeKey(keyOf(endpoint))
      }
    }
    const early = shown === 'at begin' && fails === null
    if (early && !lied) apply()
    const operation: Operation = {
      name: `operation-17-${operations.length}`,
      what,
      of: lied ? [] : changed.map(ownerOf),
      until: clock.now() + operationMs,
      fails,
      apply,
      applied: lied || early,
    }
    operations.push(operation)
    return { status: 200, body: operationBody(operation) }
  }

  function change(what: Operation['what'], wanted: readonly Endpoint[], lied: boolean): Reply {
    catchUp()
    if (state.locks && operations.some(runs)) return error(400, 'resourceNotReady', 'The resource is not ready')
    for (const endpoint of wanted) {
      const known = instances.find(i => i.name === endpoint.instance)
      if (endpoint.instance !== undefined && !known) return notFound(`instances/${endpoint.instance}`)
      if (known && endpoint.ipAddress !== undefined && known.ip !== endpoint.ipAddress)
        return error(400, 'invalid', `The address ${endpoint.ipAddress} does not belong to ${known.name}`)
      const there = members.has(keyOf(endpoint))
      const text = `Resource '${endpoint.instance ?? endpoint.ipAddress}' is`
      if (what === 'add' && there) return error(400, 'memberAlreadyExists', `${text} already a member`)
      if (what === 'remove' && !there) return error(400, 'invalid', `${text} not a member`)
    }
    return begin(what, wanted, lied)
  }

  const healthOf = (member: Member) => {
    const age = clock.now() - member.since
    if (age < check.checkIntervalSec * 1000) return undefined
    const well = behind[ownerOf(member)]?.status() === 200
    return well && age >= check.checkIntervalSec * check.healthyThreshold * 1000 ? 'HEALTHY' : 'UNHEALTHY'
  }
  const drains = ({ since }: Member) => clock.now() - since < (state.drainSeconds ?? 0) * 1000
  const url = (instance = '') => `${here}/zones/${zone}/instances/${instance}`

  const collection = (instanceGroup: boolean) =>
    instanceGroup ? 'instanceGroups/web-group' : 'networkEndpointGroups/web-neg'
  const groupUrl = () => `${here}/zones/${zone}/${collection(state.type === 'instance group')}`
  const serviceBody = () => ({
    kind: 'compute#backendService',
    id: '99',
    name: 'web',
    backends: [{ group: state.otherGroup ? `${groupUrl()}-2` : groupUrl(), balancingMode: 'RATE', maxRate: 100 }],
    healthChecks: [`${here}/global/healthChecks/web-check`],
    protocol: 'HTTP',
    sessionAffinity: state.sessionAffinity,
    ...(state.drainSeconds === undefined ? {} : { connectionDraining: { drainingTimeoutSec: state.drainSeconds } }),
  })
  const endpointBody = ({ instance, ipAddress, port }: Member, healthState: string | undefined) => ({
    networkEndpoint: {
      ...(instance === undefined ? {} : { instance: url(instance) }),
      ...(ipAddress === undefined ? {} : { ipAddress }),
      ...(port === undefined ? {} : { port }),
      ...(state.annotated ? { annotations: { a: 'b' } } : {}),
    },
    ...(state.tellsHealth && healthState !== undefined
      ? { healths: [{ backendService: { backendService: `${here}/global/backendServices/web` }, healthState }] }
      : {}),
  })
  /** A page may hold fewer than were asked for. */
  const paged = (call: Call, items: readonly unknown[]): Reply => {
    const from = Number(call.query.get('pageToken') ?? '0')
    const size = Math.min(100, Number(call.query.get('maxResults') ?? '500'))
    const more = from + size < items.length
    return {
      status: 200,
      body: {
        kind: 'compute#list',
        items: items.slice(from, from + size),
        ...(more ? { nextPageToken: `${from + size}` } : {}),
      },
    }
  }
  const isGroup = (kind = '', wanted = '') => `${kind}/${wanted}` === collection(state.type === 'instance group')
  const base = `^/compute/v1/projects/${project}`
  const at = (path: string) => new RegExp(`${base}${path}$`)
  const group = (path: string, wanted: readonly string[], reply: () => Reply): Reply => {
    catchUp()
    return isGroup(...wanted) ? reply() : notFound(path)
  }
  const bare = ({ instance, ...rest }: Endpoint): Endpoint => ({
    ...rest,
    ...(instance === undefined ? {} : { instance: instance.slice(instance.lastIndexOf('/') + 1) }),
  })
  const routes: readonly Route[] = [
    {
      method: 'GET',
      path: at(`/zones/${zone}/(instanceGroups|networkEndpointGroups)/([^/]+)`),
      reply: ({ path }, wanted) =>
        group(path, wanted, () => ({
          status: 200,
          body:
            state.type === 'instance group'
              ? { name: 'web-group', size: members.size }
              : { name: 'web-neg', networkEndpointType: state.type },
        })),
    },
    {
      method: 'GET',
      path: at(`/zones/${zone}/instanceGroupManagers/([^/]+)`),
      reply: ({ path }) =>
        state.managed ? { status: 200, body: { name: 'web-group', targetSize: 2 } } : notFound(path),
    },
    {
      method: 'POST',
      path: at(`/zones/${zone}/(instanceGroups)/([^/]+)/listInstances`),
      query: pages,
      body: z.strictObject({ instanceState: z.enum(['ALL', 'RUNNING']).optional() }),
      reply: (call, wanted) =>
        group(call.path, wanted, () =>
          paged(
            call,
            [...members.values()].map(m => ({ instance: url(m.instance), status: 'RUNNING' })),
          ),
        ),
    },
    {
      method: 'POST',
      path: at(`/zones/${zone}/(networkEndpointGroups)/([^/]+)/listNetworkEndpoints`),
      query: pages,
      body: z.strictObject({ healthStatus: z.enum(['SHOW', 'SKIP']).optional() }),
      reply: (call, wanted) =>
        group(call.path, wanted, () =>
          paged(call, [
            ...[...members.values()].map(m => endpointBody(m, healthOf(m) ?? 'UNKNOWN')),
            ...(state.tellsHealth ? [...gone.values()].filter(drains).map(m => endpointBody(m, 'DRAINING')) : []),
          ]),
        ),
    },
    ...(['add', 'remove'] as const).flatMap((what): readonly Route[] => [
      {
        method: 'POST',
        path: at(`/zones/${zone}/(instanceGroups)/([^/]+)/${what}Instances`),
        query: z.strictObject({ requestId: z.uuid().optional() }),
        body: references,
        reply: ({ path, body }, wanted, lied) =>
          group(path, wanted, () => change(what, references.parse(body).instances.map(bare), lied)),
      },
      {
        method: 'POST',
        path: at(
          `/zones/${zone}/(networkEndpointGroups)/([^/]+)/${what === 'add' ? 'attach' : 'detach'}NetworkEndpoints`,
        ),
        query: z.strictObject({ requestId: z.uuid().optional() }),
        body: endpoints,
        reply: ({ path, body }, wanted, lied) =>
          group(path, wanted, () =>
            change(what, (endpoints.parse(body).networkEndpoints as readonly Endpoint[]).map(bare), lied),
          ),
      },
    ]),
    {
      method: 'GET',
      path: at(`/zones/${zone}/operations/([a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)`),
      reply: ({ path }, [wanted]) => {
        catchUp()
        const found = operations.find(o => o.name === wanted)
        return found ? { status: 200, body: operationBody(found) } : notFound(path)
      },
    },
    {
      method: 'GET',
      path: at(`/zones/${zone}/instances`),
      query: pages,
      reply: call =>
        paged(
          call,
          instances.map(({ name, id, ip, nat }) => ({
            id,
            name,
            status: 'RUNNING',
            networkInterfaces: [
              { name: 'nic0', networkIP: ip, accessConfigs: nat === undefined ? [] : [{ natIP: nat }] },
            ],
          })),
        ),
    },
    {
      method: 'GET',
      path: at('/(global|regions/[^/]+)/backendServices/([^/]+)'),
      reply: ({ path }, [scope = '', wanted]) =>
        wanted === 'web' && state.scopes.some(s => s === scope) ? { status: 200, body: serviceBody() } : notFound(path),
    },
    {
      method: 'POST',
      path: at('/(global|regions/[^/]+)/backendServices/([^/]+)/getHealth'),
      body: z.strictObject({ group: z.url() }),
      reply: ({ path, body }, [, wanted]) => {
        catchUp()
        if (wanted !== 'web') return notFound(path)
        if ((body as { group: string }).group !== groupUrl()) return error(400, 'invalid', 'the group is no backend')
        const healthStatus = [...members.values()].flatMap(m => {
          const healthState = healthOf(m)
          const instance = m.instance === undefined ? {} : { instance: url(m.instance) }
          const ipAddress = m.ipAddress ?? instances.find(i => i.name === m.instance)?.ip
          return healthState ? [{ ...instance, ipAddress, port: m.port ?? 80, healthState }] : []
        })
        return {
          status: 200,
          body: { kind: 'compute#backendServiceGroupHealth', ...(healthStatus.length > 0 ? { healthStatus } : {}) },
        }
      },
    },
    {
      method: 'GET',
      path: at('/global/healthChecks/web-check'),
      reply: () => ({ status: 200, body: { name: 'web-check', type: 'HTTP', unhealthyThreshold: 2, ...check } }),
    },
  ]
  const api = await fakeApi({
    token: facts.token,
    error,
    throttled: () => error(403, 'rateLimitExceeded', "Quota exceeded for quota metric 'Queries'"),
    routes,
  })
  const underWay = (owner: string) => operations.find(o => o.of.includes(owner) && runs(o))?.what

  return {
    ...api,
    url: `${api.url}/compute/v1/`,
    members(owner) {
      catchUp()
      return of(owner).map(({ since: _, ...rest }) => rest)
    },
    put(...all) {
      for (const endpoint of all) put(endpoint)
    },
    take(owner) {
      for (const member of of(owner)) takeKey(keyOf(member))
    },
    settle(all) {
      operations.splice(0, operations.length, ...operations.map(o => ({ ...o, applied: true, until: always })))
      state = first
      members.clear()
      gone.clear()
      for (const endpoint of all) members.set(keyOf(endpoint), { ...endpoint, since: always })
    },
    set(more) {
      state = { ...state, ...more }
    },
    routes() {
      catchUp()
      return Object.entries(behind).flatMap(([owner, backend]) => {
        const own = of(owner)
        const healthy = own.length > 0 && own.every(m => healthOf(m) === 'HEALTHY')
        const lags = [...gone.values()].some(m => ownerOf(m) === owner && clock.now() - m.since < lagMs)
        return (healthy && underWay(owner) !== 'add') || lags || underWay(owner) === 'remove' ? [backend] : []
      })
    },
  }
}
