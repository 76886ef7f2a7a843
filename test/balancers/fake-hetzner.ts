/**
 * A FAKE of Hetzner Cloud's API, made from its published description (docs.hetzner.cloud, as OpenAPI in MaximilianKoestler/
 * hcloud-openapi, and hcloud-go/schema): it was never compared with the real one. A change is an action that runs for a while on the
 * clock it is given; requests follow when it has ended, and for `lagMs` after that. Health is told for each service.
 */
import { z } from 'zod'
import type { Clock } from '../../src/clock.ts'
import { type FakeApi, fakeApi, type Reply } from './fake-api.ts'
import type { Backend } from './routing.ts'

export interface HetznerServer {
  readonly id: number
  readonly name: string
  readonly ipv4?: string
  readonly ipv6?: string
  readonly private?: readonly string[]
}

/** What answers for a target, and what health checks are told. */
export type Behind = Backend & { readonly status: (port: number) => number }

export interface FakeHetzner extends FakeApi {
  readonly id: number
  routes(): readonly Backend[]
  /** The target as the API shows it: a server's number or an IP. */
  target(key: string): { readonly use_private_ip: boolean } | undefined
  /** As another tool would. */
  put(key: string): void
  take(key: string): void
  /** These targets as if they had been there for ever, and nothing else ever changed. */
  settle(keys: readonly string[], usePrivateIp?: boolean): void
  set(more: Partial<Settings>): void
}

interface Settings {
  /** How long an action runs, in milliseconds. */
  readonly actionMs: number
  /** Whether the list of targets shows a change when its action begins or when it ends. */
  readonly shown: 'at begin' | 'at end'
  /** Other changes are refused while one runs. */
  readonly locks: boolean
  /** Every action fails with this. */
  readonly fails: { readonly code: string; readonly message: string } | null
  /** Servers chosen by a label selector. */
  readonly chosen: readonly number[]
  readonly services: boolean
}

export interface HetznerFacts {
  readonly clock: Pick<Clock, 'now'>
  readonly token: string
  readonly servers: readonly HetznerServer[]
  /** By server number or IP. */
  readonly behind: Readonly<Record<string, Behind>>
  /** Seconds, and how often in a row. */
  readonly check?: { readonly interval: number; readonly retries: number }
  readonly lagMs?: number
}

const always = Number.NEGATIVE_INFINITY
const usual: Settings = {
  actionMs: 1500,
  shown: 'at begin',
  locks: false,
  fails: null,
  chosen: [],
  services: true,
}
const ports = [80, 443] as const

const named = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('server'), server: z.strictObject({ id: z.number().int().min(1) }) }),
  z.strictObject({ type: z.literal('ip'), ip: z.strictObject({ ip: z.union([z.ipv4(), z.ipv6()]) }) }),
  z.strictObject({ type: z.literal('label_selector'), label_selector: z.strictObject({ selector: z.string() }) }),
])
const added = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('server'),
    server: z.strictObject({ id: z.number().int().min(1) }),
    use_private_ip: z.boolean().optional(),
  }),
  // use_private_ip is valid only for the types server and label_selector.
  z.strictObject({ type: z.literal('ip'), ip: z.strictObject({ ip: z.union([z.ipv4(), z.ipv6()]) }) }),
])
const pages = z.strictObject({
  page: z.coerce.number().int().min(1).optional(),
  // The documentation allows 50.
  per_page: z.coerce.number().int().min(1).max(50).optional(),
  name: z.string().optional(),
})

const error = (status: number, code: string, message: string): Reply => ({
  status,
  body: { error: { code, message, details: null } },
})

interface Member {
  readonly since: number
  readonly usePrivateIp: boolean
}
interface Action {
  readonly id: number
  readonly command: 'add_target' | 'remove_target'
  readonly key: string
  readonly until: number
  readonly fails: Settings['fails']
  readonly apply: () => void
  applied: boolean
}

