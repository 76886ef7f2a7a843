/** The calls of Linode's API that are needed, with what is read of their answers. Source: github.com/linode/linode-api-docs. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import { type RestRequest, restApi } from './rest-api.ts'

// The defaults of the description: schemas/NodeBalancerConfig. All in seconds.
const config = z.object({
  id: z.number().int(),
  stickiness: z.string().default('none'),
  check: z.string().default('none'),
  check_interval: z.number().min(0).max(3600).default(31),
  check_timeout: z.number().min(0).max(3600).default(30),
  check_attempts: z.number().min(0).max(1000).default(3),
})
export type ConfigRead = z.output<typeof config>

const node = z.object({
  id: z.number().int(),
  /** `192.168.210.120:80` */
  address: z.string(),
  label: z.string(),
  status: z.string().default('unknown'),
  mode: z.string(),
  weight: z.number().int(),
})
export type NodeRead = z.output<typeof node>

const nodes = z.object({ data: z.array(node), page: z.number().int(), pages: z.number().int() })

export interface LinodeApi {
  config(balancer: string, id: string, signal: AbortSignal): Promise<ConfigRead>
  nodes(balancer: string, config: string, signal: AbortSignal): Promise<NodeRead[]>
  update(at: NodeAt, change: NodeChange, server: string, signal: AbortSignal): Promise<void>
}

export interface NodeAt {
  readonly balancer: string
  readonly config: string
  readonly node: number
}

export interface NodeChange {
  readonly mode: string
  readonly weight?: number
}

/** The default of the API; 25 to 500 are allowed. */
const perPage = 100
/** An answer that always names more pages ends somewhere. */
const mostPages = 100

/** Variables as linodego and Terraform call them. */
export function linodeApi(name: string, env: Readonly<Record<string, string>>): LinodeApi {
  const api = restApi({
    name,
    vendor: 'Linode',
    env,
    tokens: ['LINODE_TOKEN'],
    base: { variable: 'LINODE_URL', usual: 'https://api.linode.com/v4' },
  })
  const at = (balancer: string, id: string) => ({
    path: `/nodebalancers/${balancer}/configs/${id}`,
    wanted: `config ${id} of NodeBalancer ${balancer}`,
  })
  const reading = { method: 'GET', needs: 'nodebalancers:read_only' } as const satisfies Partial<RestRequest<z.ZodType>>
  return {
    async config(balancer, id, signal) {
      const { path, wanted } = at(balancer, id)
      const { body } = await api.call({ ...reading, path, wanted, doing: `read ${wanted}`, answer: config }, signal)
      return body
    },
    async nodes(balancer, id, signal) {
      const { path, wanted } = at(balancer, id)
      const found: NodeRead[] = []
      for (let page = 1; page <= mostPages; page++) {
        const { body } = await api.call(
          {
            ...reading,
            path: `${path}/nodes`,
            query: { page: String(page), page_size: String(perPage) },
            doing: `list the nodes of ${wanted}`,
            wanted,
            answer: nodes,
          },
          signal,
        )
        found.push(...body.data)
        if (page >= body.pages) return found
      }
      throw new BalancerError(`${name}: Linode lists more than ${mostPages * perPage} nodes in ${wanted}`, {
        hint: 'this is no answer of that API',
      })
    },
    async update({ balancer, config: id, node: nodeId }, change, server, signal) {
      const { path, wanted } = at(balancer, id)
      await api.call(
        {
          method: 'PUT',
          path: `${path}/nodes/${nodeId}`,
          body: change,
          doing: `set node ${nodeId} (${server}) in ${wanted} to ${change.mode}`,
          wanted: `node ${nodeId} in ${wanted}`,
          needs: 'nodebalancers:read_write',
          server,
          answer: z.object({ id: z.number().int() }),
        },
        signal,
      )
    },
  }
}
