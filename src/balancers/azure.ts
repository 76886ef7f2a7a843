/**
 * Azure Load Balancer: the admin state of an address in a backend pool is the rotation: Down gets no new connections, None goes by the
 * health probe. Up is never set: it would ignore the probe. Open connections go on, and nobody counts them.
 *
 * Who is healthy is told by no plain call: `loadBalancingRules/…/health` is an asynchronous one of its own for each rule and each look, with
 * a right of its own. So time stands for the probe.
 */
import { type Clock, systemClock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import type { PoolAddress, PoolRead } from './azure-answers.ts'
import { azureApi, type PoolPath } from './azure-api.ts'
import { addressOf, isDown, isUp, type PoolRules, poolPath, rotationOf, rulesOf, settling } from './azure-pool.ts'
import { byHandAtAzure, warningsOf } from './azure-words.ts'
import { azureWriter } from './azure-write.ts'
import type { LoadBalancer, Rotation } from './balancer.ts'
import type { CloudDeps } from './cloud-deps.ts'
import { sameMachine } from './cloud-members.ts'
import { sharedRead } from './shared-read.ts'

/** How long after a removal new connections may still arrive, in milliseconds; nothing published says less. */
const settleMs = 15_000

/** The provider `azure`. */
export function azure(
  name: string,
  settings: BalancerOf<'azure'>,
  deps: CloudDeps,
  clock: Pick<Clock, 'now'> = systemClock,
): LoadBalancer {
  const api = azureApi(name, deps.runnerEnv)
  let rules: PoolRules | undefined
  /** What the servers are called in the pool, as last found. */
  const names = new Map<string, string>()

  /** One pool for the whole deployment: its look-ups know no server. */
  const path = (): PoolPath => {
    const [any] = deps.servers
    const found = poolPath(any === undefined ? settings.backend_pool : deps.resolve(settings.backend_pool, any))
    if ('problem' in found) throw new BalancerError(`${name}: ${found.problem}`, { hint: found.hint })
    return found
  }
  const shared = sharedRead(own => api.pool(path(), own), clock)

  async function rulesRead(signal: AbortSignal): Promise<PoolRules> {
    rules ??= rulesOf(await api.balancer(path(), signal), path())
    return rules
  }
  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  /** The addresses of these servers, by name. Throws with every one that is unknown or ambiguous. */
  function find(servers: readonly Server[], { addresses }: PoolRead): ReadonlyMap<string, PoolAddress> {
    const problems: string[] = []
    const found = new Map<string, PoolAddress>()
    for (const server of servers) {
      const wanted = settings.member === undefined ? server.id : deps.resolve(settings.member, server)
      const one = addressOf(server, wanted, addresses)
      if (typeof one === 'string') problems.push(`${server.name}: ${one}`)
      else {
        found.set(server.name, one)
        names.set(server.name, one.name)
      }
    }
    const same = sameMachine([...found].map(([server, { index }]) => ({ server, id: addresses[index]?.name ?? index })))
    problems.push(...same)
    if (problems.length > 0)
      throw new BalancerError(`${name}: ${problems.join('; ')}`, {
        hint: 'say with `id` or `member` what the server is in the pool (name, IP address or network interface), or leave it out by `roles`',
      })
    return found
  }
  function addressIn(serverName: string, pool: PoolRead): PoolAddress {
    const address = find([serverOf(serverName)], pool).get(serverName)
    if (address === undefined) throw new Error(`${serverName} has no address`)
    return address
  }
  const writer = azureWriter(name, api, path, addressIn, clock, shared.outdated)

  return {
    name,
    async preflight(servers, signal) {
      const pool = await shared.get(signal)
      const found = find(servers, pool)
      const up = [...found].filter(([, address]) => isUp(address)).map(([server]) => server)
      return {
        rotation: Object.fromEntries([...found].map(([server, address]) => [server, rotationOf(address)])),
        warnings: warningsOf(pool, await rulesRead(signal), { pool: path().poolName, settleMs, up }).map(
          text => `${name}: ${text}`,
        ),
      }
    },
    async receipt(server, signal) {
      const address = addressIn(server.name, await shared.get(signal))
      if (!isDown(address)) writer.stands(server.name)
      return { balancer: name, server: server.name, before: rotationOf(address).state, data: {} }
    },
    remove: (receipt, signal) => writer.set(receipt.server, 'remove', signal),
    async restore(receipt, signal) {
      // Down before is an operator's: it was never ours.
      if (receipt.before !== 'out') await writer.set(receipt.server, 'restore', signal)
    },
    async read(receipt, signal): Promise<Rotation> {
      const { name: server } = serverOf(receipt.server)
      const runs = await writer.running(server, signal)
      const pool = await shared.get(signal)
      const address = addressIn(server, pool)
      if (runs !== undefined) return { state: isDown(address) ? 'draining' : 'warming', detail: runs.detail }
      const since = writer.sinceRestore(server)
      const left = since === undefined || isDown(address) ? 0 : (await rulesRead(signal)).healthyMs - since
      if (left > 0) return { state: 'warming', detail: `its health probes take up to ${Math.ceil(left / 1000)} s more` }
      return settling(rotationOf(address), pool)
    },
    async evidence(_, signal) {
      const { drainPeriod } = await shared.get(signal)
      const { healthyMs } = await rulesRead(signal)
      const longest = { longestDrainMs: drainPeriod * 1000, longestAddMs: healthyMs }
      return { drained: 'none', serving: 'none', settleMs, pollMs: 5000, ...longest }
    },
    byHand: ({ server }) => byHandAtAzure(path(), names.get(server), server),
    close: () => shared.close(),
  }
}