export async function fakeHetzner(facts: HetznerFacts): Promise<FakeHetzner> {
  const { clock, servers, behind, lagMs = 8000 } = facts
  const check = facts.check ?? { interval: 3, retries: 3 }
  const id = 4711
  let settings = usual
  const members = new Map<string, Member>()
  const gone = new Map<string, number>()
  const actions: Action[] = []

  const put = (key: string, usePrivateIp = true) => {
    if (!members.has(key)) members.set(key, { since: clock.now(), usePrivateIp })
    gone.delete(key)
  }
  const take = (key: string) => {
    if (members.delete(key)) gone.set(key, clock.now())
  }
  const runs = (action: Action) => clock.now() < action.until
  /** What has ended since somebody looked. */
  const catchUp = () => {
    for (const action of actions)
      if (!action.applied && !runs(action)) {
        action.applied = true
        if (action.fails === null) action.apply()
      }
  }

  const actionBody = (action: Action) => ({
    id: action.id,
    command: action.command,
    status: runs(action) ? 'running' : action.fails ? 'error' : 'success',
    progress: runs(action) ? 50 : 100,
    started: '2016-01-30T23:55:00Z',
    finished: runs(action) ? null : '2016-01-30T23:56:00Z',
    resources: [{ id, type: 'load_balancer' }],
    error: runs(action) ? null : action.fails,
  })

  function begin(command: Action['command'], key: string, apply: () => void, lied: boolean): Reply {
    const { shown, fails } = settings
    const action: Action = {
      id: 100 + actions.length,
      command,
      key,
      until: clock.now() + settings.actionMs,
      fails,
      apply,
      applied: lied || (shown === 'at begin' && fails === null),
    }
    if (action.applied && !lied) apply()
    actions.push(action)
    return { status: 201, body: { action: actionBody(action) } }
  }

  function change(command: Action['command'], body: unknown, lied: boolean): Reply {
    catchUp()
    if (settings.locks && actions.some(runs)) return error(423, 'locked', 'item is locked: another action is running')
    const given = command === 'add_target' ? added.parse(body) : named.parse(body)
    if (given.type === 'label_selector') return error(422, 'invalid_input', 'no such target')
    const key = given.type === 'server' ? String(given.server.id) : given.ip.ip
    if (given.type === 'server' && !servers.some(s => s.id === given.server.id))
      return error(422, 'invalid_input', `server with ID '${key}' not found`)
    if (command === 'remove_target')
      return members.has(key)
        ? begin(command, key, () => take(key), lied)
        : error(422, 'invalid_input', 'no such target')
    if (members.has(key)) return error(422, 'target_already_defined', 'target is already defined')
    const usePrivateIp = 'use_private_ip' in given && given.use_private_ip === true
    return begin(command, key, () => put(key, usePrivateIp), lied)
  }

  const healthOf = (key: string, since: number) =>
    ports.map(listen_port => {
      const age = clock.now() - since
      const healthy = (behind[key]?.status(listen_port) ?? 200) === 200
      if (age < check.interval * 1000) return { listen_port, status: 'unknown' }
      const long = age >= check.interval * check.retries * 1000
      return { listen_port, status: !healthy ? 'unhealthy' : long ? 'healthy' : 'unknown' }
    })

  const targetBody = (key: string, { since, usePrivateIp }: Member) => ({
    ...(key.includes('.') || key.includes(':')
      ? { type: 'ip', ip: { ip: key } }
      : { type: 'server', server: { id: Number(key) }, use_private_ip: usePrivateIp }),
    health_status: settings.services ? healthOf(key, since) : [],
  })

  const serviceBody = (listen_port: number) => ({
    protocol: 'http',
    listen_port,
    destination_port: 80,
    proxyprotocol: false,
    health_check: {
      protocol: 'http',
      port: 80,
      timeout: 2,
      ...check,
      http: { domain: null, path: '/up', response: '', status_codes: ['2??'], tls: false },
    },
    http: { cookie_name: 'HCLBSTICKY', cookie_lifetime: 300, certificates: [], sticky_sessions: false },
  })

  const balancerBody = () => ({
    id,
    name: 'example-lb',
    public_net: { enabled: true, ipv4: { ip: '192.0.2.200', dns_ptr: null }, ipv6: { ip: '2001:db8::200' } },
    private_net: [{ network: 4711, ip: '10.0.0.200' }],
    protection: { delete: false },
    labels: {},
    created: '2016-01-30T23:50:00+00:00',
    algorithm: { type: 'round_robin' },
    services: settings.services ? ports.map(serviceBody) : [],
    targets: [
      ...[...members].map(([key, member]) => targetBody(key, member)),
      ...(settings.chosen.length === 0
        ? []
        : [
            {
              type: 'label_selector',
              label_selector: { selector: 'role=web' },
              use_private_ip: true,
              targets: settings.chosen.map(n => targetBody(String(n), { since: always, usePrivateIp: true })),
            },
          ]),
    ],
    included_traffic: 10_000,
    ingoing_traffic: null,
    outgoing_traffic: null,
  })

  const serverBody = (server: HetznerServer) => ({
    id: server.id,
    name: server.name,
    status: 'running',
    created: '2016-01-30T23:50:00+00:00',
    public_net: {
      ipv4: server.ipv4 === undefined ? null : { id: 1, ip: server.ipv4, blocked: false, dns_ptr: '' },
      ipv6: server.ipv6 === undefined ? null : { id: 2, ip: server.ipv6, blocked: false, dns_ptr: [] },
      floating_ips: [],
    },
    private_net: (server.private ?? []).map(ip => ({ network: 4711, ip, alias_ips: [], mac_address: '86:00:ff:2a' })),
    labels: {},
    locked: false,
  })

  const isOurs = (wanted: string | undefined, then: () => Reply): Reply => {
    catchUp()
    return wanted === String(id) ? then() : error(404, 'not_found', `load balancer with ID '${wanted}' not found`)
  }

  const api = await fakeApi({
    token: facts.token,
    error,
    throttled: () => ({
      ...error(429, 'rate_limit_exceeded', 'limit of 3600 requests per hour reached'),
      headers: {
        'ratelimit-limit': '3600',
        'ratelimit-remaining': '0',
        'ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 3600),
      },
    }),
    routes: [
      {
        method: 'GET',
        path: /^\/v1\/load_balancers\/(\d+)$/,
        reply: (_, [wanted]) => isOurs(wanted, () => ({ status: 200, body: { load_balancer: balancerBody() } })),
      },
      {
        method: 'POST',
        path: /^\/v1\/load_balancers\/(\d+)\/actions\/add_target$/,
        body: added,
        reply: ({ body }, [wanted], lied) => isOurs(wanted, () => change('add_target', body, lied)),
      },
      {
        method: 'POST',
        path: /^\/v1\/load_balancers\/(\d+)\/actions\/remove_target$/,
        body: named,
        reply: ({ body }, [wanted], lied) => isOurs(wanted, () => change('remove_target', body, lied)),
      },
      {
        method: 'GET',
        path: /^\/v1\/actions\/(\d+)$/,
        reply: (_, [wanted]) => {
          catchUp()
          const action = actions.find(a => String(a.id) === wanted)
          return action
            ? { status: 200, body: { action: actionBody(action) } }
            : error(404, 'not_found', `action with ID '${wanted}' not found`)
        },
      },
      {
        method: 'GET',
        path: /^\/v1\/servers$/,
        query: pages,
        reply: ({ query }) => {
          const { per_page = 25, page = 1 } = pages.parse(Object.fromEntries(query))
          const last_page = Math.ceil(servers.length / per_page)
          return {
            status: 200,
            body: {
              servers: servers.slice((page - 1) * per_page, page * per_page).map(serverBody),
              meta: {
                pagination: {
                  page,
                  per_page,
                  previous_page: page > 1 ? page - 1 : null,
                  next_page: page < last_page ? page + 1 : null,
                  last_page,
                  total_entries: servers.length,
                },
              },
            },
          }
        },
      },
      {
        method: 'GET',
        path: /^\/v1\/servers\/(\d+)$/,
        reply: (_, [wanted]) => {
          const found = servers.find(s => String(s.id) === wanted)
          return found
            ? { status: 200, body: { server: serverBody(found) } }
            : error(404, 'not_found', `server with ID '${wanted}' not found`)
        },
      },
    ],
  })

  /** Requests follow a change only when its action has ended. */
  const underWay = (key: string) => actions.find(a => a.key === key && runs(a))?.command
  return {
    ...api,
    url: `${api.url}/v1`,
    id,
    target(key) {
      catchUp()
      const member = members.get(key)
      return member && { use_private_ip: member.usePrivateIp }
    },
    put,
    take,
    settle(keys, usePrivateIp = true) {
      for (const action of actions) action.applied = true
      actions.splice(0, actions.length, ...actions.map(a => ({ ...a, until: always })))
      settings = usual
      members.clear()
      gone.clear()
      for (const key of keys) members.set(key, { since: always, usePrivateIp })
    },
    set(more) {
      settings = { ...settings, ...more }
    },
    routes() {
      catchUp()
      return Object.entries(behind).flatMap(([key, backend]) => {
        const member = members.get(key)
        const since = member?.since
        const left = gone.get(key)
        const healthy = since !== undefined && healthOf(key, since).every(h => h.status === 'healthy')
        const lags = left !== undefined && clock.now() - left < lagMs
        return (healthy && underWay(key) !== 'add_target') || lags || underWay(key) === 'remove_target' ? [backend] : []
      })
    },
  }
}
