/**
 * Linode's NodeBalancers: a server is one node in each config (port), and the mode of its nodes is the rotation. There is no number of
 * connections per node: time stands for "drained".
 */
import { type Clock, systemClock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import { allOf } from './all-of.ts'
import type { LoadBalancer, Receipt } from './balancer.ts'
import { sameMachine } from './cloud-members.ts'
import { type ConfigRead, linodeApi, type NodeChange } from './linode-api.ts'
import {
  dataOf,
  isSticky,
  type NodeBefore,
  type NodeMember,
  nodeOf,
  nodesBefore,
  rotationOf,
  takesTraffic,
} from './linode-nodes.ts'
import { sharedRead } from './shared-read.ts'
import { together } from './together.ts'

export interface LinodeDeps {
  readonly servers: readonly Server[]
  readonly resolve: (text: string, server: Server) => string
  readonly runnerEnv: Readonly<Record<string, string>>
}

/** How long after a change of mode requests may still arrive, in milliseconds; nothing published says how long. */
const settleMs = 15_000

/** The provider `linode`. */
export function linode(
  name: string,
  settings: BalancerOf<'linode'>,
  deps: LinodeDeps,
  clock: Pick<Clock, 'now'> = systemClock,
): LoadBalancer {
  const api = linodeApi(name, deps.runnerEnv)
  /** Servers whose nodes this process set to reject. */
  const insisted = new Set<string>()

  const number = (text: string, of: string): string => {
    if (/^[1-9]\d{0,14}$/.test(text)) return text
    throw new BalancerError(`${name}: "${text}" cannot be the id of a ${of}: it is a number`, {
      hint: '`linode-cli nodebalancers list` and `linode-cli nodebalancers configs-list ID` show the ids',
    })
  }
  /** One NodeBalancer for the whole deployment: its look-ups know no server. */
  const balancerId = (): string => {
    const [any] = deps.servers
    return number(any === undefined ? settings.nodebalancer : deps.resolve(settings.nodebalancer, any), 'NodeBalancer')
  }
  const configIds = (): string[] => [...new Set(settings.configs.map(id => number(id, 'config')))]

  const shared = sharedRead(
    signal =>
      allOf(configIds(), signal, async id => {
        const config = await api.config(balancerId(), id, signal)
        return { config, nodes: await api.nodes(balancerId(), id, signal) }
      }),
    clock,
  )
  type Survey = Awaited<ReturnType<typeof shared.get>>

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  /** The nodes of each of these servers. Throws with every server that is unknown or ambiguous in a config. */
  function find(survey: Survey, servers: readonly Server[]): { server: Server; members: NodeMember[] }[] {
    const problems: string[] = []
    const found = servers.map(server => {
      const wanted = settings.member === undefined ? server.id : deps.resolve(settings.member, server)
      const members = survey.flatMap(({ config, nodes }): NodeMember[] => {
        const node = nodeOf(server, wanted, nodes)
        if (typeof node !== 'string') return [{ config, node }]
        problems.push(`${server.name}: of the nodes in config ${config.id} ${node}`)
        return []
      })
      return { server, members }
    })
    for (const { config } of survey) {
      const here = found.flatMap(f =>
        f.members.filter(m => m.config === config).map(m => ({ server: f.server.name, id: m.node.id })),
      )
      problems.push(...sameMachine(here).map(text => `node in config ${config.id}: ${text}`))
    }
    if (problems.length === 0) return found
    throw new BalancerError(`${name}: ${problems.join('; ')}`, {
      hint: "say with `member` the node's label or address:port, name the right `configs`, or leave the server out by `roles`",
    })
  }

  async function membersOf(serverName: string, signal: AbortSignal): Promise<NodeMember[]> {
    const server = serverOf(serverName)
    return find(await shared.get(signal), [server]).flatMap(f => f.members)
  }

  /** Each config by itself: one that refuses must not keep the others from being written. */
  async function write(
    receipt: Receipt,
    signal: AbortSignal,
    change: (member: NodeMember, before: NodeBefore | undefined) => NodeChange | undefined,
  ): Promise<void> {
    const before = nodesBefore(receipt)
    shared.outdated()
    try {
      await allOf(await membersOf(receipt.server, signal), signal, async member => {
        const changed = change(
          member,
          before.find(b => b.config === member.config.id),
        )
        if (changed === undefined) return
        const at = { balancer: balancerId(), config: String(member.config.id), node: member.node.id }
        await api.update(at, changed, receipt.server, signal)
      })
    } finally {
      shared.outdated()
    }
  }

  /** What an operator had taken out before, or put into a config since, is not ours to judge by: it stays as it is. */
  const ours = (members: readonly NodeMember[], receipt: Receipt): NodeMember[] => {
    const before = nodesBefore(receipt)
    return members.filter(m => before.some(b => b.config === m.config.id && takesTraffic(b.mode)))
  }

  return {
    name,
    async preflight(servers, signal) {
      const survey = await shared.get(signal)
      const found = find(survey, servers)
      return {
        rotation: Object.fromEntries(found.map(f => [f.server.name, together(f.members.map(rotationOf))])),
        warnings: [
          `${name}: Linode does not tell what is in flight: a server counts as drained ${settleMs / 1000} s after its removal`,
          ...survey.flatMap(({ config }) => warningsOf(name, config)),
          ...found.flatMap(f =>
            f.members
              .filter(m => m.node.mode === 'backup')
              .map(
                m =>
                  `${name}: ${f.server.name} is a backup in config ${m.config.id}: it counts as in service, and gets requests only when all others are down`,
              ),
          ),
        ],
      }
    },
    async receipt(server, signal) {
      const members = await membersOf(server.name, signal)
      return {
        balancer: name,
        server: server.name,
        before: together(members.map(rotationOf)).state,
        data: dataOf(members, `${name}: ${server.name}`),
      }
    },
    remove: (receipt, signal) =>
      write(receipt, signal, ({ node }) => (takesTraffic(node.mode) ? { mode: 'drain' } : undefined)),
    async insist(receipt, signal) {
      insisted.add(receipt.server)
      await write(receipt, signal, ({ node }, before) =>
        before !== undefined && takesTraffic(before.mode) && node.mode !== 'reject' ? { mode: 'reject' } : undefined,
      )
    },
    async restore(receipt, signal) {
      await write(receipt, signal, ({ node }, before) => {
        if (before === undefined || !takesTraffic(before.mode)) return undefined
        if (node.mode === before.mode && node.weight === before.weight) return undefined
        return { mode: before.mode, weight: before.weight }
      })
      insisted.delete(receipt.server)
    },
    async read(receipt, signal) {
      const members = await membersOf(receipt.server, signal)
      const own = ours(members, receipt)
      return together((own.length > 0 ? own : members).map(rotationOf))
    },
    async isOurs(receipt, signal) {
      const own = ours(await membersOf(receipt.server, signal), receipt)
      // Where sessions are sticky, reject is what our own removal ends with, also that of a process that is gone.
      const byUs = ({ config, node }: NodeMember) =>
        node.mode === 'drain' || (node.mode === 'reject' && (isSticky(config) || insisted.has(receipt.server)))
      return own.length > 0 && own.every(byUs)
    },
    async evidence(receipt, signal) {
      const checked = (await membersOf(receipt.server, signal)).map(m => m.config).filter(c => c.check !== 'none')
      const all = configIds().length === checked.length
      const longest = (ms: (config: ConfigRead) => number) => Math.max(0, ...checked.map(ms)) * 1000
      return {
        drained: 'none',
        serving: all ? 'health' : 'state',
        settleMs,
        // The status may be that of the last check, from before the server was put back.
        addSettleMs: longest(c => c.check_interval),
        pollMs: 5000,
        longestAddMs: longest(c => c.check_interval * c.check_attempts + c.check_timeout),
      }
    },
    byHand: receipt =>
      nodesBefore(receipt)
        .map(
          ({ config, node, mode, weight }) =>
            `linode-cli nodebalancers node-update ${balancerId()} ${config} ${node} --mode ${mode} --weight ${weight} # ${receipt.server}`,
        )
        .join('\n'),
    close: () => shared.close(),
  }
}

function warningsOf(name: string, config: ConfigRead): string[] {
  const at = `${name}: config ${config.id}`
  return [
    ...(config.check === 'none'
      ? [`${at} checks no node's health: requests go to a server as soon as it is put back; set check to http`]
      : []),
    ...(isSticky(config)
      ? [
          `${at} has sticky sessions (${config.stickiness}), which still reach a server in drain: it is set to reject at drain_timeout, so that drain_timeout is spent on every server`,
        ]
      : []),
  ]
}
