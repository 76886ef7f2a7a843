/**
 * A FAKE of Azure's Resource Manager for one load balancer, made from its published description (github.com/Azure/azure-rest-api-specs,
 * Microsoft.Network, loadBalancer.json) and the page on asynchronous operations: it was never compared with the real one. If-Match is not in
 * the description; the real one knows it (cloud-provider-azure sends it). A change is an operation that runs for a while on the clock it is
 * given; connections follow when it has ended, and for `lagMs` after that. It routes each request anew; the real one routes connections.
 */
import { z } from 'zod'
import type { Clock } from '../../src/clock.ts'
import { type Call, type FakeApi, fakeApi, type Reply } from './fake-api.ts'
import type { Backend } from './routing.ts'

export interface AzureAddress {
  readonly name: string
  readonly ip?: string
  /** The name of a network interface: then the pool is one of those. */
  readonly nic?: string
  readonly adminState?: string
}

export interface FakeAzure extends FakeApi {
  readonly pool: string
  readonly application: string
  routes(): readonly Backend[]
  /** undefined: none is set. */
  adminState(name: string): string | undefined
  /** As another tool would, at once. */
  put(name: string, adminState: string): void
  /** The pool as it would be given now. */
  shown(): Record<string, unknown>
  /** Bodies of PUTs, newest last, and what If-Match said. */
  readonly writes: readonly { readonly body: unknown; readonly ifMatch: string | undefined }[]
  /** These addresses as if they had been there for ever, and nothing else ever changed. */
  settle(addresses?: readonly AzureAddress[]): void
  set(more: Partial<AzureState>): void
}

export interface AzureState {
  readonly operationMs: number
  readonly by: 'Azure-AsyncOperation' | 'Location' | 'nothing'
  readonly shown: 'at begin' | 'at end'
  readonly fails: { readonly code: string; readonly message: string } | null
  /** What a write does while another one runs. */
  readonly meanwhile: 'queue' | 'refuse' | 'supersede'
  readonly probe: boolean
  readonly rules: boolean
  readonly drainPeriodInSeconds: number
  readonly loadDistribution: string
  /** Runs between somebody's GET and PUT of the pool: once. */
  readonly between: (() => void) | undefined
}

export interface AzureFacts {
  readonly clock: Pick<Clock, 'now'>
  readonly token: string
  readonly addresses: readonly AzureAddress[]
  /** By the name of an address. */
  readonly behind: Readonly<Record<string, Backend & { readonly status: () => number }>>
  readonly probe?: { readonly intervalInSeconds: number; readonly probeThreshold: number }
  readonly lagMs?: number
}

const always = Number.NEGATIVE_INFINITY
const usual: AzureState = {
  operationMs: 3000,
  by: 'Azure-AsyncOperation',
  shown: 'at begin',
  fails: null,
  meanwhile: 'queue',
  probe: true,
  rules: true,
  drainPeriodInSeconds: 0,
  loadDistribution: 'Default',
  between: undefined,
}
const group = '/subscriptions/8f3c0e1a-0000-4000-8000-2a1b3c4d5e6f/resourceGroups/shop-prod'
const balancer = `${group}/providers/Microsoft.Network/loadBalancers/shop-lb`
const pool = `${balancer}/backendAddressPools/web`
const locations = `${group.replace(/\/resourceGroups.*/, '')}/providers/Microsoft.Network/locations/westeurope`

