/** Hetzner: being a target of the load balancer is the rotation. A change is an action that runs on after its answer. */
import { isIP } from 'node:net'
import { type Clock, systemClock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import type { CloudDeps } from './cloud-deps.ts'
import { machineOf, sameMachine } from './cloud-members.ts'
import { type Change, type HetznerBalancer, hetznerApi } from './hetzner-api.ts'
import {
  bodyBefore,
  bodyOf,
  isNumber,
  type Key,
  longestAddMs,
  receiptData,
  rotationOf,
  standingOf,
} from './hetzner-targets.ts'
import { RestError, shortened } from './rest-errors.ts'
import { sharedRead } from './shared-read.ts'

/** How long after a removal requests may still arrive, in milliseconds; nothing published says less. */
const settleMs = 15_000

/** The provider `hetzner`. */
export function hetzner(
  name: string,
  settings: BalancerOf<'hetzner'>,
  deps: CloudDeps,
  clock: Pick<Clock, 'now'> = systemClock,
): LoadBalancer {
  const api = hetznerApi(name, deps.runnerEnv)
  const keys = new Map<string, Key>()
  /** The last change of each server, until it is known to have ended. A new process goes by the targets alone. */
  const actions = new Map<string, { readonly id: number; readonly what: Change }>()

  /** One load balancer for the whole deployment: its look-ups know no server. */
  const balancerId = (): string => {
    const [any] = deps.servers
    const id = any === undefined ? settings.load_balancer : deps.resolve(settings.load_balancer, any)
    if (isNumber(id)) return id
    throw new BalancerError(`${name}: "${id}" cannot be the id of a load balancer`, {
      hint: 'ids are numbers: `hcloud load-balancer list` shows them',
    })
  }
  const shared = sharedRead(own => api.loadBalancer(balancerId(), own), clock)

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  /** Finds all these servers. Throws with every one that is unknown or ambiguous. */
  async function find(servers: readonly Server[], { targets }: HetznerBalancer, signal: AbortSignal): Promise<void> {
    const problems: string[] = []
    const dedicated = targets.flatMap(({ ip }) => (ip ? [{ id: ip.ip, name: ip.ip, addresses: [ip.ip] }] : []))
    let listed: Awaited<ReturnType<typeof api.servers>> | undefined
    for (const server of servers) {
      if (keys.has(server.name)) continue
      const wanted = settings.member === undefined ? server.id : deps.resolve(settings.member, server)
      if (wanted !== undefined && isNumber(wanted)) {
        const key = String(Number(wanted))
        if (standingOf(key, { targets }).all.length > 0 || (await api.isServer(key, signal))) keys.set(server.name, key)
        else problems.push(`${server.name}: there is no server ${key} in the project`)
        continue
      }
      listed ??= await api.servers(signal)
      const found = machineOf(server, wanted, [...listed, ...dedicated])
      if (typeof found !== 'string') keys.set(server.name, found.id)
      // Said to be that IP: a dedicated server, which no list shows while it is no target.
      else if (wanted !== undefined && isIP(wanted) !== 0 && found.startsWith('none')) keys.set(server.name, wanted)
      else problems.push(`${server.name}: of the project's servers and the load balancer's IP targets ${found}`)
    }
    problems.push(...sameMachine([...keys].map(([server, id]) => ({ server, id }))))
    if (problems.length > 0)
      throw new BalancerError(`${name}: ${problems.join('; ')}`, {
        hint: 'give the server its number at Hetzner, or its IP where that is the target, as `id`; say its name with `member`; or leave it out by `roles`',
      })
  }

  function refuseChosen(found: readonly { readonly server: string; readonly selectors: readonly string[] }[]): void {
    const chosen = found.filter(f => f.selectors.length > 0)
    if (chosen.length === 0) return
    const each = chosen.map(f => `${f.server} (${f.selectors.map(shortened).join(', ')})`).join(', ')
    throw new BalancerError(
      `${name}: load balancer ${balancerId()} chooses ${each} by label: single servers cannot be removed`,
      { hint: 'make each server a target of its own instead of the label selector, or use the provider health-file' },
    )
  }

  async function look(server: Server, signal: AbortSignal) {
    const balancer = await shared.get(signal)
    await find([server], balancer, signal)
    const key = keys.get(server.name)
    if (key === undefined) throw new Error(`${server.name} has no target`)
    const standing = standingOf(key, balancer)
    return { balancer, key, standing, rotation: rotationOf(standing, balancer) }
  }

  /** The change that still runs. `told`: one that failed is an error, once. */
  async function running(server: string, told: boolean, signal: AbortSignal) {
    const last = actions.get(server)
    if (last === undefined) return undefined
    const now = await api.action(last.id, signal)
    if (now?.status === 'running') return { ...last, detail: `action ${last.id}, ${last.what}, runs` }
    if (actions.get(server) === last) actions.delete(server)
    shared.outdated()
    if (now?.status !== 'error' || !told) return undefined
    const why = now.error ? shortened(`${now.error.code}: ${now.error.message}`) : 'no reason given'
    throw new BalancerError(`${name}: ${last.what} of ${server} failed (action ${last.id}): ${why}`, {
      server,
      hint: 'look at the load balancer in the console: its targets, network and limits',
    })
  }

  /** Asks for a change where it is neither so nor on its way. An error is none when the list then says what was wanted. */
  async function write(what: Change, receipt: Receipt, signal: AbortSignal): Promise<void> {
    const server = serverOf(receipt.server)
    const runs = await running(server.name, false, signal)
    if (runs?.what === what) return
    shared.outdated()
    const { key, standing } = await look(server, signal)
    const isSo = ({ own }: { readonly own: unknown }) => (own !== undefined) === (what === 'add_target')
    if (what === 'remove_target') refuseChosen([{ server: server.name, selectors: standing.selectors }])
    if (isSo(standing)) {
      if (runs === undefined) return
      // It is so only until that action ends.
      throw new BalancerError(`${name}: ${server.name} cannot be changed yet: ${runs.detail}`, {
        server: server.name,
        retryAfterMs: 0,
        hint: 'it is tried again until the time-out',
      })
    }
    try {
      const body = what === 'add_target' ? bodyBefore(receipt, key) : bodyOf(key)
      const { id } = await api.change(what, balancerId(), body, server.name, signal)
      actions.set(server.name, { id, what })
    } catch (error) {
      if (!(error instanceof RestError) || error.status === undefined) throw error
      if (error.code === 'target_already_defined') return
      shared.outdated()
      const now = await look(server, signal).catch(() => undefined)
      signal.throwIfAborted()
      if (now === undefined || !isSo(now.standing)) throw error
    } finally {
      shared.outdated()
    }
  }

  return {
    name,
    async preflight(servers, signal) {
      const balancer = await shared.get(signal)
      await find(servers, balancer, signal)
      const found = servers.flatMap(({ name: server }) => {
        const key = keys.get(server)
        return key === undefined ? [] : [{ server, key, ...standingOf(key, balancer) }]
      })
      refuseChosen(found)
      const unseen = found.filter(f => !isNumber(f.key) && f.all.length === 0).map(f => `${f.server} (${f.key})`)
      return {
        rotation: Object.fromEntries(found.map(f => [f.server, rotationOf(f, balancer)])),
        warnings: [
          `${name}: Hetzner does not tell what is in flight: a server counts as drained ${settleMs / 1000} s after its removal`,
          ...(unseen.length === 0
            ? []
            : [
                `${name}: taken for dedicated servers that are out, since no target has their IP: ${unseen.join(', ')}`,
              ]),
        ],
      }
    },
    async receipt(server, signal) {
      const { standing, rotation } = await look(server, signal)
      refuseChosen([{ server: server.name, selectors: standing.selectors }])
      return { balancer: name, server: server.name, before: rotation.state, data: receiptData(standing) }
    },
    remove: (receipt, signal) => write('remove_target', receipt, signal),
    async restore(receipt, signal) {
      // What was out before was never put there by us: the state before is "out".
      if (receipt.before !== 'out') await write('add_target', receipt, signal)
    },
    async read(receipt, signal): Promise<Rotation> {
      const server = serverOf(receipt.server)
      const runs = await running(server.name, true, signal)
      const { rotation } = await look(server, signal)
      if (runs === undefined) return rotation
      return { state: runs.what === 'remove_target' ? 'draining' : 'warming', detail: runs.detail }
    },
    async evidence(receipt, signal) {
      const { balancer } = await look(serverOf(receipt.server), signal)
      return { drained: 'none', serving: 'health', settleMs, pollMs: 5000, longestAddMs: longestAddMs(balancer) }
    },
    byHand(receipt) {
      const key = keys.get(receipt.server)
      const target = key === undefined || isNumber(key) ? `--server ${key ?? 'SERVER_ID'}` : `--ip ${key}`
      const net = receipt.data['usePrivateIp'] === true && target.startsWith('--server') ? ' --use-private-ip' : ''
      return `hcloud load-balancer add-target ${balancerId()} ${target}${net} # ${receipt.server}`
    },
    close: () => shared.close(),
  }
}
