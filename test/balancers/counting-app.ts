/** A real HTTP application that counts what it gets: `/up` for health checks, `/hold?ms=` silent and `/drip?ms=` in pieces. */
import { createServer } from 'node:http'

export interface CountingApp {
  readonly name: string
  readonly port: number
  readonly checks: () => number
  /** When each came, of `performance.now()`. */
  readonly checkTimes: () => readonly number[]
  readonly inFlight: () => number
  /** Connections that are open. */
  readonly open: () => number
  stop(): Promise<void>
}

export async function countingApp(name: string, address = '127.0.0.1'): Promise<CountingApp> {
  const checkTimes: number[] = []
  let inFlight = 0
  let open = 0
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://app')
    if (url.pathname === '/up') {
      checkTimes.push(performance.now())
      response.end('ok')
      return
    }
    inFlight++
    response.once('close', () => {
      inFlight--
    })
    const ms = Number(url.searchParams.get('ms') ?? 0)
    const timer = url.pathname === '/drip' ? setInterval(() => response.write(`${name}\n`), 400) : undefined
    setTimeout(() => {
      clearInterval(timer)
      response.end(name)
    }, ms)
  })
  server.keepAliveTimeout = 120_000
  server.on('connection', socket => {
    open++
    socket.once('close', () => {
      open--
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, address, resolve)
  })
  const at = server.address()
  if (typeof at !== 'object' || at === null) throw new Error('no port was given')
  return {
    name,
    port: at.port,
    checks: () => checkTimes.length,
    checkTimes: () => checkTimes,
    inFlight: () => inFlight,
    open: () => open,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