const version = z.strictObject({ 'api-version': z.literal('2024-05-01') })
const reference = z.strictObject({ id: z.string() })
const references = z.array(reference).optional()
const state = z.enum(['Succeeded', 'Updating', 'Deleting', 'Failed']).optional()
const backendAddressPool = z.strictObject({
  id: z.string().optional(),
  name: z.string().optional(),
  etag: z.string().optional(),
  type: z.string().optional(),
  properties: z
    .strictObject({
      location: z.string().optional(),
      tunnelInterfaces: z.array(z.unknown()).optional(),
      loadBalancerBackendAddresses: z
        .array(
          z.strictObject({
            name: z.string().optional(),
            properties: z
              .strictObject({
                virtualNetwork: reference.optional(),
                subnet: reference.optional(),
                ipAddress: z.string().optional(),
                networkInterfaceIPConfiguration: reference.optional(),
                loadBalancerFrontendIPConfiguration: reference.optional(),
                inboundNatRulesPortMapping: z
                  .array(
                    z.strictObject({
                      inboundNatRuleName: z.string().optional(),
                      frontendPort: z.int32().optional(),
                      backendPort: z.int32().optional(),
                    }),
                  )
                  .optional(),
                adminState: z.enum(['None', 'Up', 'Down']).optional(),
              })
              .optional(),
          }),
        )
        .optional(),
      backendIPConfigurations: z.array(z.unknown()).optional(),
      loadBalancingRules: references,
      outboundRule: reference.optional(),
      outboundRules: references,
      inboundNatRules: references,
      provisioningState: state,
      drainPeriodInSeconds: z.int32().optional(),
      virtualNetwork: reference.optional(),
      syncMode: z.enum(['Automatic', 'Manual']).optional(),
    })
    .optional(),
})

const error = (status: number, code: string, message: string): Reply => ({
  status,
  body: { error: { code, message, details: [] } },
})

interface Member extends AzureAddress {
  readonly since: number
}
interface Operation {
  readonly id: string
  readonly of: readonly string[]
  readonly until: number
  readonly fails: AzureState['fails']
  readonly apply: () => void
  applied: boolean
  superseded: boolean
}

