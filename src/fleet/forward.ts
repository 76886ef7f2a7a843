/** Connections that the server makes for us: to its own ports and sockets, and from a bastion onwards. */
import type { Duplex } from 'node:stream'
import type { ClientChannel } from 'ssh2'
import { ConnectionError, messageOf } from '../errors.ts'
import type { Link } from './session.ts'

/** RFC 4254 5.1: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED. sshd sends it for TCP; for sockets it says "connect failed" for everything. */
const prohibited = 1

/**
 * HTTP's agent asks a socket for things that a channel does not have. None of them means anything here: NODELAY and keepalive are the
 * SSH connection's, and timeouts are signals in this program.
 */
function asSocket(channel: ClientChannel): Duplex {
  const nothing = () => channel
  return Object.assign(channel, {
    setTimeout: nothing,
    setKeepAlive: nothing,
    setNoDelay: nothing,
    ref: nothing,
    unref: nothing,
  })
}

type Open = (callback: (error: Error | undefined, channel: ClientChannel) => void) => void

function forward(link: Link, what: string, setting: string, signal: AbortSignal, open: Open): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const fail = (cause: unknown) => {
      settle()
      if (link.closed.aborted) return reject(link.closed.reason)
      const reason = cause instanceof Error && 'reason' in cause ? cause.reason : undefined
      const why =
        reason === prohibited
          ? 'the server forbids forwarding'
          : messageOf(cause).replace('(SSH) Channel open failure: ', '')
      const hint =
        reason === prohibited
          ? `set ${setting} in its sshd_config, or for this user`
          : `does anything listen there, for this user, and is ${setting} in sshd_config?`
      reject(
        new ConnectionError(`${link.name}: no connection to ${what} through SSH: ${why}`, {
          server: link.name,
          hint,
          cause,
        }),
      )
    }
    let left = false
    const cancel = () => {
      left = true
      reject(signal.reason)
    }
    const settle = () => signal.removeEventListener('abort', cancel)
    signal.addEventListener('abort', cancel, { once: true })
    try {
      open((error, channel) => {
        if (error) return fail(error)
        settle()
        if (left) return channel.close()
        channel.on('error', () => undefined) // a late write; who uses the channel listens for itself
        resolve(asSocket(channel))
      })
    } catch (error) {
      fail(error) // "Not connected" is thrown
    }
  })
}

/** A TCP connection from the machine at the other end of `link`. Throws ConnectionError, and the signal's reason. */
export const forwardTo = (link: Link, host: string, port: number, signal: AbortSignal): Promise<Duplex> =>
  forward(link, `${host} port ${port}`, 'AllowTcpForwarding yes', signal, callback =>
    link.client.forwardOut('127.0.0.1', 0, host, port, callback),
  )

/** A connection to a unix socket there. Throws ConnectionError, and the signal's reason. */
export const forwardToSocket = (link: Link, path: string, signal: AbortSignal): Promise<Duplex> =>
  forward(link, path, 'AllowStreamLocalForwarding yes', signal, callback =>
    link.client.openssh_forwardOutStreamLocal(path, callback),
  )
