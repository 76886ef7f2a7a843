/** Which node of a config a server of the manifest is, what it says, and what its receipt holds. Pure. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'
import type { Receipt, Rotation } from './balancer.ts'
import { type Machine, machineOf } from './cloud-members.ts'
import type { ConfigRead, NodeRead } from './linode-api.ts'

/** One server's node in one config. */
export interface NodeMember {
  readonly config: ConfigRead
  readonly node: NodeRead
}

/** A node without its port: `192.168.210.120`. */
const addressOf = (node: NodeRead): string => node.address.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')

/**
 * The node with this number or `address:port`, else label or address; without `wanted`, labelled like the server, else at its address.
 * A text says what is wrong.
 */
export function nodeOf(
  server: Pick<Server, 'name' | 'host'>,
  wanted: string | undefined,
  nodes: readonly NodeRead[],
): NodeRead | string {
  const exact = nodes.filter(n => n.address === wanted || String(n.id) === wanted)
  if (exact.length === 1 && exact[0] !== undefined) return exact[0]
  const machines = nodes.map(
    (n): Machine<string> => ({ id: `${n.id} at ${n.address}`, name: n.label, addresses: [addressOf(n)] }),
  )
  const found = machineOf(server, wanted, machines)
  if (typeof found === 'string') return found
  return nodes[machines.indexOf(found)] ?? 'it is gone'
}

/** Modes in which a node may be sent new requests. `backup`: only when all others are down. */
export const takesTraffic = (mode: string): boolean => mode === 'accept' || mode === 'backup'

export const isSticky = (config: ConfigRead): boolean => config.stickiness !== 'none'

/**
 * `drain` sends nothing new, "but connections already pinned to it will continue to be routed to it" (the API's description): where
 * sessions are sticky these are new requests too, so that is not out.
 */
export function rotationOf({ config, node }: NodeMember): Rotation {
  const said = (text: string) => `${text} in config ${config.id}`
  if (node.mode === 'reject') return { state: 'out', detail: said('reject') }
  if (node.mode === 'drain')
    return isSticky(config)
      ? { state: 'draining', detail: said('drain, but sticky sessions still go there') }
      : { state: 'out', detail: said('drain') }
  if (!takesTraffic(node.mode)) return { state: 'unknown', detail: said(`mode ${node.mode}`) }
  const status = node.status.toUpperCase()
  if (status === 'DOWN') return { state: 'unhealthy', detail: said('DOWN') }
  if (status === 'UP' || config.check === 'none') return { state: 'serving' }
  return { state: 'warming', detail: said(`${node.mode}, not checked yet`) }
}

const data = z.object({
  nodes: z
    .array(
      z.object({
        config: z.number().int().min(1),
        node: z.number().int().min(1),
        mode: z.enum(['accept', 'reject', 'drain', 'backup']),
        weight: z.number().int().min(1).max(255),
      }),
    )
    .max(1000),
})
export type NodeBefore = z.output<typeof data>['nodes'][number]

/** What is noted of each node. Throws BalancerError where a node has what cannot be put back. */
export function dataOf(members: readonly NodeMember[], where: string): Receipt['data'] {
  const nodes = members.map(m => ({
    config: m.config.id,
    node: m.node.id,
    mode: m.node.mode,
    weight: m.node.weight,
  }))
  const checked = data.safeParse({ nodes })
  if (checked.success) return checked.data
  const odd = members.map(m => `${m.node.label}: mode ${m.node.mode}, weight ${m.node.weight}`).join('; ')
  throw new BalancerError(
    `${where}: a node has a mode or weight that is not known, and could not be put back: ${odd}`,
    {
      hint: 'set the node to accept, drain, reject or backup',
    },
  )
}

/** What the receipt says of each node. It may come back from a server: only what has the right form is taken. Throws BalancerError. */
export function nodesBefore(receipt: Receipt): readonly NodeBefore[] {
  const read = data.safeParse(receipt.data)
  if (read.success) return read.data.nodes
  throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
    server: receipt.server,
    cause: read.error,
    hint: 'set the node to its right mode at the NodeBalancer by hand',
  })
}