export async function fakeAzure(facts: AzureFacts): Promise<FakeAzure> {
  const { clock, behind, lagMs = 8000 } = facts
  const probe = facts.probe ?? { intervalInSeconds: 5, probeThreshold: 2 }
  let settings = usual
  let members: readonly Member[] = []
  let turn = 0
  let url = ''
  const gone = new Map<string, number>()
  const operations: Operation[] = []
  const writes: { body: unknown; ifMatch: string | undefined }[] = []

  const setState = (name: string, adminState: string | undefined) => {
    const wasDown = members.find(m => m.name === name)?.adminState === 'Down'
    if (!wasDown && adminState === 'Down') gone.set(name, clock.now())
    const since = wasDown && adminState !== 'Down' ? clock.now() : undefined
    members = members.map(m => {
      if (m.name !== name) return m
      const { adminState: _, ...rest } = m
      return { ...rest, since: since ?? m.since, ...(adminState === undefined ? {} : { adminState }) }
    })
    turn++
  }
  const runs = (operation: Operation) => clock.now() < operation.until && !operation.superseded
  const catchUp = () => {
    for (const operation of operations)
      if (!operation.applied && !runs(operation)) {
        operation.applied = true
        if (operation.fails === null) operation.apply()
      }
  }
  const etag = () => `W/"00000000-0000-0000-0000-${String(turn).padStart(12, '0')}"`

  const addressBody = ({ name, ip, nic, adminState }: Member) => ({
    name,
    properties: {
      ...(ip === undefined
        ? {}
        : { ipAddress: ip, virtualNetwork: { id: `${group}/providers/Microsoft.Network/virtualNetworks/vnet` } }),
      ...(nic === undefined
        ? {}
        : {
            networkInterfaceIPConfiguration: {
              id: `${group}/providers/Microsoft.Network/networkInterfaces/${nic}/ipConfigurations/ipconfig1`,
            },
          }),
      inboundNatRulesPortMapping: [{ inboundNatRuleName: 'ssh', frontendPort: 50_001, backendPort: 22 }],
      ...(adminState === undefined ? {} : { adminState }),
    },
  })
  const rule = `${balancer}/loadBalancingRules/http`
  const poolBody = () => ({
    name: 'web',
    id: pool,
    etag: etag(),
    properties: {
      provisioningState: operations.some(runs) ? 'Updating' : 'Succeeded',
      loadBalancerBackendAddresses: members.map(addressBody),
      ...(settings.rules ? { loadBalancingRules: [{ id: rule }] } : {}),
      drainPeriodInSeconds: settings.drainPeriodInSeconds,
      syncMode: 'Automatic',
    },
    type: 'Microsoft.Network/loadBalancers/backendAddressPools',
  })
  const balancerBody = () => ({
    name: 'shop-lb',
    id: balancer,
    etag: etag(),
    type: 'Microsoft.Network/loadBalancers',
    location: 'westeurope',
    sku: { name: 'Standard', tier: 'Regional' },
    properties: {
      provisioningState: 'Succeeded',
      backendAddressPools: [poolBody()],
      loadBalancingRules: settings.rules
        ? [
            {
              name: 'http',
              id: rule,
              properties: {
                protocol: 'Tcp',
                frontendPort: 80,
                backendPort: 8080,
                loadDistribution: settings.loadDistribution,
                backendAddressPool: { id: pool.replace('shop-prod', 'SHOP-PROD') },
                backendAddressPools: [{ id: pool }],
                ...(settings.probe ? { probe: { id: `${balancer}/probes/up` } } : {}),
              },
            },
          ]
        : [],
      probes: [
        {
          name: 'up',
          id: `${balancer}/probes/up`,
          properties: { protocol: 'Http', port: 8080, requestPath: '/up', numberOfProbes: 1, ...probe },
        },
      ],
    },
  })

  function write(call: Call, lied: boolean): Reply {
    catchUp()
    const { between } = settings
    settings = { ...settings, between: undefined }
    between?.()
    const ifMatch = call.headers['if-match']
    writes.push({ body: call.body, ifMatch })
    if (operations.some(runs) && settings.meanwhile === 'refuse')
      return error(409, 'AnotherOperationInProgress', 'Another operation on this or dependent resource is in progress.')
    if (ifMatch !== undefined && ifMatch !== '*' && ifMatch !== etag())
      return error(
        412,
        'PreconditionFailed',
        'Precondition failed. Etag provided in if-match header does not match etag of the resource.',
      )
    const sent = backendAddressPool.parse(call.body).properties?.loadBalancerBackendAddresses ?? []
    if (sent.length !== members.length) return error(400, 'BadRequest', 'the fake knows no change of addresses')
    const changed = members.filter(m => sent.find(a => a.name === m.name)?.properties?.adminState !== m.adminState)
    const apply = () => {
      for (const { name } of changed) setState(name, sent.find(a => a.name === name)?.properties?.adminState)
    }
    const { fails } = settings
    const early = settings.shown === 'at begin' && fails === null
    if (settings.meanwhile === 'supersede') for (const o of operations.filter(runs)) o.superseded = true
    if (early && !lied) apply()
    if (settings.by === 'nothing') {
      if (!early && !lied) apply()
      return { status: 200, body: poolBody() }
    }
    const id = `5f1c0000-0000-4000-8000-${String(operations.length).padStart(12, '0')}`
    operations.push({
      id,
      of: lied ? [] : changed.map(m => m.name),
      until: clock.now() + settings.operationMs,
      fails,
      apply,
      applied: early || lied,
      superseded: false,
    })
    const kind = settings.by === 'Location' ? 'operationResults' : 'operations'
    const at = `${url}${locations}/${kind}/${id}?api-version=2024-05-01`
    return {
      status: settings.by === 'Location' ? 202 : 200,
      body: poolBody(),
      headers: { 'retry-after': '10', [settings.by.toLowerCase()]: at },
    }
  }
  const found = (id: string | undefined, reply: (operation: Operation) => Reply): Reply => {
    catchUp()
    const operation = operations.find(o => o.id === id)
    return operation ? reply(operation) : error(404, 'OperationNotFound', `operation ${id} not found`)
  }
  const superseded = {
    code: 'CanceledAndSupersededDueToAnotherOperation',
    message: 'Operation was canceled and superseded.',
  }
  /** Resource ids are compared without regard to case. */
  const at = (path: string) => new RegExp(`^${path}$`, 'i')
  const versioned = (call: Call, reply: () => Reply): Reply =>
    call.query.has('api-version')
      ? reply()
      : error(400, 'MissingApiVersionParameter', 'The api-version query parameter is required.')

  const api = await fakeApi({
    token: facts.token,
    error: (status, code, message) =>
      status === 401 ? error(401, 'InvalidAuthenticationToken', message) : error(status, code, message),
    throttled: () => ({
      ...error(429, 'TooManyRequests', 'The request is being throttled.'),
      headers: { 'retry-after': '2' },
    }),
    routes: [
      {
        method: 'GET',
        path: at(balancer),
        query: version.extend({ $expand: z.string().optional() }),
        reply: call => versioned(call, () => ({ status: 200, body: balancerBody() })),
      },
      {
        method: 'GET',
        path: at(pool),
        query: version,
        reply: call => {
          catchUp()
          return versioned(call, () => ({ status: 200, body: poolBody() }))
        },
      },
      {
        method: 'GET',
        path: at(`${balancer}/backendAddressPools/[^/]+`),
        query: version,
        reply: ({ path }) => error(404, 'NotFound', `Resource ${path} not found.`),
      },
      {
        method: 'PUT',
        path: at(pool),
        query: version,
        body: backendAddressPool,
        reply: (call, _, lied) => versioned(call, () => write(call, lied)),
      },
      {
        method: 'GET',
        path: at(`${locations}/operations/([0-9a-f-]{36})`),
        query: version,
        reply: (_, [id]) =>
          found(id, operation => {
            if (operation.superseded) return { status: 200, body: { status: 'Canceled', error: superseded } }
            if (runs(operation)) return { status: 200, body: { status: 'InProgress' } }
            return {
              status: 200,
              body: operation.fails ? { status: 'Failed', error: operation.fails } : { status: 'Succeeded' },
            }
          }),
      },
      {
        method: 'GET',
        path: at(`${locations}/operationResults/([0-9a-f-]{36})`),
        query: version,
        reply: (_, [id]) =>
          found(id, operation => {
            if (runs(operation)) return { status: 202 }
            return operation.fails
              ? error(400, operation.fails.code, operation.fails.message)
              : { status: 200, body: poolBody() }
          }),
      },
    ],
  })
  url = api.url

  const underWay = (name: string) => operations.some(o => o.of.includes(name) && runs(o))
  return {
    ...api,
    pool,
    application: pool.replace('loadBalancers', 'applicationGateways'),
    writes,
    adminState(name) {
      catchUp()
      return members.find(m => m.name === name)?.adminState
    },
    put: setState,
    shown: poolBody,
    settle(addresses = facts.addresses) {
      operations.splice(0, operations.length, ...operations.map(o => ({ ...o, applied: true, until: always })))
      settings = usual
      gone.clear()
      members = addresses.map(a => ({ ...a, since: always }))
      turn++
    },
    set(more) {
      settings = { ...settings, ...more }
    },
    routes() {
      catchUp()
      return members.flatMap(({ name, since, adminState }) => {
        const backend = behind[name]
        if (backend === undefined) return []
        const lags = clock.now() - (gone.get(name) ?? always) < lagMs
        if (adminState === 'Down') return lags || underWay(name) ? [backend] : []
        if (adminState === 'Up') return [backend]
        const age = clock.now() - since
        const probed = age >= probe.intervalInSeconds * probe.probeThreshold * 1000
        return probed && !underWay(name) && backend.status() === 200 ? [backend] : []
      })
    },
  }
}
