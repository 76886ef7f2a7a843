/**
 * A FAKE of Linode's NodeBalancer API, made from its published description (github.com/linode/linode-api-docs, openapi.yaml 4.173.0,
 * /nodebalancers/…): it was never compared with the real one. A mode is at once in the list; requests follow it `lagMs` later, and a
 * status is that of the last check, on the clock it is given. One config after the other may serve: a node gets requests when any of
 * its configs sends them.
 */
import { z } from 'zod'
import type { Clock } from '../../src/clock.ts'
import { type FakeApi, fakeApi, type Reply } from './fake-api.ts'
import type { Backend } from './routing.ts'

export type Mode = 'accept' | 'reject' | 'drain' | 'backup'

export interface FakeNode {
  readonly id: number
  readonly label: string
  readonly address: string
}
interface Node extends FakeNode {
  mode: Mode
  weight: number
  /** What requests follow until the lag after a change is over. */
  before: { readonly mode: Mode; readonly until: number }
  status: 'unknown' | 'UP' | 'DOWN'
  checkedAt: number
}

export interface ConfigSettings {
  readonly check: 'none' | 'connection' | 'http' | 'http_body'
  readonly check_interval: number
  readonly check_timeout: number
  readonly check_attempts: number
  readonly stickiness: 'none' | 'table' | 'http_cookie'
}

export interface FakeLinode extends FakeApi {
  readonly id: number
  routes(): readonly Backend[]
  node(config: number, id: number): Pick<Node, 'mode' | 'weight'>
  /** As another tool would, in every config where it is. */
  set(id: number, change: { readonly mode?: Mode; readonly weight?: number }, config?: number): void
  configure(config: number, more: Partial<ConfigSettings>): void
  /** As if nothing had ever been changed. */
  settle(): void
}

export interface LinodeFacts {
  readonly clock: Pick<Clock, 'now'>
  readonly token: string
  readonly configs: Readonly<Record<number, readonly FakeNode[]>>
  /** What answers for a node, by its label, and whether it is healthy. */
  readonly backends: Readonly<Record<string, Backend & { readonly status: () => number }>>
  readonly settings?: Partial<ConfigSettings>
  readonly lagMs?: number
}

const usual: ConfigSettings = {
  check: 'http',
  check_interval: 5,
  check_timeout: 3,
  check_attempts: 2,
  stickiness: 'none',
}
const pages = z.strictObject({
  page: z.coerce.number().int().min(1).optional(),
  page_size: z.coerce.number().int().min(25).max(500).optional(),
})
/** Without what is read-only: id, status, config_id, nodebalancer_id. */
const update = z.strictObject({
  address: z.string().optional(),
  label: z
    .string()
    .regex(/^[a-zA-Z0-9\-_.]{3,32}$/)
    .optional(),
  weight: z.number().int().min(1).max(255).optional(),
  mode: z.enum(['accept', 'reject', 'drain', 'backup']).optional(),
})
const error = (status: number, _code: string, reason: string): Reply => ({ status, body: { errors: [{ reason }] } })
const notFound = error(404, '', 'Not found')

