/**
 * DigitalOcean: being among the load balancer's droplets is the rotation. It tells neither what is in flight nor who is healthy, so time
 * stands for both. There are metrics of connections and health checks, but they are sampled series that lag by a time nobody states, and
 * have gaps: a zero in them may be older than the removal.
 */
import { type Clock, systemClock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import type { CloudDeps } from './cloud-deps.ts'
import { machineOf, sameMachine } from './cloud-members.ts'
import { digitaloceanApi, type LoadBalancerRead } from './digitalocean-api.ts'
import { RestError } from './rest-errors.ts'
import { sharedRead } from './shared-read.ts'

/** How long after a removal requests may still arrive, in milliseconds; nothing published says less. */
const settleMs = 15_000

/** Milliseconds of passing health checks until the load balancer sends a new droplet requests. */
const untilHealthyMs = ({ health_check: check }: LoadBalancerRead): number =>
  (check?.check_interval_seconds ?? 10) * (check?.healthy_threshold ?? 3) * 1000

/** The provider `digitalocean`. */
export function digitalocean(
  name: string,
  settings: BalancerOf<'digitalocean'>,
  deps: CloudDeps,
  clock: Pick<Clock, 'now'> = systemClock,
): LoadBalancer {
  const api = digitaloceanApi(name, deps.runnerEnv)
  const droplets = new Map<string, number>()
  /** When a server was added here, of the clock: its health checks have to pass first. */
  const added = new Map<string, number>()
  /** Servers that were found in the list, and not removed since: there is nothing to wait for. */
  const standing = new Set<string>()

  /** One load balancer for the whole deployment: its look-ups know no server. */
  const balancerId = (): string => {
    const [any] = deps.servers
    const id = any === undefined ? settings.load_balancer : deps.resolve(settings.load_balancer, any)
    if (/^[\w-]{1,100}$/.test(id)) return id
    throw new BalancerError(`${name}: "${id}" cannot be the id of a load balancer`, {
      hint: '`doctl compute load-balancer list` shows the ids',
    })
  }
  const shared = sharedRead(own => api.loadBalancer(balancerId(), own), clock)

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  /** Finds the droplets of all these servers. Throws with every one that is unknown or ambiguous. */
  async function find(servers: readonly Server[], balancer: LoadBalancerRead, signal: AbortSignal): Promise<void> {
    const problems: string[] = []
    let listed: Awaited<ReturnType<typeof api.droplets>> | undefined
    for (const server of servers) {
      if (droplets.has(server.name)) continue
      const wanted = settings.member === undefined ? server.id : deps.resolve(settings.member, server)
      if (wanted !== undefined && /^\d{1,15}$/.test(wanted)) {
        const id = Number(wanted)
        if (balancer.droplet_ids?.includes(id) || (await api.isDroplet(id, signal))) droplets.set(server.name, id)
        else problems.push(`${server.name}: there is no droplet ${id}`)
        continue
      }
      listed ??= await api.droplets(signal)
      const found = machineOf(server, wanted, listed)
      if (typeof found === 'string') problems.push(`${server.name}: of the droplets ${found}`)
      else droplets.set(server.name, found.id)
    }
    const known = [...droplets].map(([server, id]) => ({ server, id }))
    problems.push(...sameMachine(known).map(text => `droplet: ${text}`))
    if (problems.length > 0)
      throw new BalancerError(`${name}: ${problems.join('; ')}`, {
        hint: "give the server the droplet's id as `id`, say its name with `member`, or leave it out by `roles`",
      })
  }

  function refuseUnchangeable(balancer: LoadBalancerRead): void {
    const at = `${name}: load balancer ${balancerId()}`
    if (balancer.tag)
      throw new BalancerError(`${at} chooses its droplets by the tag ${balancer.tag}: single ones cannot be removed`, {
        hint: 'let it choose them by id (its settings, or `doctl compute load-balancer update --droplet-ids`), or use the provider health-file',
      })
    if (balancer.type === 'GLOBAL')
      throw new BalancerError(`${at} is a global one: it stands before other load balancers, not before droplets`, {
        hint: 'name the regional load balancer that the droplets are behind',
      })
  }

  async function look(server: Server, signal: AbortSignal) {
    const balancer = await shared.get(signal)
    refuseUnchangeable(balancer)
    await find([server], balancer, signal)
    const droplet = droplets.get(server.name)
    if (droplet === undefined) throw new Error(`${server.name} has no droplet`)
    return { balancer, droplet, present: balancer.droplet_ids?.includes(droplet) === true }
  }

  function rotationOf(server: string, balancer: LoadBalancerRead): Rotation {
    const droplet = droplets.get(server)
    if (droplet === undefined || !balancer.droplet_ids?.includes(droplet))
      return { state: 'out', detail: `not among the droplets of load balancer ${balancerId()}` }
    const since = added.get(server)
    const left = since === undefined ? 0 : since + untilHealthyMs(balancer) - clock.now()
    if (left <= 0) return { state: 'serving' }
    return { state: 'warming', detail: `its health checks take up to ${Math.ceil(left / 1000)} s more` }
  }

  /** Writes where it is not so yet. An error is none when the list then says what was wanted: another one did it. */
  async function write(what: 'add' | 'remove', receipt: Receipt, signal: AbortSignal): Promise<'done' | 'was so'> {
    const server = serverOf(receipt.server)
    const wanted = what === 'add'
    shared.outdated()
    const { present, droplet } = await look(server, signal)
    if (present === wanted) return 'was so'
    try {
      await api.change(what, balancerId(), droplet, server.name, signal)
    } catch (error) {
      shared.outdated()
      if (!(error instanceof RestError) || error.status === undefined) throw error
      const now = await look(server, signal).catch(() => undefined)
      signal.throwIfAborted()
      if (now?.present !== wanted) throw error
    } finally {
      shared.outdated()
    }
    return 'done'
  }

  return {
    name,
    async preflight(servers, signal) {
      const balancer = await shared.get(signal)
      refuseUnchangeable(balancer)
      await find(servers, balancer, signal)
      const seconds = untilHealthyMs(balancer) / 1000
      return {
        rotation: Object.fromEntries(servers.map(s => [s.name, rotationOf(s.name, balancer)])),
        warnings: [
          `${name}: DigitalOcean tells neither what is in flight nor who is healthy: a server counts as drained ${settleMs / 1000} s after its removal, and as serving ${seconds} s (interval × healthy threshold) after it was added`,
          ...(balancer.status === undefined || balancer.status === 'active'
            ? []
            : [`${name}: load balancer ${balancerId()} is ${balancer.status}, not active`]),
        ],
      }
    },
    async receipt(server, signal) {
      const { balancer, present } = await look(server, signal)
      if (present && !added.has(server.name)) standing.add(server.name)
      return { balancer: name, server: server.name, before: rotationOf(server.name, balancer).state, data: {} }
    },
    async remove(receipt, signal) {
      await write('remove', receipt, signal)
      standing.delete(receipt.server)
      added.delete(receipt.server)
    },
    async restore(receipt, signal) {
      // What was out before was never put there by us: the state before is "out".
      if (receipt.before === 'out') return
      const wrote = await write('add', receipt, signal)
      const waiting = added.has(receipt.server) || standing.has(receipt.server)
      if (wrote === 'done' || !waiting) added.set(receipt.server, clock.now())
    },
    async read(receipt, signal) {
      const { balancer } = await look(serverOf(receipt.server), signal)
      return rotationOf(receipt.server, balancer)
    },
    async evidence(receipt, signal) {
      const { balancer } = await look(serverOf(receipt.server), signal)
      return { drained: 'none', serving: 'none', settleMs, pollMs: 5000, longestAddMs: untilHealthyMs(balancer) }
    },
    byHand(receipt) {
      const droplet = droplets.get(receipt.server) ?? `DROPLET_ID`
      return `doctl compute load-balancer add-droplets ${balancerId()} --droplet-ids ${droplet} # ${receipt.server}`
    },
    close: () => shared.close(),
  }
}
