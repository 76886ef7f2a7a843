/** The data plane of a fake: a real HTTP proxy that sends each new request to one of the apps the fake names at that moment. */
import { Agent, createServer, request } from 'node:http'

export interface Backend {
  readonly name: string
  readonly port: number
}

export interface Router {
  readonly port: number
  /** Requests in flight to the backend of that name. */
  inFlight(name: string): number
  stop(): Promise<void>
}

/** `routes` is asked for each request: the backends that get new ones now. None: 503. A backend that does not answer: 502. */
export async function startRouter(routes: () => readonly Backend[], port = 0): Promise<Router> {
  const counts = new Map<string, number>()
  const agent = new Agent({ keepAlive: true })
  let turn = 0
  const server = createServer((incoming, outgoing) => {
    const open = routes()
    const backend = open[turn++ % Math.max(1, open.length)]
    if (backend === undefined) {
      outgoing.writeHead(503).end('no target')
      return
    }
    counts.set(backend.name, (counts.get(backend.name) ?? 0) + 1)
    outgoing.once('close', () => counts.set(backend.name, (counts.get(backend.name) ?? 1) - 1))
    // The client's `connection` says nothing of the connection to the backend.
    const { connection: _, ...headers } = incoming.headers
    const inner = request(
      { host: '127.0.0.1', port: backend.port, method: incoming.method, path: incoming.url, headers, agent },
      answer => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(outgoing)
        answer.once('error', () => outgoing.destroy())
      },
    )
    inner.once('error', () => (outgoing.headersSent ? outgoing.destroy() : outgoing.writeHead(502).end('bad gateway')))
    outgoing.once('close', () => outgoing.writableFinished || inner.destroy())
    incoming.pipe(inner)
  })
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port was given')
  return {
    port: address.port,
    inFlight: name => counts.get(name) ?? 0,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
        agent.destroy()
      }),
  }
}
