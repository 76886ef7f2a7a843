/**
 * What target groups and classic load balancers have in common: membership is the rotation. A server may be in several of them, and in
 * one of them on several ports; all together are its place. `list` here: one target group, or one classic load balancer.
 */
import type { Clock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'
import { allOf } from './all-of.ts'
import {
  describeTarget,
  isTarget,
  type MemberBefore,
  memberNow,
  membersBefore,
  overlap,
  type Registered,
  type Target,
  type TargetType,
  type Wanted,
  wantedOf,
} from './aws-targets.ts'
import type { Evidence, LoadBalancer, Receipt, Rotation } from './balancer.ts'
import type { CloudDeps } from './cloud-deps.ts'
import { sharedRead } from './shared-read.ts'
import { together } from './together.ts'

/** What of a list does not change while a deployment runs. */
export interface ListFacts {
  readonly type: TargetType
  readonly drained: Evidence['drained']
  /** The longest drain it allows, and from a registration until healthy at the soonest, in milliseconds. */
  readonly drainMs: number
  readonly addMs: number
  readonly warnings: readonly string[]
}

export interface Lists {
  readonly names: readonly string[]
  /** As a person calls it. */
  shortName(list: string): string
  /** Everything that is registered there now, in one call. */
  read(list: string, signal: AbortSignal): Promise<readonly Registered[]>
  facts(list: string, signal: AbortSignal): Promise<ListFacts>
  /** Both answer success also when nothing was done. */
  register(list: string, targets: readonly Target[], signal: AbortSignal): Promise<void>
  deregister(list: string, targets: readonly Target[], signal: AbortSignal): Promise<void>
  /** The command that registers them. */
  byHand(list: string, targets: readonly Target[]): string
  readonly settleMs: number
}

/** Polled so seldom that an answer from before a write is rare; what is left of that, these wait for. In milliseconds. */
const pollMs = 5000
const addSettleMs = 5000

interface Settings {
  readonly member?: string | undefined
  readonly roles: readonly string[]
}

export function awsMembership(
  name: string,
  settings: Settings,
  deps: CloudDeps,
  lists: Lists,
  clock: Pick<Clock, 'now'>,
): LoadBalancer {
  const reads = new Map(lists.names.map(list => [list, sharedRead(signal => lists.read(list, signal), clock)]))
  const facts = new Map<string, ListFacts>()
  const behind = deps.servers.filter(s => settings.roles.length === 0 || settings.roles.some(r => s.roles.includes(r)))

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }
  const factsOf = async (list: string, signal: AbortSignal): Promise<ListFacts> => {
    const known = facts.get(list) ?? (await lists.facts(list, signal))
    facts.set(list, known)
    return known
  }
  /** Every list with what it is and what is registered there. */
  const survey = (signal: AbortSignal) =>
    allOf(lists.names, signal, async list => ({
      list,
      facts: await factsOf(list, signal),
      registered: (await reads.get(list)?.get(signal)) ?? [],
    }))
  type Surveyed = Awaited<ReturnType<typeof survey>>[number]

  const wanted = (server: Server, type: TargetType): Wanted | string =>
    wantedOf(server, settings.member === undefined ? undefined : deps.resolve(settings.member, server), type)

  /** The server as a target there. Throws where it is not known as one. */
  const target = (server: Server, { list, type }: { readonly list: string; readonly type: TargetType }): Wanted => {
    const found = wanted(server, type)
    if (typeof found !== 'string') return found
    throw new BalancerError(`${name}: ${lists.shortName(list)}: ${found}`, { server: server.name, hint: memberHint })
  }

  const there = (surveyed: readonly Surveyed[]): string =>
    surveyed.map(({ list, registered }) => `${lists.shortName(list)} has ${listed(registered)}`).join('; ')

  function refuseUnclear(servers: readonly Server[], surveyed: readonly Surveyed[]): void {
    const problems = new Set<string>()
    for (const type of new Set(surveyed.map(s => s.facts.type))) {
      const all = behind.map(server => ({ server, at: wanted(server, type) }))
      for (const { server, at } of all) {
        if (!servers.some(s => s.name === server.name)) continue
        if (typeof at === 'string') problems.add(at)
        else
          for (const other of all)
            if (other.server.name !== server.name && typeof other.at !== 'string' && overlap(at, other.at)) {
              const names = [server.name, other.server.name].toSorted()
              problems.add(`${names.join(' and ')} are both ${describeTarget(at)}`)
            }
      }
    }
    if (problems.size === 0) return
    throw new BalancerError(`${name}: ${[...problems].join('; ')}; ${there(surveyed)}`, { hint: memberHint })
  }

  const own = (server: Server, { list, facts: { type }, registered }: Surveyed): readonly Registered[] => {
    const at = target(server, { list, type })
    return registered.filter(r => isTarget(r, at))
  }

  /** Unused and left ones do not count: nothing arrives there. */
  const standing = (server: Server, surveyed: readonly Surveyed[]): Rotation => {
    const all = surveyed.flatMap(s => own(server, s).filter(r => !r.unused))
    if (all.length > 0) return together(all.map(r => r.rotation))
    return { state: 'out', detail: `not registered in ${lists.names.map(lists.shortName).join(', ')}` }
  }

  const before = async (receipt: Receipt, signal: AbortSignal) => {
    const server = serverOf(receipt.server)
    const types = await allOf(lists.names, signal, async list => [list, (await factsOf(list, signal)).type] as const)
    const targets = new Map(types.map(([list, type]) => [list, target(server, { list, type })]))
    const members = membersBefore(receipt, lists.names, list => targets.get(list)?.port)
    const asRegistered = ({ list, port, zone }: MemberBefore): Target => ({
      id: targets.get(list)?.id ?? '',
      ...(port === undefined ? {} : { port }),
      ...(zone === undefined ? {} : { zone }),
    })
    return { server, ours: members.filter(m => m.state === 'registered'), asRegistered }
  }

  /** Also where an answer says that it is so already: the answer may be older than what undid it. Both calls may be repeated. */
  async function write(what: 'register' | 'deregister', receipt: Receipt, signal: AbortSignal): Promise<void> {
    const { ours, asRegistered } = await before(receipt, signal)
    const named = lists.names.filter(list => ours.some(m => m.list === list))
    await allOf(named, signal, async list => {
      reads.get(list)?.outdated()
      try {
        await lists[what](list, ours.filter(m => m.list === list).map(asRegistered), signal)
      } finally {
        reads.get(list)?.outdated()
      }
    })
  }

  return {
    name,
    async preflight(servers, signal) {
      const surveyed = await survey(signal)
      refuseUnclear(servers, surveyed)
      const nowhere = servers.filter(server => surveyed.every(s => own(server, s).length === 0))
      const idle = surveyed.filter(({ registered }) => registered.some(r => r.unused)).map(s => lists.shortName(s.list))
      return {
        rotation: Object.fromEntries(servers.map(server => [server.name, standing(server, surveyed)])),
        warnings: [
          ...surveyed.flatMap(s => s.facts.warnings).map(text => `${name}: ${text}`),
          ...(nowhere.length === 0
            ? []
            : [
                `${name}: ${nowhere.map(s => s.name).join(', ')} not registered, so left out as found; ${there(surveyed)}`,
              ]),
          ...(idle.length === 0 ? [] : [`${name}: no listener leads to targets of ${idle.join(', ')}: not used`]),
        ],
      }
    },
    async receipt(server, signal) {
      const surveyed = await survey(signal)
      const members = surveyed.flatMap(s => own(server, s).map(r => memberNow(s.list, r)))
      return { balancer: name, server: server.name, before: standing(server, surveyed).state, data: { members } }
    },
    remove: (receipt, signal) => write('deregister', receipt, signal),
    restore: (receipt, signal) => write('register', receipt, signal),
    async read(receipt, signal) {
      const { server, ours, asRegistered } = await before(receipt, signal)
      const surveyed = await survey(signal)
      // Also a port that was registered since: requests arrive there.
      const now = surveyed.flatMap(s => own(server, s).map(r => ({ ...r, list: s.list })))
      const counted = now.filter(r => !r.unused || ours.some(m => m.list === r.list && m.port === r.port))
      const gone = ours.filter(m => !now.some(r => r.list === m.list && r.port === m.port))
      const rotations = [
        ...counted.map(r => r.rotation),
        ...gone.map(
          (m): Rotation => ({
            state: 'out',
            detail: `${describeTarget(asRegistered(m))} not in ${lists.shortName(m.list)}`,
          }),
        ),
      ]
      return rotations.length > 0 ? together(rotations) : standing(server, surveyed)
    },
    async evidence(receipt, signal) {
      const { ours } = await before(receipt, signal)
      const named = lists.names.filter(list => ours.length === 0 || ours.some(m => m.list === list))
      const all = await allOf(named, signal, list => factsOf(list, signal))
      return {
        drained: all.every(f => f.drained === 'state') ? 'state' : 'none',
        serving: 'health',
        settleMs: lists.settleMs,
        addSettleMs,
        pollMs,
        longestDrainMs: Math.max(0, ...all.map(f => f.drainMs)),
        longestAddMs: Math.max(0, ...all.map(f => f.addMs)),
      }
    },
    byHand(receipt) {
      const server = serverOf(receipt.server)
      const members = membersBefore(receipt, lists.names, () => undefined).filter(m => m.state === 'registered')
      const commands = lists.names.flatMap(list => {
        const type = facts.get(list)?.type ?? (server.id === undefined ? 'ip' : 'instance')
        const at = wanted(server, type)
        const id = typeof at === 'string' ? 'ID' : at.id
        const targets = members
          .filter(m => m.list === list)
          .map(
            ({ port, zone }): Target => ({
              id,
              ...(port === undefined ? {} : { port }),
              ...(zone === undefined ? {} : { zone }),
            }),
          )
        return targets.length === 0 ? [] : [lists.byHand(list, targets)]
      })
      return [`# ${receipt.server}`, ...commands].join('\n')
    },
    close() {
      for (const read of reads.values()) read.close()
    },
  }
}

const memberHint =
  'give the server its instance id as `id`, or say with `member` what it is there (i-…, an address, either with :port), or leave it out by `roles`'

const listed = (registered: readonly Registered[]): string =>
  registered.length === 0
    ? 'nothing'
    : registered.slice(0, 20).map(describeTarget).join(', ') +
      (registered.length > 20 ? ` and ${registered.length - 20} more` : '')