export async function fakeLinode(facts: LinodeFacts): Promise<FakeLinode> {
  const { clock, backends, lagMs = 12_000 } = facts
  const id = 12_345
  const configs = new Map<number, { settings: ConfigSettings; nodes: Node[] }>()

  function settle(): void {
    for (const [config, nodes] of Object.entries(facts.configs))
      configs.set(Number(config), {
        settings: { ...usual, ...facts.settings },
        nodes: nodes.map(n => ({
          ...n,
          mode: 'accept',
          weight: 50,
          before: { mode: 'accept', until: Number.NEGATIVE_INFINITY },
          status: 'UP',
          checkedAt: clock.now(),
        })),
      })
  }
  settle()

  function change(node: Node, { mode, weight }: { mode?: Mode | undefined; weight?: number | undefined }): void {
    if (mode !== undefined && mode !== node.mode) {
      node.before = { mode: effective(node), until: clock.now() + lagMs }
      node.mode = mode
    }
    node.weight = weight ?? node.weight
  }
  const effective = (node: Node): Mode => (clock.now() < node.before.until ? node.before.mode : node.mode)

  function checked(node: Node, { check, check_interval }: ConfigSettings): Node {
    if (check === 'none') node.status = 'unknown'
    else if (clock.now() - node.checkedAt >= check_interval * 1000) {
      node.status = (backends[node.label]?.status() ?? 200) === 200 ? 'UP' : 'DOWN'
      node.checkedAt = clock.now()
    }
    return node
  }
  const bodyOf = (config: number, settings: ConfigSettings, node: Node) => ({
    id: node.id,
    address: node.address,
    label: node.label,
    status: checked(node, settings).status,
    weight: node.weight,
    mode: node.mode,
    config_id: config,
    nodebalancer_id: id,
  })

  type Found = { readonly config: number; readonly settings: ConfigSettings; readonly nodes: Node[] }
  const at = (groups: readonly string[], reply: (found: Found) => Reply): Reply => {
    const found = configs.get(Number(groups[1]))
    return groups[0] !== String(id) || found === undefined ? notFound : reply({ ...found, config: Number(groups[1]) })
  }

  const api = await fakeApi({
    token: facts.token,
    error,
    throttled: () => ({
      ...error(429, '', 'Too many requests'),
      headers: {
        'retry-after': '4',
        'x-ratelimit-limit': '200',
        'x-ratelimit-remaining': '0',
        'x-ratelimit-reset': String(Math.ceil(Date.now() / 1000) + 4),
      },
    }),
    routes: [
      {
        method: 'GET',
        path: /^\/v4\/nodebalancers\/(\d+)\/configs\/(\d+)$/,
        reply: (_, groups) =>
          at(groups, ({ config, settings, nodes }) => ({
            status: 200,
            body: {
              id: config,
              port: 80,
              protocol: 'http',
              algorithm: 'roundrobin',
              ...settings,
              check_path: '/up',
              check_body: '',
              check_passive: true,
              proxy_protocol: 'none',
              cipher_suite: 'recommended',
              nodebalancer_id: id,
              ssl_commonname: '',
              ssl_fingerprint: '',
              ssl_cert: null,
              ssl_key: null,
              nodes_status: {
                up: nodes.filter(n => n.status === 'UP').length,
                down: nodes.filter(n => n.status === 'DOWN').length,
              },
            },
          })),
      },
      {
        method: 'GET',
        path: /^\/v4\/nodebalancers\/(\d+)\/configs\/(\d+)\/nodes$/,
        query: pages,
        reply: ({ query }, groups) =>
          at(groups, ({ config, settings, nodes }) => {
            const { page = 1, page_size: size = 100 } = pages.parse(Object.fromEntries(query))
            return {
              status: 200,
              body: {
                data: nodes.slice((page - 1) * size, page * size).map(n => bodyOf(config, settings, n)),
                page,
                pages: Math.max(1, Math.ceil(nodes.length / size)),
                results: nodes.length,
              },
            }
          }),
      },
      {
        method: 'PUT',
        path: /^\/v4\/nodebalancers\/(\d+)\/configs\/(\d+)\/nodes\/(\d+)$/,
        body: update,
        reply: ({ body }, groups, lied) =>
          at(groups, ({ config, settings, nodes }) => {
            const node = nodes.find(n => String(n.id) === groups[2])
            if (node === undefined) return notFound
            const wanted = update.parse(body)
            const said = { ...bodyOf(config, settings, node), ...wanted }
            if (!lied) change(node, wanted)
            return { status: 200, body: said }
          }),
      },
    ],
  })

  return {
    ...api,
    id,
    settle,
    node(config, wanted) {
      const node = configs.get(config)?.nodes.find(n => n.id === wanted)
      if (node === undefined) throw new Error(`there is no node ${wanted} in config ${config}`)
      return { mode: node.mode, weight: node.weight }
    },
    set(wanted, to, only) {
      for (const [config, { nodes }] of configs)
        for (const node of nodes) if (node.id === wanted && (only === undefined || only === config)) change(node, to)
    },
    configure(config, more) {
      const found = configs.get(config)
      if (found) found.settings = { ...found.settings, ...more }
    },
    routes: () => {
      const sending = [...configs.values()].flatMap(({ settings, nodes }) =>
        nodes.filter(node => {
          const mode = effective(node)
          // Of sticky sessions there is always one more.
          const takes = mode === 'accept' || (mode === 'drain' && settings.stickiness !== 'none')
          return takes && checked(node, settings).status !== 'DOWN'
        }),
      )
      return [...new Set(sending.map(n => n.label))].flatMap(label => backends[label] ?? [])
    },
  }
}
