/** All connections of a run: one to each server, one to each bastion, opened when first asked for. */
import type { Duplex } from 'node:stream'
import { type Clock, systemClock } from '../clock.ts'
import { CancelledError, ConnectionError, HostKeyError, InputError, messageOf } from '../errors.ts'
import type { Hop, Server } from '../manifest/manifest.ts'
import type { Access } from './access.ts'
import type { Connection } from './connection.ts'
import { dial } from './dial.ts'
import { forwardTo } from './forward.ts'
import { handshake, type Target } from './handshake.ts'
import { type KnownKey, parseHostKeys } from './known-hosts.ts'
import { type OpenLink, openLink } from './link.ts'
import { pool } from './pool.ts'
import { type Slots, slots } from './slots.ts'
import { sshConnection } from './ssh-connection.ts'

export type { Access } from './access.ts'

export interface Fleet {
  /**
   * The connection to a server: the one that is open, else a new one. Throws ConnectionError after three tries, HostKeyError and
   * AuthenticationError after one, and the signal's reason.
   */
  connect(server: Server, signal: AbortSignal): Promise<Connection>
  /** Closes everything; attempts under way fail. */
  close(): void
}

/**
 * Handshakes under way at a time: in all, and with one address or through one bastion. sshd drops some beyond ten (MaxStartups
 * 10:30:100), and on a busy machine it still counts some that are over for us.
 */
const handshakes = 8
const atOnePlace = 4

/** Tries of a transport that fails, and milliseconds before the second; doubling, with jitter. */
const tries = 3
const firstWait = 500

/** A bastion that is open, and its own limit. */
interface Bastion {
  readonly link: OpenLink
  readonly places: Slots
}

const hopName = ({ user, host, port }: Hop) => `${user}@${host}:${port}`

/** The connection that a bastion makes to `target`. */
async function nextLeg(bastion: OpenLink, target: Target, signal: AbortSignal): Promise<Duplex> {
  const { name, hop, connectTimeout } = target
  const late = AbortSignal.timeout(connectTimeout * 1000)
  try {
    return await forwardTo(bastion, hop.host, hop.port, AbortSignal.any([signal, late]))
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    const said = late.aborted ? `no answer within ${connectTimeout} s` : messageOf(cause)
    const hint = cause instanceof ConnectionError ? cause.hint : undefined
    throw new ConnectionError(`${name}: ${hop.host} port ${hop.port} is not reached from its bastion: ${said}`, {
      server: name,
      stage: 'connecting',
      cause,
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

/** Opens nothing yet. Throws InputError when there is no key and no agent. */
export function openFleet(access: Access, clock: Clock = systemClock): Fleet {
  if (access.keys.length === 0 && access.agent === undefined)
    throw new InputError('there is no private key and no SSH agent', {
      hint: 'set the input ssh-key, or start an agent (SSH_AUTH_SOCK)',
    })
  const places = slots(handshakes)
  const addresses = new Map<string, Slots>()
  const servers = pool<Connection>({ isGone: c => c.closed.aborted, close: c => c.close() })
  const bastions = pool<Bastion>({ isGone: b => b.link.closed.aborted, close: b => b.link.close() })

  function knownKeys(name: string, hop: Hop, hostKeys: readonly string[]): readonly KnownKey[] {
    if (hostKeys.length > 0) return parseHostKeys(hostKeys, `host_key of ${name}`)
    if (access.knownHosts === null && access.strict)
      throw new HostKeyError(`${name}: no host keys are known, so nothing is connected to`, {
        server: name,
        stage: 'host key',
        hint: 'commit a known_hosts file and name it in ssh.known_hosts, or set the input ssh-known-hosts; `ssh-keyscan` writes its lines, a look at the fingerprints makes them true',
      })
    return access.knownHosts?.lookup(hop.host, hop.port) ?? []
  }

  /** Several servers may share an address, behind one sshd or one forwarding router. */
  function placesAt(host: string): Slots {
    const known = addresses.get(host) ?? slots(atOnePlace)
    addresses.set(host, known)
    return known
  }

  async function retrying<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T> {
    for (let tried = 1; ; tried++) {
      try {
        return await attempt()
      } catch (error) {
        if (!(error instanceof ConnectionError) || tried === tries || signal.aborted) throw error
        await clock.sleep(firstWait * 2 ** (tried - 1) * (0.5 + Math.random()), signal)
      }
    }
  }

  async function logIn(socket: Duplex, target: Target, signal: AbortSignal): Promise<OpenLink> {
    const client = await handshake(socket, target, access, signal)
    return openLink(target.name, client, socket)
  }

  /** Dialled before a place is taken: a server that does not answer keeps nobody waiting but its own address. */
  async function direct(target: Target, signal: AbortSignal): Promise<OpenLink> {
    const leaveAddress = await placesAt(target.hop.host).take(signal)
    try {
      const socket = await dial(target.name, target.hop, target.connectTimeout, signal)
      const leave = await places.take(signal).catch((error: unknown) => {
        socket.destroy()
        throw error
      })
      return await logIn(socket, target, signal).finally(leave)
    } finally {
      leaveAddress()
    }
  }

  async function through(bastion: Bastion, target: Target, signal: AbortSignal): Promise<OpenLink> {
    const leaveBastion = await bastion.places.take(signal)
    try {
      const leave = await places.take(signal)
      try {
        return await logIn(await nextLeg(bastion.link, target, signal), target, signal)
      } finally {
        leave()
      }
    } finally {
      leaveBastion()
    }
  }

  /** A link to `target`, by way of the last of `path`, which is reached by way of those before it. */
  async function open(target: Target, path: readonly Hop[], signal: AbortSignal): Promise<OpenLink> {
    const bastion = await lastOf(path, target, signal)
    return retrying(signal, () => (bastion === null ? direct(target, signal) : through(bastion, target, signal)))
  }

  async function lastOf(path: readonly Hop[], via: Target, signal: AbortSignal): Promise<Bastion | null> {
    const hop = path.at(-1)
    if (hop === undefined) return null
    const name = `bastion ${hopName(hop)}`
    const target = { ...via, name, hop, known: knownKeys(name, hop, []) }
    return bastions.get(
      path.map(hopName).join(','),
      async wanted => ({ link: await open(target, path.slice(0, -1), wanted), places: slots(atOnePlace) }),
      signal,
    )
  }

  return {
    connect: async (server, signal) =>
      servers.get(
        // A balancer's host may bear a server's name.
        [server.name, ...[...server.bastions, server].map(hopName)].join(' '),
        async wanted => {
          const { name, connectTimeout, keepalive } = server
          const known = knownKeys(name, server, server.hostKeys)
          return sshConnection(
            await open({ name, hop: server, known, connectTimeout, keepalive }, server.bastions, wanted),
          )
        },
        signal,
      ),
    close() {
      const reason = new CancelledError('the connections are being closed')
      servers.clear(reason)
      bastions.clear(reason)
    },
  }
}
