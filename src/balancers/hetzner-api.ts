/** The calls of Hetzner Cloud's API that are needed, with what is read of their answers. Source: docs.hetzner.cloud, hcloud-go/schema. */
import { z } from 'zod'
import type { Machine } from './cloud-members.ts'
import { type RestRequest, restApi } from './rest-api.ts'
import { RestError } from './rest-errors.ts'

/** Made when first needed: at start-up they would cost everyone milliseconds. */
function answers() {
  const id = z.number().int()
  const target = z.object({
    type: z.string(),
    server: z.object({ id }).nullish(),
    ip: z.object({ ip: z.string() }).nullish(),
    label_selector: z.object({ selector: z.string() }).nullish(),
    use_private_ip: z.boolean().nullish(),
    health_status: z.array(z.object({ listen_port: z.number().int(), status: z.string() })).nullish(),
  })
  const loadBalancer = z.object({
    load_balancer: z.object({
      services: z.array(
        z.object({
          listen_port: z.number().int(),
          // Seconds.
          health_check: z.object({
            interval: z.number().min(0).max(3600),
            timeout: z.number().min(0).max(3600),
            retries: z.number().min(0).max(1000),
          }),
        }),
      ),
      targets: z.array(target.extend({ targets: z.array(target).nullish() })),
    }),
  })
  const address = z.object({ ip: z.string() }).nullish()
  const servers = z.object({
    servers: z.array(
      z.object({
        id,
        name: z.string(),
        public_net: z.object({ ipv4: address, ipv6: address }).nullish(),
        private_net: z.array(z.object({ ip: z.string() })).nullish(),
      }),
    ),
    meta: z.object({ pagination: z.object({ next_page: z.number().int().nullable() }) }),
  })
  const action = z.object({
    action: z.object({
      id,
      status: z.enum(['running', 'success', 'error']),
      progress: z.number().optional(),
      error: z.object({ code: z.string(), message: z.string() }).nullish(),
    }),
  })
  return { target, loadBalancer, servers, action }
}
type Answers = { readonly [K in keyof ReturnType<typeof answers>]: z.output<ReturnType<typeof answers>[K]> }
export type HetznerBalancer = Answers['loadBalancer']['load_balancer']
export type HetznerTarget = Answers['target']
export type HetznerAction = Answers['action']['action']

/** A target as it is named in a request: the number of a server, or an IP address. */
export interface TargetBody {
  readonly type: 'server' | 'ip'
  readonly server?: { readonly id: number }
  readonly ip?: { readonly ip: string }
  readonly use_private_ip?: boolean
}

export interface HetznerApi {
  loadBalancer(id: string, signal: AbortSignal): Promise<HetznerBalancer>
  /** Their ids as text. */
  servers(signal: AbortSignal): Promise<Machine<string>[]>
  isServer(id: string, signal: AbortSignal): Promise<boolean>
  change(what: Change, of: string, target: TargetBody, server: string, signal: AbortSignal): Promise<HetznerAction>
  /** undefined: it is not known there (any more). */
  action(id: number, signal: AbortSignal): Promise<HetznerAction | undefined>
}
export type Change = 'add_target' | 'remove_target'

const perPage = 50
const mostPages = 1000

/** Variables as the vendor's own `hcloud` calls them. */
export function hetznerApi(name: string, env: Readonly<Record<string, string>>): HetznerApi {
  const { loadBalancer, servers, action } = answers()
  const api = restApi({
    name,
    vendor: 'Hetzner',
    env,
    tokens: ['HCLOUD_TOKEN'],
    base: { variable: 'HCLOUD_ENDPOINT', usual: 'https://api.hetzner.cloud/v1' },
  })
  const read = <S extends z.ZodType>(path: string, what: string, answer: S): RestRequest<S> => ({
    method: 'GET',
    path,
    doing: `read ${what}`,
    wanted: what,
    needs: 'Read',
    answer,
  })
  /** undefined where it is not there. */
  async function maybe<S extends z.ZodType>(request: RestRequest<S>, signal: AbortSignal) {
    try {
      return (await api.call(request, signal)).body
    } catch (error) {
      if (error instanceof RestError && error.status === 404) return undefined
      throw error
    }
  }

  return {
    async loadBalancer(of, signal) {
      const request = read(`/load_balancers/${of}`, `load balancer ${of}`, loadBalancer)
      return (await api.call(request, signal)).body.load_balancer
    },
    async servers(signal) {
      const found: Machine<string>[] = []
      const list = read('/servers', 'the list of servers', servers)
      for (let page: number | null = 1; page !== null && page <= mostPages; ) {
        const query: Record<string, string> = { per_page: String(perPage), page: String(page) }
        const { body }: { body: Answers['servers'] } = await api.call({ ...list, query }, signal)
        for (const { id: number, name: called, public_net: net, private_net: nets } of body.servers) {
          const all = [net?.ipv4?.ip, net?.ipv6?.ip, ...(nets ?? []).map(n => n.ip)]
          found.push({ id: String(number), name: called, addresses: all.flatMap(a => a || []) })
        }
        const next: number | null = body.meta.pagination.next_page
        page = next !== null && next > page ? next : null
      }
      return found
    },
    async isServer(number, signal) {
      const answer = z.object({ server: z.object({ id: z.literal(Number(number)) }) })
      return (await maybe(read(`/servers/${number}`, `server ${number}`, answer), signal)) !== undefined
    },
    async change(what, of, body, server, signal) {
      const thing = body.server ? `server ${body.server.id}` : `IP ${body.ip?.ip}`
      const doing = `${what === 'add_target' ? 'add' : 'remove'} the target ${thing} (${server}) ${what === 'add_target' ? 'to' : 'from'} load balancer ${of}`
      const answered = await api.call(
        {
          method: 'POST',
          path: `/load_balancers/${of}/actions/${what}`,
          body,
          doing,
          wanted: `load balancer ${of}, or no ${thing}`,
          needs: 'Read & Write',
          server,
          answer: action,
        },
        signal,
      )
      return answered.body.action
    },
    action: async (number, signal) =>
      (await maybe(read(`/actions/${number}`, `action ${number}`, action), signal))?.action,
  }
}
