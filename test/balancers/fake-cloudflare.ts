/**
 * A FAKE of Cloudflare's Load Balancing API, made from its published description (github.com/cloudflare/api-schemas, load-balancing_*,
 * and cloudflare-typescript, which is generated from it): it was never compared with the real one. A write is at once in the answers;
 * requests follow it `lagMs` later, and health is that of the last check, on the clock it is given. Disabled origins are not checked.
 */
import { z } from 'zod'
import type { Clock } from '../../src/clock.ts'
import { type FakeApi, fakeApi, type Reply } from './fake-api.ts'
import type { Backend } from './routing.ts'

/** Without what is read-only: disabled_at. `healthy` and `failure_reason` are in answers only. */
const origin = z.strictObject({
  name: z.string().optional(),
  address: z.string().optional(),
  enabled: z.boolean().optional(),
  port: z.number().int().min(0).max(65_535).optional(),
  weight: z.number().min(0).max(1).multipleOf(0.01).optional(),
  header: z.strictObject({ Host: z.array(z.string()).max(1).optional() }).optional(),
  virtual_network_id: z.string().optional(),
})
export type FakeOrigin = z.output<typeof origin>
const edit = z.strictObject({ origins: z.array(origin).optional(), enabled: z.boolean().optional() })

interface State {
  readonly origin: FakeOrigin
  readonly disabledAt: string | undefined
  health: { readonly healthy: boolean; readonly at: number } | undefined
  /** What requests follow until the lag after a change is over. */
  readonly before: { readonly enabled: boolean; readonly until: number }
}

export interface PoolSettings {
  readonly enabled: boolean
  readonly minimum_origins: number
  readonly monitor: string | null
}

export interface FakeCloudflare extends FakeApi {
  readonly account: string
  routes(): readonly Backend[]
  /** As another tool would: writes the whole list. */
  write(pool: string, change: (origins: readonly FakeOrigin[]) => readonly FakeOrigin[]): void
  origins(pool: string): readonly FakeOrigin[]
  configure(pool: string, more: Partial<PoolSettings>): void
  /** What a region says of an address, instead of what its check says; undefined: nothing. */
  region(name: string, healthy: Readonly<Record<string, boolean | undefined>>): void
  /** Called once, before or after the next write of that kind is carried out. */
  once(when: 'before write' | 'after write', work: () => void): void
  /** The next calls of that kind are answered like this instead. */
  instead(method: 'GET' | 'PATCH', reply: Reply, times?: number): void
  /** As if nothing had ever been changed. */
  settle(): void
}

export interface CloudflareFacts {
  readonly clock: Pick<Clock, 'now'>
  readonly token: string
  readonly pools: Readonly<Record<string, readonly FakeOrigin[]>>
  /** What answers for an origin, by its name, and whether it is healthy. */
  readonly backends: Readonly<Record<string, Backend & { readonly status: () => number }>>
  readonly monitor?: Readonly<Record<string, number>>
  readonly lagMs?: number
}

export const monitorId = 'f1aba936b94213e5b8dca0c0dbf1f9cc'

const failed = (status: number, code: string, message: string): Reply => ({
  status,
  body: { success: false, errors: [{ code: Number.parseInt(code, 10) || 1000, message }], messages: [], result: null },
})
const ok = (result: unknown): Reply => ({ status: 200, body: { success: true, errors: [], messages: [], result } })

