/**
 * Caddy by its admin API: a server is in rotation when it is in the list of upstreams of one reverse_proxy handler, on each host. The list
 * is written as a whole, each time against the ETag of what was read.
 */
import { BalancerError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import { type AdminHost, adminAddress, adminHosts } from './admin-http.ts'
import { allOf } from './all-of.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import { ConflictError, handlerPath, readDials, readHandler, type Upstream, writeUpstreams } from './caddy-api.ts'
import {
  type CaddyBefore,
  entriesBefore,
  entryOf,
  sameDial,
  shared,
  standing,
  withAgain,
  without,
} from './caddy-members.ts'
import { absentNow, healthSeenAfterMs, listedNow } from './caddy-rotation.ts'
import { countsRemoved, rememberedVersions } from './caddy-version.ts'
import { warnings } from './caddy-warnings.ts'
import type { Connect } from './kept-connection.ts'
import { together } from './together.ts'

export interface CaddyDeps {
  readonly connect: Connect
  readonly servers: readonly Server[]
  readonly resolve: (text: string, server: Server) => string
}

/** How often a list is read anew because somebody else wrote in between. */
const tries = 4

/** The provider `caddy`. Throws BalancerError for an `admin` that cannot be reached through SSH. */
export function caddy(name: string, settings: BalancerOf<'caddy'>, deps: CaddyDeps): LoadBalancer {
  const address = adminAddress(name, settings.admin)
  const path = handlerPath(settings.id)
  const { hosts, close } = adminHosts({ hosts: settings.hosts, address }, deps.connect)
  /** Addresses that were seen in a list, by host and server: how a server that is out is known. */
  const seen = new Map<string, string>()
  /** When a server was put back, by host and address: only after a while is its health more than an assumption. */
  const putBack = new Map<string, number>()
  const versionOf = rememberedVersions()
  const elsewhere = new Map<string, ReadonlyMap<string, number>>()
  const queues = new Map<string, Promise<unknown>>()

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  const key = (at: AdminHost, what: string) => `${at.where} ${what}`

  function stands(at: AdminHost, upstreams: readonly Upstream[], server: Server) {
    const member = settings.member === undefined ? undefined : deps.resolve(settings.member, server)
    const siblings = deps.servers.filter(s => s.name !== server.name)
    const found = standing(upstreams, server, member, siblings, seen.get(key(at, server.name)))
    if (found.is === 'listed') seen.set(key(at, server.name), found.upstream.dial)
    return found
  }

  const refuse = (problems: readonly string[]): never => {
    throw new BalancerError(`${name}: ${problems.join('; ')}`, {
      hint: 'say with `member`, or `id` on the server, which upstream it is, as host:port: only so is it known when it is out of the list',
    })
  }

  /** Where the manifest and the list say that a server stands on one host. Throws BalancerError. */
  function mustStand(at: AdminHost, upstreams: readonly Upstream[], server: Server) {
    const found = stands(at, upstreams, server)
    return found.is === 'unclear' ? refuse([`${server.name} at ${at.where}: ${found.problem}`]) : found
  }

  /** An address from the receipt is taken only if the manifest alone would take that upstream for this server. */
  const before = (receipt: Receipt): readonly CaddyBefore[] => {
    const server = serverOf(receipt.server)
    const member = settings.member === undefined ? undefined : deps.resolve(settings.member, server)
    const siblings = deps.servers.filter(s => s.name !== server.name)
    return entriesBefore(receipt, dial => standing([{ dial }], server, member, siblings, undefined).is === 'listed')
  }

  function dialOf(at: AdminHost, receipt: Receipt, upstreams: readonly Upstream[]): string {
    const known = before(receipt).find(b => b.where === at.where)
    if (known) return known.dial
    const found = mustStand(at, upstreams, serverOf(receipt.server))
    return found.is === 'listed' ? found.upstream.dial : found.dial
  }

  /** One after the other on each host; a list that changed in between is read again, and `change` asked again. */
  async function write(
    signal: AbortSignal,
    change: (at: AdminHost, upstreams: readonly Upstream[]) => readonly Upstream[],
  ) {
    const once = async (at: AdminHost) => {
      for (let left = tries; ; left--) {
        const handler = await readHandler(at, path, signal)
        const wanted = change(at, handler.upstreams)
        if (wanted.length === handler.upstreams.length) return
        try {
          return await writeUpstreams(at, path, handler.etag, wanted, signal)
        } catch (error) {
          if (!(error instanceof ConflictError) || left === 1) throw error
        }
      }
    }
    await allOf(hosts, signal, at => {
      const next = (queues.get(at.where) ?? Promise.resolve()).then(
        () => once(at),
        () => once(at),
      )
      queues.set(at.where, next)
      return next
    })
  }

  async function rotationAt(at: AdminHost, receipt: Receipt, signal: AbortSignal): Promise<Rotation> {
    const handler = await readHandler(at, path, signal)
    const dial = dialOf(at, receipt, handler.upstreams)
    return handler.upstreams.some(u => sameDial(u.dial, dial))
      ? listedNow(at, handler, dial, putBack.get(key(at, dial)), signal)
      : absentNow(at, dial, countsRemoved(await versionOf(at, signal)), signal)
  }

  async function survey(servers: readonly Server[], signal: AbortSignal) {
    return allOf(hosts, signal, async at => {
      const handler = await readHandler(at, path, signal)
      const found = servers.map(server => ({ server, stands: stands(at, handler.upstreams, server) }))
      return { at, handler, found }
    })
  }

  async function warningsOf(surveyed: Awaited<ReturnType<typeof survey>>, signal: AbortSignal): Promise<string[]> {
    const all = surveyed.map(async ({ at, found }) => {
      const dials = elsewhere.get(at.where) ?? (await readDials(at, signal))
      elsewhere.set(at.where, dials)
      const standings = found.map(f => [f.server.name, f.stands] as const)
      return warnings({
        name,
        id: settings.id,
        where: at.where,
        version: await versionOf(at, signal),
        standings,
        dials,
      })
    })
    return (await Promise.all(all)).flat()
  }

  return {
    name,
    async preflight(servers, signal) {
      const surveyed = await survey(servers, signal)
      const unclear = surveyed.flatMap(({ at, found }) =>
        found.flatMap(f => (f.stands.is === 'unclear' ? [`${f.server.name} at ${at.where}: ${f.stands.problem}`] : [])),
      )
      const same = surveyed.flatMap(({ at, found }) =>
        shared(found.map(f => [f.server.name, f.stands] as const)).map(text => `at ${at.where} ${text}`),
      )
      const problems = [...unclear, ...same]
      if (problems.length > 0) refuse(problems)
      const rotations = await Promise.all(
        servers.map(async server => {
          const parts = surveyed.map(({ at, handler, found }) => {
            const at1 = found.find(f => f.server === server)?.stands
            if (at1?.is === 'listed')
              return listedNow(at, handler, at1.upstream.dial, putBack.get(key(at, at1.upstream.dial)), signal)
            return { state: 'out', detail: `not among the upstreams at ${at.where}` } as const
          })
          return [server.name, together(await Promise.all(parts))] as const
        }),
      )
      return { rotation: Object.fromEntries(rotations), warnings: await warningsOf(surveyed, signal) }
    },
    async receipt(server, signal) {
      const surveyed = await survey([server], signal)
      const members = surveyed.map(({ at, handler }) => {
        const found = mustStand(at, handler.upstreams, server)
        return found.is === 'listed'
          ? entryOf(at.where, found.upstream, true, handler.upstreams)
          : entryOf(at.where, { dial: found.dial }, false, handler.upstreams)
      })
      const receipt: Receipt = { balancer: name, server: server.name, before: 'unknown', data: { members } }
      const rotations = await allOf(hosts, signal, at => rotationAt(at, receipt, signal))
      return { ...receipt, before: together(rotations).state }
    },
    async remove(receipt, signal) {
      await write(signal, (at, upstreams) => {
        const dial = dialOf(at, receipt, upstreams)
        putBack.delete(key(at, dial))
        return without(upstreams, dial)
      })
    },
    async restore(receipt, signal) {
      const entries = before(receipt)
      await write(signal, (at, upstreams) => {
        const was = entries.find(b => b.where === at.where)
        // A host that the receipt does not know came into the manifest since: it was never changed by us.
        if (!was) return upstreams
        const wanted = was.listed ? withAgain(upstreams, was) : upstreams
        if (wanted !== upstreams) putBack.set(key(at, was.dial), performance.now())
        return wanted
      })
    },
    async read(receipt, signal) {
      const entries = before(receipt)
      // A host where an operator had taken it out before is not ours to judge by.
      const ours = hosts.filter(at => entries.some(b => b.where === at.where && b.listed))
      return together(await allOf(ours.length > 0 ? ours : hosts, signal, at => rotationAt(at, receipt, signal)))
    },
    async evidence(receipt, signal) {
      const each = await allOf(hosts, signal, async at => {
        const handler = await readHandler(at, path, signal)
        const dial = dialOf(at, receipt, handler.upstreams)
        return {
          // A placeholder is counted under an address that is not known here.
          counts: !dial.includes('{') && countsRemoved(await versionOf(at, signal)),
          seenAfter: healthSeenAfterMs(handler),
        }
      })
      const longest = Math.max(...each.map(e => e.seenAfter ?? 0))
      return {
        drained: each.every(e => e.counts) ? 'connections' : 'none',
        serving: each.every(e => e.seenAfter !== null) ? 'health' : 'state',
        // The last request came 7 ms after the change (measured, Caddy 2.6.2).
        settleMs: 1000,
        pollMs: 500,
        ...(longest === 0 ? {} : { longestAddMs: longest }),
      }
    },
    byHand(receipt) {
      const at =
        address.kind === 'socket'
          ? `--unix-socket ${quote(address.path)} -H 'Host;' http://caddy`
          : `http://${address.host}`
      return before(receipt)
        .filter(b => b.listed)
        .map(b => {
          const upstream = { dial: b.dial, ...(b.maxRequests === undefined ? {} : { max_requests: b.maxRequests }) }
          const call = `curl -fsS -H 'Content-Type: application/json' -d ${quote(JSON.stringify(upstream))} ${at}${path}/upstreams`
          const host = settings.hosts.find(h => b.where.startsWith(`${h.name}:`))
          return host ? `ssh -p ${host.port} ${quote(`${host.user}@${host.host}`)} ${quote(call)}` : call
        })
        .join('\n')
    },
    close,
  }
}
