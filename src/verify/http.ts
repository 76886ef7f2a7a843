/** One HTTP try over the SSH connection: nothing has to be open or installed on the server. */
import { request } from 'node:http'
import { isIP } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { ConnectionError, messageOf } from '../errors.ts'
import type { Connection } from '../fleet/connection.ts'
import type { HttpCheck } from '../manifest/schema.ts'
import { curl } from './curl.ts'
import { isForbidden } from './forbidden.ts'
import { bodyCap, type HttpAnswer, hostOf, judge, redirectPath } from './http-answer.ts'
import type { Try } from './try.ts'

const mostRedirects = 5

class TlsError extends Error {}

/** Asks once, redirects included. `seconds` is for the whole try. Throws ConnectionError when the SSH connection is gone. */
export async function tryHttp(
  check: HttpCheck,
  connection: Connection,
  seconds: number,
  signal: AbortSignal,
): Promise<Try> {
  // The channel of ssh2 is no net.Socket: a request's own timeout never fires on it, a signal does (measured).
  const limit = AbortSignal.timeout(seconds * 1000)
  const both = AbortSignal.any([signal, limit])
  try {
    let path = check.path
    for (let hops = 0; ; hops++) {
      const answer = await ask(check, path, connection, both)
      const next = hops < mostRedirects ? redirectPath(check, path, answer) : undefined
      if (next === undefined) return judge(check, answer)
      path = next
    }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (connection.closed.aborted) throw error instanceof ConnectionError ? error : lost(connection, error)
    if (limit.aborted) return { is: 'not yet', detail: `no answer within ${seconds} s` }
    if (isForbidden(error)) return curl(check, connection, seconds, signal)
    return { is: error instanceof TlsError ? 'wrong' : 'not yet', detail: messageOf(error) }
  }
}

const lost = (connection: Connection, cause: unknown) =>
  new ConnectionError(`the connection to ${connection.name} was lost during a check`, {
    server: connection.name,
    cause,
  })

async function ask(check: HttpCheck, path: string, connection: Connection, signal: AbortSignal): Promise<HttpAnswer> {
  const channel = await connection.forward(check.port, signal)
  const giveUp = () => channel.destroy()
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    const stream = check.scheme === 'https' ? await encrypted(channel, hostOf(check).name, signal) : channel
    return await exchange(check, path, stream, signal)
  } finally {
    signal.removeEventListener('abort', giveUp)
    channel.destroy()
  }
}

/** TLS inside the channel, with the certificate checked against the check's host. */
function encrypted(channel: Duplex, host: string, signal: AbortSignal): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const tls = connectTls({
      socket: channel,
      host,
      // Server Name Indication has no form for addresses (RFC 6066, section 3).
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ALPNProtocols: ['http/1.1'],
    })
    // An aborted or reset handshake says nothing about the certificate.
    const failed = (error: NodeJS.ErrnoException) =>
      reject(
        signal.aborted || error.code === 'ECONNRESET' ? error : new TlsError(`TLS: ${error.message}`, { cause: error }),
      )
    tls.once('error', failed)
    tls.once('close', () => reject(new Error('the connection was closed during the TLS handshake')))
    tls.once('secureConnect', () => {
      tls.removeListener('error', failed)
      resolve(tls)
    })
  })
}

function exchange(check: HttpCheck, path: string, stream: Duplex, signal: AbortSignal): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const asked = request({
      createConnection: () => stream,
      method: check.method,
      path,
      headers: {
        'user-agent': 'deploy-action',
        accept: '*/*',
        ...check.headers,
        host: hostOf(check).header,
        connection: 'close',
      },
      signal,
    })
    asked.once('error', reject)
    asked.once('response', response => {
      const chunks: Buffer[] = []
      let size = 0
      const finish = () => {
        resolve({
          status: response.statusCode ?? 0,
          headers: Object.fromEntries(
            Object.entries(response.headers).map(([name, value]) => [
              name,
              Array.isArray(value) ? value.join(', ') : (value ?? ''),
            ]),
          ),
          body: Buffer.concat(chunks).subarray(0, bodyCap).toString('utf8'),
        })
        // After that: destroying tells an answer that was cut off.
        response.destroy()
      }
      response.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        size += chunk.length
        if (size >= bodyCap) finish()
      })
      response.once('end', finish)
      response.once('error', reject)
      response.once('aborted', () => reject(new Error('the answer was cut off')))
    })
    asked.end()
  })
}
