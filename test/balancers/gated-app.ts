/** A real HTTP application whose answers the test holds: `/hold` is answered when the test lets it, `/up` says what the test wants. */
import { createServer, type ServerResponse } from 'node:http'

export interface GatedApp {
  readonly name: string
  readonly port: number
  /** Requests other than health checks that ever arrived. */
  readonly served: () => number
  readonly held: () => number
  /** Answers everything that is held. */
  release(): void
  /** What health checks are told from now on. */
  health(status: number): void
  /** What they are told now: a fake's own health check looks here. */
  readonly status: () => number
  stop(): Promise<void>
}

/** `well`: asked at each health check, besides what the test said. */
export async function gatedApp(name: string, well: () => boolean = () => true): Promise<GatedApp> {
  let served = 0
  let status = 200
  const held = new Set<ServerResponse>()
  const server = createServer((request, response) => {
    if (request.url === '/up') {
      response.writeHead(well() ? status : 503).end()
      return
    }
    served++
    if (request.url === '/hold') {
      held.add(response)
      response.once('close', () => held.delete(response))
    } else response.end(name)
  })
  // Who keeps a connection idle decides how long: a busy machine needs more than Node's five seconds from one request to the next.
  server.keepAliveTimeout = 120_000
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port was given')
  return {
    name,
    port: address.port,
    served: () => served,
    held: () => held.size,
    release: () => {
      for (const response of held) response.end(name)
    },
    health: next => {
      status = next
    },
    status: () => status,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** One request of its own connection; the body, or "HTTP <status>". */
export async function get(port: number, path = '/'): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { connection: 'close' } })
  const text = await response.text()
  return response.ok ? text : `HTTP ${response.status}`
}
