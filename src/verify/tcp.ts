/** One TCP try: a connection to the server's own port that is accepted. */
import { ConnectionError, messageOf } from '../errors.ts'
import type { Connection } from '../fleet/connection.ts'
import { isForbidden } from './forbidden.ts'
import type { Try } from './try.ts'

/** `seconds` is for the whole try. Throws ConnectionError when the SSH connection is gone, and the signal's reason. */
export async function tryTcp(port: number, connection: Connection, seconds: number, signal: AbortSignal): Promise<Try> {
  const limit = AbortSignal.timeout(seconds * 1000)
  try {
    const channel = await connection.forward(port, AbortSignal.any([signal, limit]))
    channel.on('error', () => undefined)
    channel.destroy()
    return { is: 'good', detail: `port ${port} accepts connections` }
  } catch (error) {
    if (signal.aborted) throw signal.reason
    if (connection.closed.aborted) throw error
    if (limit.aborted) return { is: 'not yet', detail: `no connection within ${seconds} s` }
    if (isForbidden(error)) return overThere(port, connection, seconds, signal)
    return { is: 'not yet', detail: messageOf(error) }
  }
}

/** Where sshd forbids forwarding: by bash or nc on the server. */
async function overThere(port: number, connection: Connection, seconds: number, signal: AbortSignal): Promise<Try> {
  const script = [
    `if command -v bash >/dev/null 2>&1; then exec bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}'; fi`,
    `if command -v nc >/dev/null 2>&1; then exec nc -z 127.0.0.1 ${port}; fi`,
    'exit 127',
    '',
  ].join('\n')
  const result = await connection.run(script, { signal, timeout: seconds })
  if (signal.aborted) throw signal.reason
  if (result.ended === 'lost')
    throw new ConnectionError(`the connection to ${connection.name} was lost during a check: ${result.reason}`, {
      server: connection.name,
    })
  if (result.ended === 'exit' && result.code === 0) return { is: 'good', detail: `port ${port} accepts connections` }
  if (result.ended === 'exit' && result.code === 127)
    return {
      is: 'impossible',
      detail: 'the server forbids forwarding, and has neither bash nor nc',
      hint: 'allow it for this user (`AllowTcpForwarding yes`), or use a `command` check',
    }
  return { is: 'not yet', detail: `port ${port} does not accept connections` }
}
