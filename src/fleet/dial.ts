/** The TCP connection to an SSH server, with a timeout of its own and words for what can go wrong. */
import { connect, type Socket } from 'node:net'
import { ConnectionError } from '../errors.ts'
import type { Hop } from '../manifest/manifest.ts'

const silent =
  'nothing answers there: look at firewall and security group (hosted runners come from changing addresses; a bastion or a runner of your own helps), address and port'

const hints: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'the machine answers, but nothing listens on that port: is sshd running, and is the port right?',
  ENOTFOUND: 'the name does not exist, as seen from here: check its spelling, or write the address',
  EAI_AGAIN: 'the name server did not answer; try again, or write the address',
  EHOSTUNREACH: 'there is no way to that address from here: a private one needs a bastion or a runner in its network',
  ENETUNREACH: 'there is no way to that address from here: a private one needs a bastion or a runner in its network',
  ETIMEDOUT: silent,
}

/** The code of the first error: a name with several addresses fails with an AggregateError. */
function codeOf(error: NodeJS.ErrnoException | AggregateError): string {
  if ('code' in error && typeof error.code === 'string') return error.code
  const first: unknown = error instanceof AggregateError ? error.errors[0] : undefined
  return first instanceof Error && 'code' in first && typeof first.code === 'string' ? first.code : error.message
}

const since = (start: number) => `${((performance.now() - start) / 1000).toFixed(1)} s`

/** A connected socket. `timeout` in seconds. Throws ConnectionError, and the signal's reason. */
export function dial(name: string, { host, port }: Hop, timeout: number, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const start = performance.now()
    // Without noDelay each small packet waits for the last one's acknowledgement: 44 ms for a command instead of 2 (measured).
    const socket = connect({ host, port, noDelay: true })
    const settle = (then: () => void) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', cancel)
      socket.removeAllListeners('error').on('error', () => undefined)
      then()
    }
    const fail = (what: string, hint: string | undefined, cause?: unknown) =>
      settle(() => {
        socket.destroy()
        const facts = { server: name, stage: 'connecting', cause, ...(hint === undefined ? {} : { hint }) }
        reject(new ConnectionError(`${name}: no TCP connection to ${host} port ${port}: ${what}`, facts))
      })
    const cancel = () =>
      settle(() => {
        socket.destroy()
        reject(signal.reason)
      })
    const timer = setTimeout(() => fail(`no answer within ${timeout} s`, silent), timeout * 1000)
    signal.addEventListener('abort', cancel, { once: true })
    socket.once('connect', () => settle(() => resolve(socket)))
    socket.once('error', error => {
      const code = codeOf(error)
      fail(`${code} after ${since(start)}`, hints[code], error)
    })
  })
}
