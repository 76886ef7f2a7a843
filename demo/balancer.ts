/**
 * A small HTTP load balancer inside this process: round robin over the members that are in rotation and healthy, keep-alive on both
 * sides, no retry (a request that a server loses is lost here, too). Taken out, a member gets no new request; those in flight end.
 * A second port takes orders: GET /NAME, POST /NAME/remove, POST /NAME/add.
 */
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'

export interface Member {
  readonly name: string
  readonly port: number
}

export interface MemberState extends Member {
  inRotation: boolean
  healthy: boolean
  inFlight: number
}

export interface Balancer {
  readonly port: number
  readonly controlPort: number
  member(name: string): Readonly<MemberState> | undefined
  stop(): void
}

const checkEveryMs = 200
/** Bad checks in a row that make a member unhealthy: one slow answer on a busy machine is none. */
const threshold = 3

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      if (typeof address === 'object' && address !== null) resolve(address.port)
    })
  })
}

/** Starts on free ports of the loopback interface. Members begin in rotation, and unhealthy until the first good check. */
export async function startBalancer(members: readonly Member[]): Promise<Balancer> {
  const states = members.map((m): MemberState => ({ ...m, inRotation: true, healthy: false, inFlight: 0 }))
  // Idle connections are let go before any server closes them: what is sent on a closing connection would be lost.
  const agent = new Agent({ keepAlive: true, timeout: 1_000 })
  let next = 0

  function pick(): MemberState | undefined {
    const ready = states.filter(s => s.inRotation && s.healthy)
    return ready[next++ % ready.length]
  }

  function proxy(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const member = pick()
    if (member === undefined) {
      outgoing.writeHead(503).end('no server in service')
      return
    }
    member.inFlight++
    let counted = true
    const done = () => {
      if (counted) member.inFlight--
      counted = false
    }
    const { connection: _hopByHop, ...headers } = incoming.headers
    const upstream = request({
      agent,
      host: '127.0.0.1',
      port: member.port,
      method: incoming.method,
      path: incoming.url,
      headers,
    })
    upstream.on('response', answer => {
      const { connection: _ofThatHop, 'keep-alive': _too, ...passed } = answer.headers
      outgoing.writeHead(answer.statusCode ?? 502, { ...passed, 'x-server': member.name })
      answer.pipe(outgoing)
      answer.on('close', done)
    })
    upstream.on('error', () => {
      done()
      if (outgoing.headersSent) outgoing.destroy()
      else outgoing.writeHead(502).end('the server did not answer')
    })
    incoming.pipe(upstream)
  }

  const bad = new Map<string, number>()
  const check = (state: MemberState) => {
    const note = (good: boolean) => {
      bad.set(state.name, good ? 0 : (bad.get(state.name) ?? 0) + 1)
      if (good) state.healthy = true
      else if ((bad.get(state.name) ?? 0) >= threshold) state.healthy = false
    }
    const probe = request({ host: '127.0.0.1', port: state.port, path: '/up', agent: false, timeout: 5_000 })
    probe.on('response', answer => {
      answer.resume()
      note(answer.statusCode === 200)
    })
    probe.on('timeout', () => probe.destroy())
    probe.on('error', () => note(false))
    probe.end()
  }

  function order(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const [, name, verb] = (incoming.url ?? '').split('/')
    const state = states.find(s => s.name === name)
    if (state === undefined) {
      outgoing.writeHead(404).end(`no member ${name}\n`)
      return
    }
    if (incoming.method === 'POST') {
      // What is known of its health is from before it was taken out: the next check says anew.
      if (verb === 'add' && !state.inRotation) state.healthy = false
      state.inRotation = verb === 'add'
    }
    outgoing.setHeader('content-type', 'application/json')
    outgoing.end(JSON.stringify(state))
  }

  const front = createServer(proxy)
  const control = createServer(order)
  const [port, controlPort] = [await listen(front), await listen(control)]
  const timer = setInterval(() => states.forEach(check), checkEveryMs)
  return {
    port,
    controlPort,
    member: name => states.find(s => s.name === name),
    stop: () => {
      clearInterval(timer)
      for (const server of [front, control]) {
        server.close()
        server.closeAllConnections()
      }
      agent.destroy()
    },
  }
}
