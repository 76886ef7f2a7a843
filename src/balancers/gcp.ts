/**
 * Google Cloud: being in the group is the rotation. A server is an instance of an unmanaged instance group, or endpoints of a zonal network
 * endpoint group. A change is an operation that runs on after its answer.
 */
import { type Clock, systemClock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import type { CloudDeps } from './cloud-deps.ts'
import { sameMachine } from './cloud-members.ts'
import { gcpApi } from './gcp-api.ts'
import { findKey, memberHint } from './gcp-find.ts'
import { type GroupFacts, groupFacts } from './gcp-group.ts'
import {
  type Change,
  type GroupKind,
  isOf,
  isSame,
  type Key,
  type Member,
  membersBefore,
  receiptData,
  rotationOf,
} from './gcp-members.ts'
import { namesFrom } from './gcp-names.ts'
import { operations } from './gcp-operations.ts'
import { byHandAtGcp, warningsOf } from './gcp-words.ts'
import { RestError } from './rest-errors.ts'
import { sharedRead } from './shared-read.ts'

/** How long after a removal requests may still arrive, in milliseconds; nothing published says less. */
const leastSettleMs = 15_000
const pollMs = 5000
/** It may take a minute longer than the timeout until draining has ended (Google's page on connection draining). */
const drainsLongerMs = 60_000

/** The provider `gcp`. */
export function gcp(
  name: string,
  settings: BalancerOf<'gcp'>,
  deps: CloudDeps,
  clock: Pick<Clock, 'now'> = systemClock,
): LoadBalancer {
  const api = gcpApi(name, deps.runnerEnv)
  const kind: GroupKind = settings.instance_group === undefined ? 'network endpoint group' : 'instance group'
  const keys = new Map<string, Key>()
  let known: GroupFacts | undefined

  /** One group for the whole deployment: its look-ups know no server. */
  const named = () => {
    const [any] = deps.servers
    const text = (given = '') => (any === undefined ? given : deps.resolve(given, any))
    const given = {
      project: text(settings.project),
      zone: text(settings.zone),
      group: text(settings.instance_group ?? settings.network_endpoint_group),
      service: text(settings.backend_service),
    }
    return namesFrom(name, given, kind)
  }
  const groupText = () => `${kind} ${named().group}`

  async function factsOf(signal: AbortSignal): Promise<GroupFacts> {
    known ??= await groupFacts(name, api, named(), signal)
    return known
  }
  const shared = sharedRead(async own => {
    const at = named()
    const facts = await factsOf(own)
    const [members, health] = await Promise.all([
      api.members(at, facts.service, own),
      api.health(at, facts.service, facts.url, own),
    ])
    return { facts, members, health }
  }, clock)
  type Seen = Awaited<ReturnType<typeof shared.get>>
  const changes = operations(name, (id, signal) => api.operation(named(), id, signal), clock, shared.outdated)

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  /** Finds all these servers. Throws with every one that is unknown or ambiguous. */
  async function find(servers: readonly Server[], { facts, members }: Seen, signal: AbortSignal): Promise<void> {
    const problems: string[] = []
    let listed: ReturnType<typeof api.instances> | undefined
    const instances = () => {
      listed ??= api.instances(named(), signal)
      return listed
    }
    for (const server of servers) {
      if (keys.has(server.name)) continue
      const wanted = settings.member === undefined ? server.id : deps.resolve(settings.member, server)
      const found = await findKey(server, wanted, members, facts.byAddress, instances)
      if ('key' in found) keys.set(server.name, found.key)
      else problems.push(`${server.name}: ${found.problem}`)
    }
    problems.push(...sameMachine([...keys].map(([server, id]) => ({ server, id }))))
    if (problems.length > 0)
      throw new BalancerError(`${name}: ${problems.join('; ')}`, { hint: memberHint(facts.byAddress) })
  }

  /** Health that is not told for each endpoint says nothing of draining either: then only time does. */
  const byTime = ({ members }: Seen) => kind === 'instance group' || !members.some(m => m.showsHealth)

  function standing(server: string, seen: Seen) {
    const key = keys.get(server)
    if (key === undefined) throw new Error(`${server} has no member`)
    const own = seen.members.filter(m => isOf(m, key))
    const rotation = rotationOf(own, seen.health, groupText())
    return { key, own, rotation }
  }

  async function look(server: Server, signal: AbortSignal) {
    const seen = await shared.get(signal)
    await find([server], seen, signal)
    return { seen, ...standing(server.name, seen) }
  }

  /** Gone from the group, and still draining by the clock. */
  function lateOut(server: string, rotation: Rotation, seen: Seen): Rotation {
    const since = changes.sinceRemoval(server)
    if (rotation.state !== 'out' || since === undefined || !byTime(seen)) return rotation
    const left = seen.facts.drainMs - since
    if (left <= 0) return rotation
    return {
      state: 'draining',
      detail: `out of ${groupText()}; connections may drain for ${Math.ceil(left / 1000)} s more`,
    }
  }

  /** Asks for a change where it is neither so nor on its way. An error is none when the group then says what was wanted. */
  async function write(what: Change, receipt: Receipt, signal: AbortSignal): Promise<void> {
    const server = serverOf(receipt.server)
    const runs = await changes.running(server.name, false, signal)
    if (runs?.what === what) return
    shared.outdated()
    /** What has to be named in the request; none: it is so. */
    const open = ({ key, own }: { readonly key: Key; readonly own: readonly Member[] }) => {
      const there = own.filter(m => !m.draining)
      if (what === 'remove') return there
      return membersBefore(receipt, key, kind).filter(m => !there.some(t => isSame(m, t)))
    }
    const members = open(await look(server, signal))
    if (members.length === 0) {
      if (runs === undefined) return
      // It is so only until that operation ends.
      throw new BalancerError(`${name}: ${server.name} cannot be changed yet: ${runs.detail}`, {
        server: server.name,
        retryAfterMs: 0,
        hint: 'it is tried again until the time-out',
      })
    }
    try {
      changes.begin(server.name, await api.change(named(), what, members, server.name, signal), what)
    } catch (error) {
      if (!(error instanceof RestError) || error.status === undefined) throw error
      shared.outdated()
      const now = await look(server, signal).catch(() => undefined)
      signal.throwIfAborted()
      if (now === undefined || open(now).length > 0) throw error
    } finally {
      shared.outdated()
    }
  }

  return {
    name,
    async preflight(servers, signal) {
      const seen = await shared.get(signal)
      await find(servers, seen, signal)
      const all = servers.map(s => ({ server: s.name, ...standing(s.name, seen) }))
      const annotated = all.filter(({ own }) => own.some(m => m.annotated)).map(a => a.server)
      return {
        rotation: Object.fromEntries(all.map(a => [a.server, a.rotation])),
        warnings: warningsOf(name, seen.facts, { group: groupText(), byTime: byTime(seen), annotated }),
      }
    },
    async receipt(server, signal) {
      const { own, rotation } = await look(server, signal)
      // What drains was taken out by somebody else a moment ago: it stays out.
      const before = rotation.state === 'draining' ? 'out' : rotation.state
      const there = own.filter(m => !m.draining)
      return { balancer: name, server: server.name, before, data: receiptData(there, kind) }
    },
    remove: (receipt, signal) => write('remove', receipt, signal),
    async restore(receipt, signal) {
      // What was out before was never put there by us: the state before is "out".
      if (receipt.before !== 'out') await write('add', receipt, signal)
    },
    async read(receipt, signal) {
      const server = serverOf(receipt.server)
      const runs = await changes.running(server.name, true, signal)
      const { seen, rotation } = await look(server, signal)
      if (runs !== undefined) return { state: runs.what === 'remove' ? 'draining' : 'warming', detail: runs.detail }
      return lateOut(server.name, rotation, seen)
    },
    async evidence(receipt, signal) {
      const { seen } = await look(serverOf(receipt.server), signal)
      const { drainMs, addMs } = seen.facts
      const timed = byTime(seen)
      return {
        drained: timed ? 'none' : 'state',
        serving: 'health',
        settleMs: timed ? Math.max(leastSettleMs, drainMs) : leastSettleMs,
        addSettleMs: pollMs,
        pollMs,
        longestDrainMs: drainMs + drainsLongerMs,
        ...(addMs === undefined ? {} : { longestAddMs: addMs }),
      }
    },
    byHand: receipt => byHandAtGcp(receipt, named(), keys.get(receipt.server)),
    close: () => shared.close(),
  }
}
