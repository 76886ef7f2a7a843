/** From a connected stream to an SSH client that is let in: handshake, host key, authentication, each with words for its failures. */
import type { Duplex } from 'node:stream'
import ssh2, { type AnyAuthMethod, type ConnectConfig, type Client as SshClient } from 'ssh2'
import { AuthenticationError, ConnectionError, type ErrorFacts, type HostKeyError } from '../errors.ts'
import type { Hop } from '../manifest/manifest.ts'
import type { Access } from './access.ts'
import { decide, hostKeyAlgorithms } from './host-key.ts'
import type { KnownKey } from './known-hosts.ts'

const { Client } = ssh2

/** One machine to log in to: a server or a bastion. */
export interface Target {
  readonly name: string
  readonly hop: Hop
  readonly known: readonly KnownKey[]
  /** Seconds, for each of TCP connection, handshake and authentication. */
  readonly connectTimeout: number
  /** Seconds between two signs of life; three unanswered ones in a row end the connection. */
  readonly keepalive: number
}

type Phase = 'handshake' | 'authentication'
type SshError = Error & { level?: string; code?: unknown }

/** Failures of a single key or of the agent: ssh2 goes on with the next method after them. */
const goesOn = (error: SshError) =>
  error.level === 'agent' ||
  (error.level === 'client-authentication' && /while signing|signing data/i.test(error.message))

function methodsOf(user: string, { keys, agent }: Access): AnyAuthMethod[] {
  const byKey = keys.map((key): AnyAuthMethod => ({ type: 'publickey', username: user, key: key.parsed }))
  return agent === undefined ? byKey : [...byKey, { type: 'agent', username: user, agent }]
}

function refused(
  { name, hop }: Target,
  access: Access,
  error: SshError,
  trouble: readonly string[],
): AuthenticationError {
  const offered = [
    ...access.keys.map(k => k.name),
    ...(access.agent === undefined ? [] : [`those of the agent at ${access.agent}`]),
  ]
  const tooMany = /too many authentication failures/i.test(error.message)
  const more = trouble.length > 0 ? ` (${trouble.join('; ')})` : ''
  return new AuthenticationError(
    `${name}: ${hop.host} port ${hop.port} does not let ${hop.user} in with ${tooMany ? 'so many keys; offered' : 'any key that was offered'}: ${offered.join(', ')}${more}`,
    {
      server: name,
      stage: 'authentication',
      cause: error,
      hint: tooMany
        ? 'the server takes only so many tries (MaxAuthTries, 6): give the one key that fits'
        : `the public key has to stand in ~/.ssh/authorized_keys of ${hop.user} there; look also at the user name, and at sshd's log on the server`,
    },
  )
}

function broken({ name, hop }: Target, phase: Phase, start: number, what: string, cause?: unknown): ConnectionError {
  const elapsed = ((performance.now() - start) / 1000).toFixed(1)
  const hint = /before handshake/i.test(what)
    ? 'something took the connection and closed it: too many at once (MaxStartups in sshd_config), an allow-list, or no SSH server'
    : /no matching/i.test(what)
      ? 'server and client share no algorithm: the server is very old, or restricted to others'
      : 'the port answers, but not as an SSH server should: look at the port, a proxy on the way, and the load of the machine'
  const facts: ErrorFacts = { server: name, stage: phase, hint, cause }
  return new ConnectionError(
    `${name}: SSH ${phase} with ${hop.host} port ${hop.port} failed after ${elapsed} s: ${what}`,
    facts,
  )
}

/**
 * Logs in over `socket`, which is closed when that fails. The host key is checked before anything is offered. Throws ConnectionError,
 * HostKeyError, AuthenticationError, and the signal's reason.
 */
export function handshake(socket: Duplex, target: Target, access: Access, signal: AbortSignal): Promise<SshClient> {
  return new Promise((resolve, reject) => {
    const { name, hop, known } = target
    const start = performance.now()
    const client = new Client()
    const trouble: string[] = []
    let phase: Phase = 'handshake'
    let hostKeyError: HostKeyError | undefined
    let warned = false
    let settled = false

    const settle = (then: () => void) => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      signal.removeEventListener('abort', cancel)
      then()
    }
    const fail = (error: unknown) =>
      settle(() => {
        client.end()
        socket.destroy()
        reject(error)
      })
    const cancel = () => fail(signal.reason)
    const late = () => fail(broken(target, phase, start, `no answer within ${target.connectTimeout} s`))
    let timer = setTimeout(late, target.connectTimeout * 1000)

    // Stays for the client's life: ssh2 may report a second error, and one without listener would end the process.
    client.on('error', (error: SshError) => {
      if (settled) return
      if (hostKeyError) return fail(hostKeyError)
      if (goesOn(error)) return trouble.push(error.message)
      const unwelcome =
        error.level === 'client-authentication' || /too many authentication failures/i.test(error.message)
      return fail(
        unwelcome ? refused(target, access, error, trouble) : broken(target, phase, start, error.message, error),
      )
    })
    client.once('close', () => fail(broken(target, phase, start, 'the connection was closed')))
    client.once('handshake', () => {
      phase = 'authentication'
      clearTimeout(timer)
      timer = setTimeout(late, target.connectTimeout * 1000)
    })
    client.once('ready', () => settle(() => resolve(client)))
    signal.addEventListener('abort', cancel, { once: true })

    const config: ConnectConfig = {
      sock: socket,
      username: hop.user,
      readyTimeout: 0, // ours tells handshake and authentication apart
      keepaliveInterval: target.keepalive * 1000,
      keepaliveCountMax: 3,
      authHandler: methodsOf(hop.user, access),
      algorithms: { serverHostKey: hostKeyAlgorithms(known) },
      // Called again for every new key exchange of a long connection.
      hostVerifier: (key: Buffer): boolean => {
        const decision = decide({ name, host: hop.host, port: hop.port, key, known, strict: access.strict })
        if (!decision.accept) hostKeyError = decision.error
        else if (decision.warning !== undefined && !warned) {
          warned = true
          access.warn(decision.warning)
        }
        return decision.accept
      },
    }
    try {
      if (signal.aborted) cancel()
      else if (socket.destroyed) fail(broken(target, phase, start, 'the connection was closed before handshake'))
      else client.connect(config)
    } catch (error) {
      fail(error)
    }
  })
}
