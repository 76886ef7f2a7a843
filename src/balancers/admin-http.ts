/** The admin page or API of a balancer, asked over HTTP through an SSH forward: one request is one connection, nothing is tried again. */
import { type IncomingMessage, request } from 'node:http'
import type { Duplex } from 'node:stream'
import { BalancerError, messageOf } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'
import { type Connect, type KeptConnection, keptConnection } from './kept-connection.ts'

export interface AdminRequest {
  readonly method: 'GET' | 'POST' | 'PATCH'
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface AdminAnswer {
  readonly status: number
  /** Lower-case names; what came as a trailer is among them. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** One balancer host's admin address. */
export interface AdminHost {
  /** For messages and receipts: `lb1:127.0.0.1:2019`. */
  readonly where: string
  readonly host: Server
  readonly connection: KeptConnection
  /** Has 10 s. Any status is an answer. Throws BalancerError, or the signal's reason. */
  ask(request: AdminRequest, signal: AbortSignal): Promise<AdminAnswer>
}

/** Where the admin interface listens on its own host: only that can be reached through SSH. */
export type AdminAddress =
  | { readonly kind: 'port'; readonly port: number; readonly host: string }
  | { readonly kind: 'socket'; readonly path: string; readonly host: '' }

/** Bytes; a configuration of thousands of members is well below. */
const longestAnswer = 16 * 1024 * 1024
const callMs = 10_000

/** `127.0.0.1:2019`, `localhost:2019`, `:2019` or `unix//path`, as Caddy writes addresses. Throws BalancerError. */
export function adminAddress(name: string, text: string): AdminAddress {
  const socket = /^unix\/(\/.+)$/.exec(text)?.[1]
  if (socket !== undefined) return { kind: 'socket', path: socket, host: '' }
  const port = Number(/^(?:127\.0\.0\.1|localhost)?:(\d{1,5})$/.exec(text)?.[1])
  if (port >= 1 && port <= 65_535) return { kind: 'port', port, host: `127.0.0.1:${port}` }
  throw new BalancerError(`${name}: "${text}" is no admin address that can be reached through SSH`, {
    hint: '127.0.0.1:PORT or unix//PATH is expected: a port or socket of the host itself, which no one else needs to reach',
  })
}

/** The admin addresses of all hosts. `hostHeader`: another Host header than the address. Opens nothing yet. */
export function adminHosts(
  { hosts, address, hostHeader = address.host }: HostFacts,
  connect: Connect,
): { readonly hosts: readonly AdminHost[]; close(): void } {
  const all = hosts.map(host => {
    const connection = keptConnection(host, connect)
    const where = `${host.name}:${address.kind === 'socket' ? address.path : address.host}`
    return {
      where,
      host,
      connection,
      ask: (asked: AdminRequest, signal: AbortSignal) =>
        within(where, signal, async both => {
          const open = await connection.get(both)
          const stream =
            address.kind === 'socket'
              ? await open.forwardSocket(address.path, both)
              : await open.forward(address.port, both)
          return exchange(stream, asked, hostHeader, both)
        }),
    }
  })
  return {
    hosts: all,
    close: () => {
      for (const { connection } of all) connection.close()
    },
  }
}

interface HostFacts {
  readonly hosts: readonly Server[]
  readonly address: AdminAddress
  readonly hostHeader?: string
}

async function within(where: string, signal: AbortSignal, work: (both: AbortSignal) => Promise<AdminAnswer>) {
  signal.throwIfAborted()
  const limit = AbortSignal.timeout(callMs)
  try {
    return await work(AbortSignal.any([signal, limit]))
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const hint = error instanceof Error && 'hint' in error && typeof error.hint === 'string' ? error.hint : undefined
    throw new BalancerError(
      `${where} does not answer: ${limit.aborted ? `nothing within ${callMs / 1000} s` : messageOf(error)}`,
      { cause: error, hint: hint ?? 'does the admin interface listen there?' },
    )
  }
}

/** A forwarded channel is no net.Socket: timeouts of requests never fire on it, signals do. */
function exchange(stream: Duplex, asked: AdminRequest, host: string, signal: AbortSignal): Promise<AdminAnswer> {
  return new Promise<AdminAnswer>((resolve, reject) => {
    stream.on('error', reject)
    const { body } = asked
    const sent = request({
      createConnection: () => stream,
      method: asked.method,
      path: asked.path,
      // An empty one, as for a socket, would be replaced.
      setHost: false,
      headers: {
        ...asked.headers,
        ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
        host,
        // Caddy's admin server cuts kept connections at each change (measured).
        connection: 'close',
      },
      signal,
    })
    sent.once('error', reject)
    sent.once('response', response => collect(response).then(resolve, reject))
    sent.end(body)
  }).finally(() => stream.destroy())
}

/** What is said of an answer that ended before its end. */
export const cutOff = 'the answer was cut off'

function collect(response: IncomingMessage): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    response.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size > longestAnswer) response.destroy(new Error('the answer does not end'))
    })
    response.once('error', reject)
    response.once('close', () => {
      if (!response.complete) return reject(new Error(cutOff))
      const plain = Object.entries({ ...response.headers, ...response.trailers }).map(
        ([key, value]) => [key, Array.isArray(value) ? value.join(', ') : (value ?? '')] as const,
      )
      resolve({
        status: response.statusCode ?? 0,
        headers: Object.fromEntries(plain),
        body: Buffer.concat(chunks).toString('utf8'),
      })
    })
  })
}

/** For messages: what an answer said, on one line. */
export const saidBy = (answer: AdminAnswer): string => answer.body.replace(/\s+/g, ' ').trim().slice(0, 300)
