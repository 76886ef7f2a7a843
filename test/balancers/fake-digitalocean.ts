/**
 * A FAKE of DigitalOcean's API, made from its published description (github.com/digitalocean/openapi, specification/resources/
 * load_balancers and droplets): it was never compared with the real one. Membership is at once in the list; requests follow it later,
 * on the clock it is given: gone droplets still get some for `lagMs`, new ones none before their health checks have passed.
 */
import { z } from 'zod'
import type { Clock } from '../../src/clock.ts'
import { type FakeApi, fakeApi, type Reply } from './fake-api.ts'
import type { Backend } from './routing.ts'

export interface Droplet {
  readonly id: number
  readonly name: string
  readonly v4?: readonly string[]
  readonly v6?: readonly string[]
}

export interface FakeDigitalocean extends FakeApi {
  readonly id: string
  /** The backends that get new requests now. */
  routes(): readonly Backend[]
  has(droplet: number): boolean
  /** As another tool would; `since`: as if it had been there for ever. */
  put(droplet: number): void
  take(droplet: number): void
  /** As if nothing had ever been changed. */
  settle(droplets: readonly number[]): void
  /** What the load balancer is, besides its droplets. */
  set(more: Partial<Settings>): void
}

interface Settings {
  readonly tag: string
  readonly type: 'REGIONAL' | 'GLOBAL'
  readonly status: 'new' | 'active' | 'errored'
  /** Milliseconds after a write in which others are refused. */
  readonly busyMs: number
}

export interface DigitaloceanFacts {
  readonly clock: Pick<Clock, 'now' | 'wall'>
  readonly token: string
  readonly droplets: readonly Droplet[]
  /** What answers for a droplet, and whether it is healthy. */
  readonly backends: Readonly<Record<number, Backend & { readonly status: () => number }>>
  readonly check?: { readonly check_interval_seconds: number; readonly healthy_threshold: number }
  readonly lagMs?: number
}

const always = Number.NEGATIVE_INFINITY
const ids = z.strictObject({ droplet_ids: z.array(z.number().int().min(1)) })
const pages = z.strictObject({
  per_page: z.coerce.number().int().min(1).max(200).optional(),
  page: z.coerce.number().int().min(1).optional(),
  name: z.string().optional(),
  type: z.enum(['droplets', 'gpus']).optional(),
})

const error = (status: number, id: string, message: string): Reply => ({
  status,
  body: { id, message, request_id: '4d9d8375-3c56-4925-a3e7-eb137fed17e9' },
})

const dropletBody = ({ id, name, v4 = [], v6 = [] }: Droplet) => ({
  id,
  name,
  memory: 1024,
  vcpus: 1,
  disk: 25,
  locked: false,
  status: 'active',
  created_at: '2020-07-21T18:37:44Z',
  networks: {
    v4: v4.map(ip_address => ({ ip_address, netmask: '255.255.240.0', gateway: '192.0.2.254', type: 'public' })),
    v6: v6.map(ip_address => ({ ip_address, netmask: 64, gateway: '2001:db8::1', type: 'public' })),
  },
  tags: [],
})

