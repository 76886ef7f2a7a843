/** nginx by the include file of its upstream: a line is marked down, nginx is reloaded, and old workers gone mean drained. */
import { BalancerError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import { stepScript } from '../fleet/step-script.ts'
import type { BalancerOf, Server } from '../manifest/manifest.ts'
import { allOf } from './all-of.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'
import type { CommandDeps } from './command.ts'
import type { NginxMember } from './nginx-config.ts'
import { type NginxHost, nginxHost, type Seen } from './nginx-host.ts'
import { membersOf } from './nginx-members.ts'
import { nginxBefore, wasDown } from './nginx-receipt.ts'
import { isInForce, rotationOfLine } from './nginx-rotation.ts'
import { keepAliveWarning } from './nginx-warnings.ts'
import { together } from './together.ts'

export interface NginxDeps extends Pick<CommandDeps, 'servers' | 'connect' | 'shell' | 'variables'> {
  /** Fills the look-ups of a text in for one server: `member` may hold `${{ server.host }}`. */
  readonly resolve: (text: string, server: Server) => string
}

/** A server's lines at one host. */
interface Place {
  readonly at: NginxHost
  readonly seen: Seen
  readonly lines: readonly NginxMember[]
}

/** The provider `nginx`. */
export function nginx(name: string, settings: BalancerOf<'nginx'>, deps: NginxDeps): LoadBalancer {
  const { file, become } = settings
  const hosts = settings.hosts.map(host => nginxHost(host, { file, become }, deps.connect))
  /** The tick of the reload that took a server out, by host and server. */
  const removedAt = new Map<string, number>()
  const keyOf = (at: NginxHost, server: string) => `${at.where} ${server}`

  const serverOf = (serverName: string): Server => {
    const server = deps.servers.find(s => s.name === serverName)
    if (server) return server
    throw new BalancerError(`${name}: no server of the manifest is called ${serverName}`)
  }

  const refuse = (problems: readonly string[]): never => {
    throw new BalancerError(`${name}: ${problems.join('; ')}`, {
      hint: 'say with `member` which address and port the server has in `file`, or leave it out by `roles`',
    })
  }

  function find(at: NginxHost, seen: Seen, server: Server): Place | string {
    const member = settings.member === undefined ? undefined : deps.resolve(settings.member, server)
    const lines = membersOf(seen.members, server, member)
    return typeof lines === 'string' ? `${server.name} at ${at.where}: ${lines}` : { at, seen, lines }
  }

  async function placeAt(at: NginxHost, server: Server, signal: AbortSignal): Promise<Place> {
    const place = find(at, await at.look(signal), server)
    return typeof place === 'string' ? refuse([place]) : place
  }

  const placesOf = (server: string, signal: AbortSignal): Promise<Place[]> =>
    allOf(hosts, signal, at => placeAt(at, serverOf(server), signal))

  const rotation = (server: string, places: readonly Place[]): Rotation =>
    together(
      places.flatMap(({ at, seen, lines }) =>
        lines.map(line => rotationOfLine(at.where, seen, line, removedAt.get(keyOf(at, server)))),
      ),
    )

  /** Lines that an operator had taken out before are not ours to judge by: they stay as they were. */
  function judged(receipt: Receipt, places: readonly Place[]): readonly Place[] {
    const before = nginxBefore(receipt)
    const ours = places.map(p => ({ ...p, lines: p.lines.filter(line => !wasDown(before, p.at.where, line)) }))
    return ours.some(p => p.lines.length > 0) ? ours : places
  }

  /** A person's script, with the variables of the server it is about. Secrets stay away: a reload needs none. */
  const reloadFor = (server: Server): string | undefined =>
    settings.reload === undefined
      ? undefined
      : stepScript({
          script: settings.reload,
          shell: deps.shell,
          env: deps.variables(server).env,
          secrets: {},
          directory: '/',
        })

  /** All hosts at the same time: one that is away must not keep the others from being written. */
  async function write(receipt: Receipt, to: 'down' | 'up', signal: AbortSignal): Promise<void> {
    const server = serverOf(receipt.server)
    const before = nginxBefore(receipt)
    await allOf(hosts, signal, async at => {
      const { seen, lines } = await placeAt(at, server, signal)
      const members = lines.filter(line => !wasDown(before, at.where, line))
      const toChange = members.filter(line => line.down === (to === 'down' ? 'no' : 'ours'))
      if (to === 'up') removedAt.delete(keyOf(at, server.name))
      // What is written already and not in force was not reloaded, or in vain.
      if (toChange.length === 0 && members.every(line => isInForce(seen, line))) return
      const tick = await at.mark({ seen, members: toChange, to, reload: reloadFor(server) }, signal)
      if (to === 'down') removedAt.set(keyOf(at, server.name), tick)
    })
  }

  return {
    name,
    async preflight(servers, signal) {
      const looks = await allOf(hosts, signal, async at => ({ at, seen: await at.look(signal) }))
      const found = servers.map(server => ({
        server: server.name,
        places: looks.map(({ at, seen }) => find(at, seen, server)),
      }))
      const problems = found.flatMap(f => f.places.filter(p => typeof p === 'string'))
      if (problems.length > 0) refuse(problems)
      return {
        rotation: Object.fromEntries(
          found.map(f => [
            f.server,
            rotation(
              f.server,
              f.places.filter(p => typeof p !== 'string'),
            ),
          ]),
        ),
        warnings: looks.flatMap(({ at, seen }) => keepAliveWarning(name, at.host.name, seen.look)),
      }
    },
    async receipt(server, signal) {
      const places = await placesOf(server.name, signal)
      return {
        balancer: name,
        server: server.name,
        before: rotation(server.name, places).state,
        data: {
          members: places.flatMap(({ at, lines }) =>
            lines.map(({ upstream, address, down }) => ({ where: at.where, upstream, address, down: down !== 'no' })),
          ),
        },
      }
    },
    remove: (receipt, signal) => write(receipt, 'down', signal),
    restore: (receipt, signal) => write(receipt, 'up', signal),
    async read(receipt, signal) {
      return rotation(receipt.server, judged(receipt, await placesOf(receipt.server, signal)))
    },
    async isOurs(receipt, signal) {
      const before = nginxBefore(receipt)
      const lines = (await placesOf(receipt.server, signal)).flatMap(p =>
        p.lines.filter(line => !wasDown(before, p.at.where, line)),
      )
      return lines.length > 0 && lines.every(line => line.down === 'ours')
    },
    // A worker that is gone has nothing in flight. nginx checks nobody's health by itself, so it serves from the reload on.
    evidence: async () => ({ drained: 'connections', serving: 'state', settleMs: 200, pollMs: 500, longestAddMs: 0 }),
    byHand(receipt) {
      const addresses = nginxBefore(receipt).filter(b => !b.down)
      return settings.hosts
        .map(host => {
          const own = addresses.filter(b => b.where === `${host.name}:${file}`).map(b => b.address)
          const sudo = become === undefined ? '' : become === 'root' ? 'sudo ' : `sudo -u ${quote(become)} `
          const edit = [...new Set(own)].map(
            a => `-e ${quote(`\\|${a.replace(/[.[\]*^$|\\]/g, '\\$&')}| s/ "down"//`)}`,
          )
          const line = `${sudo}sed -i ${edit.join(' ')} ${quote(file)} && ${sudo}nginx -t && ${sudo}nginx -s reload`
          return own.length === 0 ? '' : `ssh -p ${host.port} ${quote(`${host.user}@${host.host}`)} ${quote(line)}`
        })
        .filter(line => line !== '')
        .join('\n')
    },
    close() {
      for (const at of hosts) at.close()
    },
  }
}
