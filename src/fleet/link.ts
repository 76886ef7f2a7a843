/** An SSH client that is logged in, as long as it lives. */
import type { Duplex } from 'node:stream'
import type { Client as SshClient } from 'ssh2'
import { ConnectionError } from '../errors.ts'
import type { Link } from './session.ts'

/** Milliseconds for saying goodbye. */
const goodbye = 1000

export interface OpenLink extends Link {
  close(): void
}

/** Watches `client`, which talks over `socket`. */
export function openLink(name: string, client: SshClient, socket: Duplex): OpenLink {
  const gone = new AbortController()
  const end = (why: string) => {
    if (!gone.signal.aborted)
      gone.abort(
        new ConnectionError(`${name}: the SSH connection is gone: ${why}`, { server: name, stage: 'connected' }),
      )
  }
  client.on('error', error => end(error.message))
  client.on('close', () => end('it was closed by the other side'))
  client.on('end', () => {
    end('it was closed by the other side')
    socket.destroy() // a bastion's channel stays half open otherwise, and ssh2 never says "close"
  })
  return {
    name,
    client,
    closed: gone.signal,
    close: () => {
      end('this program closed it')
      client.end()
      const timer = setTimeout(() => socket.destroy(), goodbye)
      client.once('close', () => clearTimeout(timer))
    },
  }
}
