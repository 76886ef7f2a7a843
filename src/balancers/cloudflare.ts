/**
 * Cloudflare: an origin of a pool is taken out by `enabled: false`. A pool's origins can only be written as a whole list, with no version
 * to write against: after each write all others are compared with what was read before. Nothing tells what is in flight.
 */
import { type Clock, systemClock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import { allOf } from './all-of.ts'
import type { LoadBalancer, Receipt } from './balancer.ts'
import { sameMachine } from './cloud-members.ts'
import { cloudflareApi, type HealthRead, type MonitorRead, type Origin, type PoolRead } from './cloudflare-api.ts'
import { enableByHand } from './cloudflare-by-hand.ts'
import { originOf } from './cloudflare-origins.ts'
import { isEnabled, poolsBefore, rotationOf, takesTraffic } from './cloudflare-rotation.ts'
import { poolWriter } from './cloudflare-write.ts'
import { sharedRead } from './shared-read.ts'
import { together } from './together.ts'

export interface CloudflareDeps {
  readonly servers: readonly Server[]
  readonly resolve: (text: string, server: Server) => string
  readonly runnerEnv: Readonly<Record<string, string>>
}

interface Surveyed {
  readonly pool: PoolRead
  /** undefined: the pool has no monitor. */
  readonly health: HealthRead | undefined
}
interface Member extends Surveyed {
  readonly origin: Origin
}

/**
 * How long after a write requests may still arrive, in milliseconds: proxied load balancers follow within seconds, those that only
 * answer DNS when their TTL is over, 30 s at least (IBM Cloud Internet Services, which is Cloudflare: "Setting proxy modes").
 */
const settleMs = 30_000

const isMonitored = (pool: PoolRead): boolean => Boolean(pool.monitor || pool.monitor_group)

/** The provider `cloudflare`. */
export function cloudflare(
  name: string,
  settings: BalancerOf<'cloudflare'>,
  deps: CloudflareDeps,
  clock: Pick<Clock, 'now'> = systemClock,
): LoadBalancer {
  const checked = (id: string, of: string): string => {
    if (/^[\w-]{1,64}$/.test(id)) return id
    throw new BalancerError(`${name}: "${id}" cannot be the id of a Cloudflare ${of}`, {
      hint: "it is 32 hexadecimal digits: the dashboard shows the account's in its address, and a pool's at Load Balancing",
    })
  }
  /** One account for the whole deployment: its look-ups know no server. */
  const account = (): string => {
    const [any] = deps.servers
    return checked(any === undefined ? settings.account : deps.resolve(settings.account, any), 'account')
  }
  const poolIds = (): string[] => [...new Set(settings.pools.map(id => checked(id, 'pool')))]
  const api = cloudflareApi(name, account, deps.runnerEnv)
  const writePool = poolWriter(name, api)

  const shared = sharedRead(
    signal =>
      allOf(poolIds(), signal, async (id): Promise<Surveyed> => {
        const pool = await api.pool(id, signal)
        return { pool, health: isMonitored(pool) ? await api.health(id, signal) : undefined }
      }),
    clock,
  )
  const monitors = new Map<string, MonitorRead>()
  /** What servers' origins are called, by server and pool, as last seen. */
  const names = new Map<string, string>()
  /** What a monitor of a group does is not read: the defaults stand for it. */
  async function monitorOf({ monitor }: PoolRead, signal: AbortSignal): Promise<MonitorRead> {
    if (!monitor) return { interval: 60, timeout: 5, retries: 2, consecutive_up: 0 }
    const known = monitors.get(monitor) ?? (await api.monitor(checked(monitor, 'monitor'), signal))
    monitors.set(monitor, known)
    return known
  }

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }
  const indexIn = (pool: PoolRead, server: Server): number | string => {
    const wanted = settings.member === undefined ? server.id : deps.resolve(settings.member, server)
    const found = originOf(server, wanted, pool.origins)
    return typeof found === 'number' ? found : `${server.name}: of the origins of pool ${pool.name || pool.id} ${found}`
  }
  const refuse = (problems: readonly string[]): never => {
    throw new BalancerError(`${name}: ${problems.join('; ')}`, {
      hint: "say with `member` the origin's name or address, name the right `pools`, or leave the server out by `roles`",
    })
  }

  /** The origins of each of these servers. Throws with every server that is unknown or ambiguous in a pool. */
  function find(survey: readonly Surveyed[], servers: readonly Server[]): { server: Server; members: Member[] }[] {
    const problems: string[] = []
    const places: { pool: PoolRead; server: string; id: string }[] = []
    const found = servers.map(server => {
      const members = survey.flatMap(({ pool, health }): Member[] => {
        const index = indexIn(pool, server)
        const origin = typeof index === 'number' ? pool.origins[index] : undefined
        if (typeof index === 'string') problems.push(index)
        if (origin === undefined) return []
        names.set(`${server.name} ${pool.id}`, origin.name)
        places.push({
          pool,
          server: server.name,
          id: `${origin.name} (${origin.address}, the ${Number(index) + 1}. origin)`,
        })
        return [{ pool, health, origin }]
      })
      return { server, members }
    })
    for (const { pool } of survey)
      problems.push(...sameMachine(places.filter(p => p.pool === pool)).map(t => `pool ${pool.name || pool.id}: ${t}`))
    return problems.length > 0 ? refuse(problems) : found
  }

  async function membersOf(serverName: string, signal: AbortSignal): Promise<Member[]> {
    const server = serverOf(serverName)
    return find(await shared.get(signal), [server]).flatMap(f => f.members)
  }
  const rotation = (members: readonly Member[]) => together(members.map(m => rotationOf(m.pool, m.origin, m.health)))

  /** Only where the origin was enabled before: what an operator disabled stays as it is. Pool by pool, so that one keeps no other. */
  async function write(receipt: Receipt, enabled: boolean, signal: AbortSignal): Promise<void> {
    const server = serverOf(receipt.server)
    const ours = new Set(poolsBefore(receipt).flatMap(b => (b.enabled ? [b.pool] : [])))
    const pools = poolIds().filter(id => ours.has(id))
    shared.outdated()
    try {
      const index = (pool: PoolRead): number => {
        const found = indexIn(pool, server)
        return typeof found === 'string' ? refuse([found]) : found
      }
      await allOf(pools, signal, id => writePool({ pool: id, server: server.name, index, enabled }, signal))
    } finally {
      shared.outdated()
    }
  }

  /** What was out of rotation before, or is in a pool that was named since, is not ours to judge by. */
  const ours = (members: readonly Member[], receipt: Receipt): Member[] => {
    const before = new Set(poolsBefore(receipt).flatMap(b => (b.traffic ? [b.pool] : [])))
    return members.filter(m => before.has(m.pool.id))
  }

  return {
    name,
    async preflight(servers, signal) {
      const survey = await shared.get(signal)
      const found = find(survey, servers)
      const leaving = new Set(
        found.flatMap(f => f.members.filter(m => takesTraffic(m.pool, m.origin)).map(m => m.pool)),
      )
      return {
        rotation: Object.fromEntries(found.map(f => [f.server.name, rotation(f.members)])),
        warnings: [
          `${name}: Cloudflare does not tell what is in flight: a server counts as drained ${settleMs / 1000} s after its removal`,
          ...survey.flatMap(({ pool }) => warningsOf(name, pool, leaving.has(pool))),
        ],
      }
    },
    async receipt(server, signal) {
      const members = await membersOf(server.name, signal)
      const pools = members.map(({ pool, origin }) => ({
        pool: pool.id,
        enabled: isEnabled(origin),
        traffic: takesTraffic(pool, origin),
      }))
      return { balancer: name, server: server.name, before: rotation(members).state, data: { pools } }
    },
    remove: (receipt, signal) => write(receipt, false, signal),
    restore: (receipt, signal) => write(receipt, true, signal),
    async read(receipt, signal) {
      const members = await membersOf(receipt.server, signal)
      const own = ours(members, receipt)
      // We only ever disable origins: a pool that is disabled since, or weight 0, is an operator's, and the others decide.
      const open = own.filter(m => m.pool.enabled && m.origin.weight !== 0)
      return rotation([open, own].find(list => list.length > 0) ?? members)
    },
    async isOurs(receipt, signal) {
      const own = ours(await membersOf(receipt.server, signal), receipt)
      return own.length > 0 && own.every(m => !isEnabled(m.origin))
    },
    async evidence(receipt, signal) {
      const members = await membersOf(receipt.server, signal)
      const watched = members.map(m => m.pool).filter(isMonitored)
      const all = await allOf(watched, signal, pool => monitorOf(pool, signal))
      const longest = (seconds: (monitor: MonitorRead) => number) => Math.max(0, ...all.map(seconds)) * 1000
      return {
        drained: 'none',
        serving: watched.length === members.length ? 'health' : 'state',
        settleMs,
        // A disabled origin is not checked: until the next check the answer is the one from before.
        addSettleMs: longest(m => m.interval),
        pollMs: 5000,
        longestAddMs: longest(m => m.interval * (1 + m.consecutive_up) + m.timeout * (1 + m.retries)),
      }
    },
    byHand: receipt =>
      poolsBefore(receipt)
        .filter(b => b.enabled)
        .map(({ pool }) => {
          const called = names.get(`${receipt.server} ${pool}`) ?? receipt.server
          return enableByHand({ url: `${api.base()}/pools/${pool}`, name: called, server: receipt.server })
        })
        .join('\n'),
    close: () => shared.close(),
  }
}

function warningsOf(name: string, pool: PoolRead, oneLeaves: boolean): string[] {
  const at = `${name}: pool ${pool.name || pool.id}`
  const taking = pool.origins.filter(o => takesTraffic(pool, o)).length
  return [
    ...(isMonitored(pool)
      ? []
      : [`${at} has no monitor: requests go to a server as soon as it is enabled; give it a monitor`]),
    ...(oneLeaves && taking - 1 < pool.minimum_origins
      ? [
          `${at} needs ${pool.minimum_origins} healthy origins and ${taking} are enabled: while one is away the whole pool counts as unhealthy; lower minimum_origins`,
        ]
      : []),
  ]
}
