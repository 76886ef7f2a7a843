/**
 * What the fakes of clouds' APIs have in common: a local server that REFUSES whatever does not fit the published description (path,
 * method, query, body, credentials) and remembers it, so that the test fails that did not mean to send it.
 */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from 'node:http'
import type { z } from 'zod'
import type { Fault } from './contract-subject.ts'

export interface Call {
  readonly method: string
  readonly path: string
  readonly query: URLSearchParams
  readonly headers: IncomingHttpHeaders
  readonly body: unknown
}

export interface Reply {
  readonly status: number
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: RegExp
  /** Parameters the description knows; others are refused. */
  readonly query?: z.ZodType
  /** Without one a body is refused. */
  readonly body?: z.ZodType
  /** `lied`: answer as if it were done, and do nothing. */
  readonly reply: (call: Call, groups: readonly string[], lied: boolean) => Reply
}

export interface FakeFacts {
  readonly token: string
  readonly routes: readonly Route[]
  /** The vendor's form of an error. */
  readonly error: (status: number, code: string, message: string) => Reply
  /** Of a throttled answer. */
  readonly throttled: () => Reply
}

export interface FakeApi {
  readonly url: string
  /** Requests that came, newest last: `GET /v2/…`. */
  readonly calls: readonly string[]
  /** What did not fit the description. */
  readonly misfits: readonly string[]
  fault(fault: Fault): Promise<() => Promise<void>>
  /** Ends every fault. */
  heal(): void
  /** Throws when something did not fit the description. */
  stop(): Promise<void>
}

const bodyOf = (request: IncomingMessage) =>
  new Promise<string>(resolve => {
    let text = ''
    request.setEncoding('utf8').on('data', (data: string) => {
      text += data
    })
    request.once('end', () => resolve(text))
  })

export async function fakeApi({ token, routes, error, throttled }: FakeFacts): Promise<FakeApi> {
  const calls: string[] = []
  const misfits: string[] = []
  const faults = new Set<Fault>()

  function answer(request: IncomingMessage, text: string): Reply {
    const url = new URL(request.url ?? '', 'http://fake')
    const line = `${request.method} ${url.pathname}`
    calls.push(line)
    const misfit = (status: number, code: string, what: string): Reply => {
      misfits.push(`${line}: ${what}`)
      return error(status, code, what)
    }
    if (request.headers.authorization !== `Bearer ${token}`) return error(401, 'unauthorized', 'unable to authenticate')
    if (faults.has('throttling')) return throttled()
    const found = routes.filter(r => r.method === request.method).find(r => r.path.test(url.pathname))
    if (found === undefined) return misfit(404, 'not_found', 'there is no such operation')
    const query = found.query?.safeParse(Object.fromEntries(url.searchParams))
    if (url.search !== '' && !query?.success)
      return misfit(400, 'invalid_input', `the query ${url.search} does not fit: ${query?.error.message ?? ''}`)
    let body: unknown
    if (text !== '' || found.body !== undefined) {
      if (request.headers['content-type'] !== 'application/json')
        return misfit(415, 'invalid_input', 'no JSON was sent')
      try {
        body = JSON.parse(text)
      } catch {
        return misfit(400, 'json_error', 'it is no JSON')
      }
      const fits = found.body?.safeParse(body)
      if (!fits?.success)
        return misfit(422, 'invalid_input', `${text} does not fit: ${fits?.error.message ?? 'no body'}`)
    }
    const groups = found.path.exec(url.pathname)?.slice(1) ?? []
    const call = { method: found.method, path: url.pathname, query: url.searchParams, headers: request.headers, body }
    return found.reply(call, groups, faults.has('silent no-op') && found.method !== 'GET')
  }

  const server: Server = createServer((request, response) => {
    if (faults.has('API gone')) {
      request.socket.destroy()
      return
    }
    bodyOf(request)
      .then(text => {
        const { status, body, headers } = answer(request, text)
        response.writeHead(status, { 'content-type': 'application/json', ...headers })
        response.end(body === undefined ? undefined : JSON.stringify(body))
      })
      .catch((fault: unknown) => {
        misfits.push(`a fault of the fake: ${fault}`)
        response.destroy()
      })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port was given')
  return {
    url: `http://127.0.0.1:${address.port}`,
    calls,
    misfits,
    fault: async fault => {
      faults.add(fault)
      return async () => {
        faults.delete(fault)
      }
    },
    heal: () => faults.clear(),
    stop: async () => {
      await new Promise<void>(resolve => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
      if (misfits.length > 0) throw new Error(`requests that do not fit the description:\n${misfits.join('\n')}`)
    },
  }
}
