/**
 * Apache's mod_proxy_balancer by its balancer-manager, through an SSH forward: draining mode first, which keeps sticky sessions whole, and
 * disabled as the second step. Each host's Apache holds its own state.
 */
import { BalancerError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import { addressedMember } from './addressed-member.ts'
import { type AdminHost, adminAddress, adminHosts } from './admin-http.ts'
import { allOf } from './all-of.ts'
import { type Change, changeMember, readPage } from './apache-manager.ts'
import {
  type ApacheBefore,
  candidates,
  entriesBefore,
  entryOf,
  insisting,
  removing,
  restoring,
  rotationOf,
  wasReady,
} from './apache-members.ts'
import type { ApacheBalancer, ApacheMember } from './apache-page.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import type { Connect } from './kept-connection.ts'
import { together } from './together.ts'

export interface ApacheDeps {
  readonly connect: Connect
  readonly servers: readonly Server[]
  readonly resolve: (text: string, server: Server) => string
}

interface Place {
  readonly at: AdminHost
  readonly seen: ApacheBalancer
  readonly member: ApacheMember
}

/** The provider `apache`. Throws BalancerError for an `admin` that cannot be reached through SSH, and a name that cannot be one. */
export function apache(name: string, settings: BalancerOf<'apache'>, deps: ApacheDeps): LoadBalancer {
  const { path, virtual_host: hostHeader } = settings
  const balancer = settings.balancer.replace(/^balancer:\/\//, '')
  if (!/^[\w.-]+$/.test(balancer)) throw new BalancerError(`${name}: "${balancer}" cannot be the name of a balancer`)
  if (!/^\/[\x21-\x7e]*$/.test(path) || !/^[\w.:[\]-]*$/.test(hostHeader ?? ''))
    throw new BalancerError(`${name}: path or virtual_host holds what cannot stand in a request`)
  const address = adminAddress(name, settings.admin)
  const { hosts, close } = adminHosts(
    { hosts: settings.hosts, address, ...(hostHeader === undefined ? {} : { hostHeader }) },
    deps.connect,
  )
  /**
   * The nonce at each removal, by host and server: a reload makes another, and starts to count from nought while old processes still
   * answer requests (measured).
   */
  const nonces = new Map<string, string>()
  const key = (at: AdminHost, server: string) => `${at.where} ${server}`

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  const refuse = (problems: readonly string[]): never => {
    throw new BalancerError(`${name}: ${problems.join('; ')}`, {
      hint: 'say with `member`, or `id` on the server, which member it is: its route, its URL or host:port; or leave the server out by `roles`',
    })
  }

  function find(at: AdminHost, seen: ApacheBalancer, server: Server): Place | string {
    const member = settings.member === undefined ? undefined : deps.resolve(settings.member, server)
    const siblings = deps.servers.filter(s => s.name !== server.name)
    const found = addressedMember(candidates(seen.members), server, member, siblings)
    return found.is === 'member'
      ? { at, seen, member: found.member.member }
      : `${server.name} at ${at.where}: ${found.problem}`
  }

  async function placeAt(at: AdminHost, server: Server, signal: AbortSignal): Promise<Place> {
    const place = find(at, await readPage(at, path, balancer, signal), server)
    return typeof place === 'string' ? refuse([place]) : place
  }

  const placesOf = (serverName: string, signal: AbortSignal): Promise<Place[]> =>
    allOf(hosts, signal, at => placeAt(at, serverOf(serverName), signal))

  /** Host by host: one that is away must not keep the others from being written. */
  async function write(receipt: Receipt, signal: AbortSignal, changes: (place: Place) => Change | null): Promise<void> {
    await allOf(hosts, signal, async at => {
      const place = await placeAt(at, serverOf(receipt.server), signal)
      const change = changes(place)
      if (change) await changeMember(at, path, balancer, place.seen, place.member, change, signal)
    })
  }

  /** The first nonce counts until the server is restored: a removal that a reload made us repeat is not a new beginning. */
  const remember = ({ at, seen }: Place, server: string) => {
    if (!nonces.has(key(at, server))) nonces.set(key(at, server), seen.nonce)
  }

  const at1 = (entries: readonly ApacheBefore[], { at, member }: Place) =>
    entries.find(e => e.where === at.where && e.worker === member.worker)

  const rotation = (places: readonly Place[], server: string): Rotation =>
    together(
      places.map(({ at, seen, member }) =>
        rotationOf(member, at.where, (nonces.get(key(at, server)) ?? seen.nonce) === seen.nonce),
      ),
    )

  /** Members that an operator had taken out before are not ours to judge by: they stay as they were. */
  function ours(receipt: Receipt, places: readonly Place[]): readonly Place[] {
    const entries = entriesBefore(receipt)
    const mine = places.filter(place => {
      const was = at1(entries, place)
      return was !== undefined && wasReady(was)
    })
    return mine
  }

  return {
    name,
    async preflight(servers, signal) {
      const pages = await allOf(hosts, signal, async at => ({ at, seen: await readPage(at, path, balancer, signal) }))
      const found = servers.map(server => ({ server, places: pages.map(({ at, seen }) => find(at, seen, server)) }))
      const problems = found.flatMap(f => f.places.filter(p => typeof p === 'string'))
      const users = new Map<string, string>()
      for (const { server, places } of found)
        for (const place of places) {
          if (typeof place === 'string') continue
          const member = key(place.at, place.member.worker)
          const other = users.get(member)
          if (other === undefined) users.set(member, server.name)
          else problems.push(`${server.name} at ${place.at.where} is the same member as ${other}`)
        }
      if (problems.length > 0) refuse(problems)
      const rotations = found.map(({ server, places }) => [
        server.name,
        rotation(
          places.filter(p => typeof p !== 'string'),
          server.name,
        ),
      ])
      const sticky = pages.filter(p => p.seen.sticky !== undefined)
      return {
        rotation: Object.fromEntries(rotations),
        warnings: sticky.map(
          ({ at, seen }) =>
            `${name}: sessions stick by ${seen.sticky} at ${at.where}: while they go on, a server is drained only at drain_timeout, when they move to others`,
        ),
      }
    },
    async receipt(server, signal) {
      const places = await placesOf(server.name, signal)
      return {
        balancer: name,
        server: server.name,
        before: rotation(places, server.name).state,
        data: { members: places.map(p => entryOf(p.at.where, p.member)) },
      }
    },
    remove: (receipt, signal) =>
      write(receipt, signal, place => {
        remember(place, receipt.server)
        return removing(place.member)
      }),
    insist: (receipt, signal) => write(receipt, signal, place => insisting(place.member)),
    async restore(receipt, signal) {
      const entries = entriesBefore(receipt)
      await write(receipt, signal, place => {
        nonces.delete(key(place.at, receipt.server))
        const was = at1(entries, place)
        // A member the receipt does not know came into the configuration since; it was never changed by us.
        return was ? restoring(place.member, was) : null
      })
    },
    async read(receipt, signal) {
      const places = await placesOf(receipt.server, signal)
      const mine = ours(receipt, places)
      return rotation(mine.length > 0 ? mine : places, receipt.server)
    },
    async isOurs(receipt, signal) {
      const mine = ours(receipt, await placesOf(receipt.server, signal))
      return mine.length > 0 && mine.every(p => p.member.flags.has('Drn') && !p.member.flags.has('Stop'))
    },
    async evidence(receipt, signal) {
      const checks = (await placesOf(receipt.server, signal)).map(p => p.member.check)
      const longest = Math.max(0, ...checks.map(c => (c === undefined ? 0 : c.intervalMs * c.passes)))
      return {
        drained: 'connections',
        serving: checks.every(c => c !== undefined) ? 'health' : 'state',
        // A change takes effect within 5 ms, and Busy is exact (measured, 2.4.71).
        settleMs: 200,
        pollMs: 200,
        ...(longest === 0 ? {} : { longestAddMs: longest }),
      }
    },
    byHand(receipt) {
      const url = `http://${hostHeader ?? (address.kind === 'port' ? address.host : 'localhost')}${path}`
      return entriesBefore(receipt)
        .filter(wasReady)
        .map(({ where, worker }) => {
          const host = settings.hosts.find(h => where.startsWith(`${h.name}:`))
          const to = host ? `${host.user}@${host.host}` : where
          return `# in a browser on ${quote(to)}, ${url}: ${worker} of balancer://${balancer} (${receipt.server}), Draining Mode and Disabled: Off`
        })
        .join('\n')
    },
    close,
  }
}
