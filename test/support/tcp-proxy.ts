/** A line between the action and a server that can be cut, kept silent, refused or slow. On the loopback interface. */
import { connect, createServer, type Socket } from 'node:net'

export interface TcpProxy {
  readonly port: number
  /** New connections: passed on, taken and never answered, or closed at once. */
  let(how: 'pass' | 'silent' | 'refused'): void
  /** Connections made so far. */
  made(): number
  /** Bytes passed on to the server so far. */
  passed(): number
  /** Ends every connection as the client sees it. The server sees nothing: its side stays open, as when a router forgets a connection. */
  cut(): void
  stop(): Promise<void>
}

/** `upBytesPerSecond`: what the line takes towards the server. */
export async function startTcpProxy(target: number, upBytesPerSecond?: number): Promise<TcpProxy> {
  let how: 'pass' | 'silent' | 'refused' = 'pass'
  let made = 0
  let passed = 0
  const clients = new Set<Socket>()
  const all = new Set<Socket>()
  const keep = (socket: Socket) => {
    all.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => all.delete(socket))
  }
  const server = createServer({ allowHalfOpen: true }, client => {
    made++
    keep(client)
    if (how === 'refused') {
      client.destroy()
      return
    }
    clients.add(client)
    client.once('close', () => clients.delete(client))
    if (how === 'silent') {
      client.resume()
      return
    }
    const upstream = connect({ host: '127.0.0.1', port: target, noDelay: true })
    client.setNoDelay(true)
    keep(upstream)
    client.on('data', data => {
      upstream.write(data)
      passed += data.length
      if (upBytesPerSecond === undefined) return
      client.pause()
      setTimeout(() => client.resume(), (data.length / upBytesPerSecond) * 1000)
    })
    client.once('end', () => upstream.end())
    upstream.on('data', data => {
      if (!client.destroyed) client.write(data)
    })
    upstream.once('end', () => client.end())
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the proxy has no port')
  return {
    port: address.port,
    let: next => {
      how = next
    },
    made: () => made,
    passed: () => passed,
    cut: () => {
      for (const client of clients) client.resetAndDestroy()
    },
    stop: async () => {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      for (const socket of all) socket.destroy()
      await closed
    },
  }
}