export async function fakeCloudflare(facts: CloudflareFacts): Promise<FakeCloudflare> {
  const { clock, backends, lagMs = 5000 } = facts
  const account = '023e105f4ecef8ad9ca31a8372d0c353'
  const monitor = { interval: 15, timeout: 5, retries: 2, consecutive_up: 0, consecutive_down: 0, ...facts.monitor }
  const pools = new Map<string, { settings: PoolSettings; states: readonly State[]; writes: number }>()
  const regions = new Map<string, Readonly<Record<string, boolean | undefined>>>()
  const hooks = new Map<string, () => void>()
  const replies: { method: string; reply: Reply }[] = []

  function settle(): void {
    regions.clear()
    hooks.clear()
    replies.length = 0
    for (const [id, origins] of Object.entries(facts.pools))
      pools.set(id, {
        settings: { enabled: true, minimum_origins: 1, monitor: monitorId },
        writes: 0,
        states: origins.map(o => ({
          origin: o,
          disabledAt: o.enabled === false ? '2026-01-01T00:00:00Z' : undefined,
          health: { healthy: true, at: clock.now() },
          before: { enabled: o.enabled !== false, until: Number.NEGATIVE_INFINITY },
        })),
      })
  }
  settle()

  const effective = (state: State): boolean =>
    clock.now() < state.before.until ? state.before.enabled : state.origin.enabled !== false

  function write(id: string, origins: readonly FakeOrigin[]): void {
    const pool = pools.get(id)
    if (pool === undefined) return
    pool.writes++
    const old = pool.states
    pool.states = origins.map(o => {
      const was = old.find(s => s.origin.name === o.name && s.origin.address === o.address && s.origin.port === o.port)
      const enabled = o.enabled !== false
      if (was !== undefined && (was.origin.enabled !== false) === enabled) return { ...was, origin: o }
      return {
        origin: o,
        disabledAt: enabled ? undefined : `2026-11-21T12:00:${String(pool.writes % 60).padStart(2, '0')}Z`,
        health: was?.health,
        before: { enabled: was !== undefined && effective(was), until: clock.now() + lagMs },
      }
    })
  }

  function checked(state: State): State {
    const due = state.health === undefined || clock.now() - state.health.at >= (monitor.interval ?? 60) * 1000
    if (state.origin.enabled !== false && due)
      state.health = { healthy: (backends[state.origin.name ?? '']?.status() ?? 200) === 200, at: clock.now() }
    return state
  }

  const bodyOf = (id: string, { settings, states, writes }: NonNullable<ReturnType<typeof pools.get>>) => ({
    id,
    name: `pool-${id.slice(0, 4)}`,
    description: '',
    created_on: '2014-01-01T05:20:00.12345Z',
    modified_on: `2026-11-21T12:00:${String(writes % 60).padStart(2, '0')}.0Z`,
    ...settings,
    monitor: settings.monitor,
    check_regions: ['WEU', 'ENAM'],
    notification_email: '',
    origin_steering: { policy: 'random' },
    origins: states.map(checked).map(({ origin: o, disabledAt, health }) => ({
      ...o,
      ...(disabledAt === undefined ? {} : { disabled_at: disabledAt }),
      ...(health === undefined || settings.monitor === null
        ? {}
        : { healthy: health.healthy, failure_reason: health.healthy ? 'No failures' : 'HTTP timeout occurred' }),
    })),
  })

  const healthOf = (states: readonly State[]) => {
    const known = states.map(checked).filter(s => s.health !== undefined)
    const one = (healthy: boolean) => ({
      failure_reason: healthy ? 'No failures' : 'HTTP timeout occurred',
      healthy,
      response_code: healthy ? 200 : 500,
      rtt: '12.1ms',
    })
    const own = known.map(s => [s.origin.address ?? '', s.health?.healthy === true] as const)
    const inRegion = (told: Readonly<Record<string, boolean | undefined>>) =>
      own.flatMap(([address, healthy]) => {
        const said = address in told ? told[address] : healthy
        return said === undefined ? [] : [{ [address]: one(said) }]
      })
    const names = [...new Set(['Amsterdam, NL', 'Ashburn, VA', ...regions.keys()])]
    return Object.fromEntries(
      names.map(name => {
        const origins = inRegion(regions.get(name) ?? {})
        return [name, { healthy: origins.some(o => Object.values(o)[0]?.healthy), origins }]
      }),
    )
  }

  const hook = (when: string) => {
    const work = hooks.get(when)
    hooks.delete(when)
    work?.()
  }
  const at = (
    method: string,
    groups: readonly string[],
    reply: (pool: NonNullable<ReturnType<typeof pools.get>>, id: string) => Reply,
  ): Reply => {
    const next = replies.findIndex(r => r.method === method)
    if (next >= 0) return replies.splice(next, 1)[0]?.reply ?? failed(500, '1000', 'no reply')
    if (groups[0] !== account) return failed(403, '10000', 'Authentication error')
    const found = pools.get(groups[1] ?? '')
    return found === undefined ? failed(404, '1001', 'pool not found') : reply(found, groups[1] ?? '')
  }
  const path = (rest: string) => new RegExp(`^/client/v4/accounts/([0-9a-f]{32})/load_balancers/${rest}$`)

  const api = await fakeApi({
    token: facts.token,
    error: failed,
    throttled: () => ({
      ...failed(429, '971', 'Please wait and consider throttling'),
      headers: { 'retry-after': '5' },
    }),
    routes: [
      {
        method: 'GET',
        path: path('pools/([0-9a-f]{32})'),
        reply: (_, groups) => at('GET', groups, (pool, id) => ok(bodyOf(id, pool))),
      },
      {
        method: 'GET',
        path: path('pools/([0-9a-f]{32})/health'),
        reply: (_, groups) =>
          at('health', groups, (pool, id) => {
            if (pool.settings.monitor === null) return failed(404, '1002', 'Health info unavailable')
            return ok({ pool_id: id, pop_health: healthOf(pool.states) })
          }),
      },
      {
        method: 'GET',
        path: path('monitors/([0-9a-f]{32})'),
        reply: (_, groups) =>
          groups[0] === account && groups[1] === monitorId
            ? ok({ id: monitorId, type: 'http', description: '', path: '/up', expected_codes: '2xx', ...monitor })
            : failed(404, '1001', 'monitor not found'),
      },
      {
        method: 'PATCH',
        path: path('pools/([0-9a-f]{32})'),
        body: edit,
        reply: ({ body }, groups, lied) =>
          at('PATCH', groups, (pool, id) => {
            hook('before write')
            const { origins } = edit.parse(body)
            if (origins !== undefined && !lied) write(id, origins)
            const answer = ok(bodyOf(id, pool))
            hook('after write')
            return answer
          }),
      },
    ],
  })

  return {
    ...api,
    account,
    settle,
    write: (id, change) => write(id, change((pools.get(id)?.states ?? []).map(s => s.origin))),
    origins: id => (pools.get(id)?.states ?? []).map(s => s.origin),
    configure(id, more) {
      const found = pools.get(id)
      if (found) found.settings = { ...found.settings, ...more }
    },
    region: (name, healthy) => regions.set(name, healthy),
    once: (when, work) => hooks.set(when, work),
    instead(method, reply, times = 1) {
      for (let i = 0; i < times; i++) replies.push({ method, reply })
    },
    routes: () => {
      const sending = [...pools.values()].flatMap(({ settings, states }) =>
        states.filter(
          s => settings.enabled && effective(s) && s.origin.weight !== 0 && checked(s).health?.healthy !== false,
        ),
      )
      return [...new Set(sending.map(s => s.origin.name ?? ''))].flatMap(name => backends[name] ?? [])
    },
  }
}
