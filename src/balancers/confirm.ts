/**
 * A balancer whose word is confirmed by the servers: each watches for itself what arrives at its port. What that can prove and what not:
 * docs/balancers/confirm.md.
 */
import type { Clock } from '../clock.ts'
import { BalancerError, messageOf } from '../errors.ts'
import { type Confirm, wantedAt } from '../manifest/confirm.ts'
import type { Balancer, Manifest, Server } from '../manifest/manifest.ts'
import { allOf } from './all-of.ts'
import { askedAgainMs, unthrottled } from './backing-off.ts'
import type { LoadBalancer, Watch } from './balancer.ts'
import { type Probed, parseProbe, probeScript } from './confirm-scripts.ts'
import { runOnHost } from './host-script.ts'
import { type Connect, type KeptConnection, keptConnection } from './kept-connection.ts'
import type { How } from './traffic.ts'
import { watchTraffic } from './watch-traffic.ts'

export interface ConfirmDeps {
  readonly manifest: Pick<Manifest, 'verify' | 'servers'>
  /** Names of the servers that are to leave it. */
  readonly leaving: ReadonlySet<string>
  readonly connect: Connect
  readonly clock: Clock
}

/** What is in force on one server. */
interface InForce {
  readonly server: Server
  readonly confirm: Confirm
  readonly how: How
}

const without = '`confirm: {quiet_for: 0}` does without it'

/** The same balancer, confirmed where the manifest asks for it, or where its own evidence of a drained server is `none`. */
export function confirmed(
  balancer: LoadBalancer,
  settings: Pick<Balancer, 'confirm'>,
  deps: ConfirmDeps,
): LoadBalancer {
  const { name } = balancer
  const inForce = new Map<string, InForce>()
  const connections = new Map<string, KeptConnection>()
  let looked = false

  function connection(server: Server): KeptConnection {
    const kept = connections.get(server.name) ?? keptConnection(server, deps.connect)
    connections.set(server.name, kept)
    return kept
  }

  async function probe(server: Server, port: number, signal: AbortSignal): Promise<Probed> {
    const where = `${server.name}:${port}`
    const script = probeScript(port)
    const said = await runOnHost(connection(server), { script, where, purpose: 'see what arrives', hints: {} }, signal)
    const found = parseProbe(said)
    if (found) return found
    throw new BalancerError(`${name}: ${server.name} does not say how its traffic can be seen`, { server: server.name })
  }

  /** Adds what is in force on a server; what has to be said of it. Throws where it cannot be kept. */
  async function look(server: Server, signal: AbortSignal): Promise<readonly string[]> {
    const wanted = wantedAt(settings, deps.manifest, server)
    if (wanted.is === 'off') return []
    const asked = wanted.is === 'asked' || (wanted.is === 'no port' && wanted.asked)
    if (!asked) {
      const receipt = await balancer.receipt(server, signal)
      const { clock } = deps
      const evidence = await unthrottled({ clock, signal }, askedAgainMs, () => balancer.evidence(receipt, signal))
      if (evidence.drained !== 'none') return []
    }
    const fail = (what: string, hint: string): never => {
      throw new BalancerError(`${name}: ${what}`, { server: server.name, hint })
    }
    if (wanted.is === 'no port')
      return asked
        ? fail(
            `confirm names no port, and no check by http or tcp is meant for ${server.name}`,
            'write confirm.port: the port at which requests arrive on the server',
          )
        : [
            `${name} cannot tell when ${server.name} is drained, and nothing says at which port requests arrive there: only the waits are kept. Write load_balancers.${name}.confirm.port.`,
          ]
    const { confirm } = wanted
    const at = `port ${confirm.port} of ${server.name}`
    const { how, why, listens, forwarded } = await probe(server, confirm.port, signal)
    if (how === 'none')
      return fail(`nobody can see what arrives at ${at}: ${why}`, `install iproute2 there; ${without}`)
    if (forwarded) {
      const past = `${at} is forwarded into a container by docker-proxy: most of its connections are no connections of the host's, so it would always look quiet`
      if (asked) return fail(past, `let the container use the host's network, or confirm at a proxy's port; ${without}`)
      return [`${name}: ${past}. Nothing confirms that it is drained; ${without} and this warning.`]
    }
    inForce.set(server.name, { server, confirm, how })
    return [
      ...(how === 'looks'
        ? [`${name}: at ${at}, short connections that come between two looks may be missed: ${why}.`]
        : []),
      ...(how === 'tables'
        ? [
            `${name}: at ${at}, nobody can see what a connection carries, so each open one counts as traffic, also an idle one: ${why}.`,
          ]
        : []),
      ...(listens || how === 'tables'
        ? []
        : [
            `${name}: nothing listens at ${at} now. If requests arrive there all the same, they are redirected past the host's own connections (a container's port), and it would always look quiet.`,
          ]),
    ]
  }

  return {
    ...balancer,
    async preflight(servers, signal) {
      const report = await balancer.preflight(servers, signal)
      if (looked) return report
      const leaving = servers.filter(s => deps.leaving.has(s.name))
      const said = await allOf(leaving, signal, server => look(server, signal))
      looked = true
      return { ...report, warnings: [...report.warnings, ...said.flat()] }
    },
    watch(receipt): Watch | undefined {
      const found = inForce.get(receipt.server)
      if (found === undefined) return undefined
      const { server, confirm, how } = found
      const watch = watchTraffic(
        connection(server),
        { port: confirm.port, how, quietFor: confirm.quietFor },
        deps.clock,
      )
      const where = `${name}: what arrives at port ${confirm.port} of ${server.name} cannot be seen`
      const told = async (answer: () => boolean): Promise<boolean> => {
        try {
          return answer()
        } catch (error) {
          throw new BalancerError(`${where}: ${messageOf(error)}`, {
            server: server.name,
            cause: error,
            hint: 'the server has to be reachable by SSH',
          })
        }
      }
      return {
        quiet: confirm.quietFor > 0 ? () => told(watch.quiet) : undefined,
        within: confirm.within,
        arrived: atLast => told(() => watch.arrived(atLast)),
        end: watch.end,
      }
    },
    close() {
      balancer.close?.()
      for (const kept of connections.values()) kept.close()
      connections.clear()
    },
  }
}
