/** The admin sockets of a balancer's hosts: over SSH by stream-local forwarding, which needs no tool there, or over TCP. */
import { connect as connectTcp } from 'node:net'
import type { Duplex } from 'node:stream'
import type { BalancerOf } from '../manifest/manifest.ts'
import type { AdminSocket } from './haproxy-socket.ts'
import { type Connect, keptConnection } from './kept-connection.ts'

export interface AdminSockets {
  readonly sockets: readonly AdminSocket[]
  close(): void
}

function tcp(address: string, signal: AbortSignal): Promise<Duplex> {
  const url = new URL(address)
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    const socket = connectTcp({ host, port: Number(url.port), signal })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.removeListener('error', reject)
      resolve(socket)
    })
  })
}

/** The sockets that the settings name, one for each host. Opens nothing yet. */
export function adminSockets(settings: BalancerOf<'haproxy'>, connect: Connect): AdminSockets {
  const { address, socket } = settings
  if (address !== undefined)
    return { sockets: [{ where: address, open: signal => tcp(address, signal) }], close: () => undefined }
  const hosts = settings.hosts.map(host => ({ host, connection: keptConnection(host, connect) }))
  return {
    sockets: hosts.map(({ host, connection }) => ({
      where: `${host.name}:${socket}`,
      open: async signal => (await connection.get(signal)).forwardSocket(socket, signal),
    })),
    close: () => {
      for (const { connection } of hosts) connection.close()
    },
  }
}
