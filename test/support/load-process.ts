/** The load generator itself: a process of its own, so that a busy test cannot slow it down and its requests cannot slow the test. */
import { Agent, get } from 'node:http'

interface Orders {
  readonly url: string
  readonly clients: number
  readonly pauseMs: number
  readonly timeoutMs: number
  readonly askAgain: boolean
  /** Each client sends back the last cookie it was given. */
  readonly cookies: boolean
}
/** When it was answered, by whom, and what went wrong ('' for nothing). Sent as rows to keep the message small. */
export type Row = readonly [at: number, server: string, release: string, problem: string]

const rows: Row[] = []
/** Requests that were asked again, because a connection that was kept had been closed before any answer came. */
let askedAgain = 0
let stopped = false

/** What one client keeps between its requests. */
interface Jar {
  cookie: string | undefined
}

const ask = (orders: Orders, agent: Agent, jar: Jar): Promise<Row> =>
  new Promise(resolve => {
    const headers = jar.cookie === undefined ? {} : { cookie: jar.cookie }
    const request = get(orders.url, { agent, headers }, response => {
      if (orders.cookies) jar.cookie = response.headers['set-cookie']?.at(-1)?.split(';')[0] ?? jar.cookie
      const header = (name: string) => String(response.headers[name] ?? '')
      const done = (problem: string) => resolve([Date.now(), header('x-server'), header('x-release'), problem])
      response.resume()
      response.once('end', () => done((response.statusCode ?? 0) >= 500 ? `status ${response.statusCode}` : ''))
      response.once('error', error => done(`cut off: ${error.message}`))
    })
    request.setTimeout(orders.timeoutMs, () => request.destroy(new Error('timeout')))
    request.once('error', error => {
      const given = 'code' in error ? String(error.code) : error.message
      // The same reset, seen while writing.
      const code = given === 'EPIPE' ? 'ECONNRESET' : given
      // What a client may do by RFC 9112, 9.3.1 and 9.5, and browsers do: the server had closed the idle connection.
      if (orders.askAgain && request.reusedSocket && code === 'ECONNRESET') {
        askedAgain++
        resolve(ask(orders, agent, jar))
      } else resolve([Date.now(), '', '', code])
    })
  })

async function client(orders: Orders): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const jar: Jar = { cookie: undefined }
  while (!stopped) {
    rows.push(await ask(orders, agent, jar))
    await new Promise(resolve => setTimeout(resolve, orders.pauseMs))
  }
  agent.destroy()
}

process.once('message', async (orders: Orders) => {
  process.once('message', () => {
    stopped = true
  })
  process.send?.({ count: 0 })
  const progress = setInterval(() => process.send?.({ count: rows.length }), 50)
  await Promise.all(Array.from({ length: orders.clients }, () => client(orders)))
  clearInterval(progress)
  process.send?.({ rows, askedAgain }, () => process.disconnect())
})