export async function fakeDigitalocean(facts: DigitaloceanFacts): Promise<FakeDigitalocean> {
  const { clock, droplets, backends, lagMs = 12_000 } = facts
  const check = facts.check ?? { check_interval_seconds: 10, healthy_threshold: 3 }
  const id = '4de7ac8b-495b-4884-9a69-1050c6793cd6'
  const usual: Settings = { tag: '', type: 'REGIONAL', status: 'active', busyMs: 0 }
  let settings = usual
  const members = new Map<number, number>()
  const gone = new Map<number, number>()
  let busyUntil = always

  const put = (droplet: number) => {
    if (!members.has(droplet)) members.set(droplet, clock.now())
    gone.delete(droplet)
  }
  const take = (droplet: number) => {
    if (members.delete(droplet)) gone.set(droplet, clock.now())
  }
  const limits = () => ({
    'ratelimit-limit': '5000',
    'ratelimit-remaining': '0',
    'ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 3),
  })

  function write(change: (droplet: number) => void, wanted: readonly number[], lied: boolean): Reply {
    if (settings.tag !== '') return error(422, 'unprocessable_entity', 'droplets cannot be changed while a tag is set')
    if (clock.now() < busyUntil)
      return error(403, 'forbidden', "Load Balancer can't be updated while it processes previous actions")
    const unknown = wanted.find(w => !droplets.some(d => d.id === w))
    if (unknown !== undefined) return error(422, 'unprocessable_entity', `droplet ${unknown} does not exist`)
    if (!lied) for (const droplet of wanted) change(droplet)
    busyUntil = clock.now() + settings.busyMs
    return { status: 204 }
  }

  const api = await fakeApi({
    token: facts.token,
    error,
    throttled: () => ({ ...error(429, 'too_many_requests', 'API rate limit exceeded.'), headers: limits() }),
    routes: [
      {
        method: 'GET',
        path: /^\/v2\/load_balancers\/([^/]+)$/,
        reply: (_, [wanted]) =>
          wanted !== id
            ? error(404, 'not_found', 'The resource you were accessing could not be found.')
            : {
                status: 200,
                body: {
                  load_balancer: {
                    id,
                    name: 'example-lb-01',
                    ip: '104.131.186.241',
                    size_unit: 1,
                    status: settings.status,
                    type: settings.type,
                    created_at: '2017-02-01T22:22:58Z',
                    forwarding_rules: [
                      { entry_protocol: 'http', entry_port: 80, target_protocol: 'http', target_port: 80 },
                    ],
                    health_check: {
                      protocol: 'http',
                      port: 80,
                      path: '/up',
                      response_timeout_seconds: 5,
                      unhealthy_threshold: 5,
                      ...check,
                    },
                    sticky_sessions: { type: 'none' },
                    region: { slug: 'nyc3', name: 'New York 3' },
                    tag: settings.tag,
                    droplet_ids: [...members.keys()],
                    enable_backend_keepalive: true,
                  },
                },
              },
      },
      ...(['POST', 'DELETE'] as const).map(method => ({
        method,
        path: /^\/v2\/load_balancers\/([^/]+)\/droplets$/,
        body: ids,
        reply: ({ body }: { readonly body: unknown }, [wanted]: readonly string[], lied: boolean) =>
          wanted !== id
            ? error(404, 'not_found', 'The resource you were accessing could not be found.')
            : write(method === 'POST' ? put : take, ids.parse(body).droplet_ids, lied),
      })),
      {
        method: 'GET',
        path: /^\/v2\/droplets$/,
        query: pages,
        reply: ({ query }) => {
          const { per_page: size = 20, page = 1 } = pages.parse(Object.fromEntries(query))
          const next = page * size < droplets.length
          return {
            status: 200,
            body: {
              droplets: droplets.slice((page - 1) * size, page * size).map(dropletBody),
              links: next ? { pages: { next: `https://api.digitalocean.com/v2/droplets?page=${page + 1}` } } : {},
              meta: { total: droplets.length },
            },
          }
        },
      },
      {
        method: 'GET',
        path: /^\/v2\/droplets\/(\d+)$/,
        reply: (_, [wanted]) => {
          const found = droplets.find(d => String(d.id) === wanted)
          if (found) return { status: 200, body: { droplet: dropletBody(found) } }
          return error(404, 'not_found', 'The resource you were accessing could not be found.')
        },
      },
    ],
  })

  const healthyMs = check.check_interval_seconds * check.healthy_threshold * 1000
  return {
    ...api,
    id,
    has: droplet => members.has(droplet),
    put,
    take,
    settle(wanted) {
      members.clear()
      gone.clear()
      busyUntil = always
      settings = usual
      for (const droplet of wanted) members.set(droplet, always)
    },
    set(more) {
      settings = { ...settings, ...more }
    },
    routes: () => [
      ...[...members].flatMap(([droplet, since]) => {
        const backend = backends[droplet]
        return backend && clock.now() - since >= healthyMs && backend.status() === 200 ? [backend] : []
      }),
      ...[...gone].flatMap(([droplet, since]) => {
        const backend = backends[droplet]
        return backend && clock.now() - since < lagMs ? [backend] : []
      }),
    ],
  }
}
