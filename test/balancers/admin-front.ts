/** Stands before an admin interface that speaks HTTP, and fails as a test wants: the interface behind it is the real one. */
import { createServer, request } from 'node:http'

export type FrontFault = 'answers writes itself' | 'drops the referer' | 'throttled' | 'gone'

export interface Front {
  readonly port: number
  /** null: passes everything on. */
  fail(how: FrontFault | null): void
  stop(): Promise<void>
}

export async function startFront(port: number): Promise<Front> {
  let fault: FrontFault | null = null
  const server = createServer((incoming, outgoing) => {
    if (fault === 'gone') return void incoming.socket.destroy()
    if (fault === 'throttled') return void outgoing.writeHead(429, { 'retry-after': '1' }).end('slow down')
    const writes = incoming.method !== 'GET'
    if (fault === 'answers writes itself' && writes) return void outgoing.writeHead(200).end()
    const { referer, ...headers } = incoming.headers
    const passed = {
      ...headers,
      ...(referer === undefined || fault === 'drops the referer' ? {} : { referer }),
      host: `127.0.0.1:${port}`,
      connection: 'close',
    }
    const inner = request(
      { host: '127.0.0.1', port, method: incoming.method, path: incoming.url, headers: passed, agent: false },
      answer => {
        const { connection: _, ...rest } = answer.headers
        // Caddy's ETag may come as a trailer, which is passed on as one.
        outgoing.writeHead(answer.statusCode ?? 502, { ...rest, connection: 'close' })
        answer.on('data', data => outgoing.write(data))
        answer.once('end', () => {
          outgoing.addTrailers(answer.trailers as Record<string, string>)
          outgoing.end()
        })
        answer.once('error', () => outgoing.destroy())
      },
    )
    inner.once('error', () => outgoing.destroy())
    incoming.pipe(inner)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port was given')
  return {
    port: address.port,
    fail: how => {
      fault = how
    },
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
