/** HAProxy by its runtime API: a member is one server in one backend on one host; all of them together are the server's place. */
import { BalancerError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import { allOf } from './all-of.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import { adminSockets } from './haproxy-hosts.ts'
import { memberIn, rotationOf } from './haproxy-members.ts'
import { forcing, insisting, membersBefore, removing, restoring } from './haproxy-receipt.ts'
import { type AdminSocket, ask, command } from './haproxy-socket.ts'
import { type HaproxyServer, parseServers, stateQuery } from './haproxy-state.ts'
import type { Connect } from './kept-connection.ts'
import { together } from './together.ts'

export interface HaproxyDeps {
  readonly connect: Connect
  /** Servers behind it; a receipt names one of them. */
  readonly servers: readonly Server[]
  /** Fills the look-ups of a text in for one server: `member` may hold `${{ server.name }}`. */
  readonly resolve: (text: string, server: Server) => string
}

interface Member {
  readonly socket: AdminSocket
  readonly state: HaproxyServer
}

/** The provider `haproxy`. Throws BalancerError for a backend name that cannot be one. */
export function haproxy(name: string, settings: BalancerOf<'haproxy'>, deps: HaproxyDeps): LoadBalancer {
  const { backends } = settings
  // ";" and spaces would be further commands.
  const bad = backends.find(b => !/^[\w.:-]+$/.test(b))
  if (bad !== undefined) throw new BalancerError(`${name}: "${bad}" cannot be the name of a HAProxy backend`)
  const { sockets, close } = adminSockets(settings, deps.connect)
  const query = stateQuery(backends)

  const stateOf = async (socket: AdminSocket, signal: AbortSignal) => parseServers(await ask(socket, query, signal))
  const survey = (signal: AbortSignal) =>
    allOf(sockets, signal, async socket => ({ socket, servers: await stateOf(socket, signal) }))
  type Survey = Awaited<ReturnType<typeof survey>>

  function find(survey: Survey, server: Server): { members: Member[]; problems: string[] } {
    const members: Member[] = []
    const problems: string[] = []
    const member = settings.member === undefined ? undefined : deps.resolve(settings.member, server)
    const siblings = deps.servers.filter(s => s.name !== server.name)
    for (const { socket, servers } of survey)
      for (const backend of backends) {
        const found = memberIn(backend, servers, server, member, siblings)
        if (typeof found === 'string') problems.push(`${server.name} at ${socket.where}: ${found}`)
        else members.push({ socket, state: found })
      }
    return { members, problems }
  }

  const refuse = (problems: readonly string[]): never => {
    throw new BalancerError(`${name}: ${problems.join('; ')}`, {
      hint: 'say with `member`, or `id` on the server, what HAProxy calls it, name the right `backends`, or leave the server out by `roles`',
    })
  }

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  async function membersOf(serverName: string, signal: AbortSignal): Promise<Member[]> {
    const { members, problems } = find(await survey(signal), serverOf(serverName))
    return problems.length > 0 ? refuse(problems) : members
  }

  /** Host by host: one that is away must not keep the others from being written. */
  async function write(receipt: Receipt, signal: AbortSignal, commands: (member: Member) => readonly string[]) {
    const server = serverOf(receipt.server)
    await allOf(sockets, signal, async socket => {
      const { members, problems } = find([{ socket, servers: await stateOf(socket, signal) }], server)
      if (problems.length > 0) refuse(problems)
      await command(socket, members.flatMap(commands), signal)
    })
  }

  const wasReady = (receipt: Receipt, { socket, state }: Member): boolean =>
    membersBefore(receipt).some(b => b.where === socket.where && b.backend === state.backend && b.admin === 'ready')

  const rotation = (members: readonly Member[]): Rotation => together(members.map(m => rotationOf(m.state)))

  return {
    name,
    async preflight(servers, signal) {
      const surveyed = await survey(signal)
      const found = servers.map(server => ({ server, ...find(surveyed, server) }))
      const problems = found.flatMap(f => f.problems)
      if (problems.length > 0) refuse(problems)
      const unchecked = found.filter(f => f.members.some(m => m.state.check === undefined)).map(f => f.server.name)
      return {
        rotation: Object.fromEntries(found.map(f => [f.server.name, rotation(f.members)])),
        warnings:
          unchecked.length === 0
            ? []
            : [
                `${name}: HAProxy checks the health of ${unchecked.join(', ')} not at all: it sends requests there as soon as it is told to`,
              ],
      }
    },
    async receipt(server, signal) {
      const members = await membersOf(server.name, signal)
      return {
        balancer: name,
        server: server.name,
        before: rotation(members).state,
        data: {
          members: members.map(({ socket, state }) => ({
            where: socket.where,
            backend: state.backend,
            member: state.name,
            admin: state.admin,
            weight: state.weight,
          })),
        },
      }
    },
    remove: (receipt, signal) => write(receipt, signal, m => removing(m.state)),
    insist: (receipt, signal) => write(receipt, signal, m => insisting(m.state)),
    force: (receipt, signal) => write(receipt, signal, m => forcing(m.state)),
    async restore(receipt, signal) {
      const before = membersBefore(receipt)
      await write(receipt, signal, ({ socket, state }) => {
        // A member the receipt does not know came into the configuration since; it was never changed by us.
        const was = before.find(b => b.where === socket.where && b.backend === state.backend)
        return was ? restoring(state, was) : []
      })
    },
    async read(receipt, signal) {
      const members = await membersOf(receipt.server, signal)
      // Members that an operator had taken out before are not ours to judge by: they stay as they were.
      const ours = members.filter(m => wasReady(receipt, m))
      return rotation(ours.length > 0 ? ours : members)
    },
    async isOurs(receipt, signal) {
      const members = (await membersOf(receipt.server, signal)).filter(m => wasReady(receipt, m))
      return members.length > 0 && members.every(m => m.state.admin === 'drain')
    },
    async evidence(receipt, signal) {
      const members = await membersOf(receipt.server, signal)
      return {
        drained: 'connections',
        serving: members.every(m => m.state.check !== undefined) ? 'health' : 'state',
        // The command takes effect within 15 ms (measured); the check interval cannot be read at run time, so no longestAddMs.
        settleMs: 200,
        pollMs: 200,
      }
    },
    byHand(receipt) {
      return membersBefore(receipt)
        .map(({ where, backend, member, admin }) => {
          const to = where.startsWith('tcp://') ? `TCP:${where.slice('tcp://'.length)}` : settings.socket
          const pipe = `echo ${quote(`set server ${backend}/${member} state ${admin}`)} | socat stdio ${quote(to)}`
          const host = settings.hosts.find(h => where === `${h.name}:${settings.socket}`)
          return host ? `ssh -p ${host.port} ${quote(`${host.user}@${host.host}`)} ${quote(pipe)}` : pipe
        })
        .join('\n')
    },
    close,
  }
}
