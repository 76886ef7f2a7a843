/** One line to HAProxy's admin socket, and its answer. HAProxy closes the connection when it has answered. */
import type { Duplex } from 'node:stream'
import { BalancerError, messageOf } from '../errors.ts'
import { type Slots, slots } from '../fleet/slots.ts'

/** Opens the admin socket of one HAProxy process. */
export interface AdminSocket {
  /** For messages: `lb1:/run/haproxy/admin.sock`. */
  readonly where: string
  open(signal: AbortSignal): Promise<Duplex>
}

/** A backend's answers are some hundred bytes a server; this is for thousands of servers. */
const longestAnswer = 16 * 1024 * 1024
const callSeconds = 10
/** HAProxy serves ten connections at a time (`stats maxconn`), lets about as many wait and refuses the next, of whichever runner. */
const atOnce = 4
const turns = new WeakMap<AdminSocket, Slots>()
/**
 * Milliseconds until a refused connection is worth another try: who is before us takes some of them for each answer. sshd says "open
 * failed" also where there is no socket at all.
 */
const refusedMs = 25
const isRefused = (error: unknown) => /open fail|EAGAIN/i.test(messageOf(error))

const openHint = (message: string): string | undefined =>
  /permission|EACCES|open failed|ENOENT|no such file/i.test(message)
    ? 'the socket has to exist there, and the SSH user needs the right to it (usually the group haproxy)'
    : /ECONNREFUSED|refused/i.test(message)
      ? 'nobody listens there: is HAProxy running, and is its `stats socket` this one?'
      : undefined

/** Sends one line (commands joined by `; `). Has 10 s. Throws BalancerError, with `retryAfterMs` where all places are taken; the signal's reason when it was aborted. */
export async function ask(socket: AdminSocket, line: string, signal: AbortSignal): Promise<string> {
  const queue = turns.get(socket) ?? slots(atOnce)
  turns.set(socket, queue)
  const giveBack = await queue.take(signal)
  const limit = AbortSignal.timeout(callSeconds * 1000)
  const both = AbortSignal.any([signal, limit])
  try {
    return await exchange(await socket.open(both), line, both)
  } catch (error) {
    if (signal.aborted) throw signal.reason
    const message = limit.aborted ? `no answer within ${callSeconds} s` : messageOf(error)
    const hint = openHint(message)
    throw new BalancerError(`HAProxy at ${socket.where} does not answer: ${message}`, {
      cause: error,
      ...(hint === undefined ? {} : { hint }),
      ...(isRefused(error) ? { retryAfterMs: refusedMs } : {}),
    })
  } finally {
    giveBack()
  }
}

function exchange(stream: Duplex, line: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    const finish = (error?: unknown) => {
      signal.removeEventListener('abort', aborted)
      stream.destroy()
      if (error === undefined) resolve(Buffer.concat(chunks).toString('utf8'))
      else reject(error)
    }
    const aborted = () => finish(signal.reason)
    signal.addEventListener('abort', aborted, { once: true })
    stream.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      size += chunk.length
      if (size > longestAnswer) finish(new Error('the answer does not end'))
    })
    stream.once('end', () => finish(size === 0 ? new Error('it closed the connection without an answer') : undefined))
    stream.once('close', () => finish(new Error('the connection was closed before the answer ended')))
    stream.on('error', finish)
    if (signal.aborted) aborted()
    else stream.write(`${line}\n`)
  })
}

/**
 * Sends commands that change something, in one line. HAProxy answers a success with an empty line and everything else with text,
 * so any text is a failure (measured: a wrong name is answered with "No such server." and nothing else). Throws BalancerError.
 */
export async function command(socket: AdminSocket, commands: readonly string[], signal: AbortSignal): Promise<void> {
  if (commands.length === 0) return
  const reply = (await ask(socket, commands.join('; '), signal)).trim()
  if (reply === '') return
  throw new BalancerError(`HAProxy at ${socket.where} refused "${commands.join('; ')}": ${oneLine(reply)}`, {
    hint: /permission denied/i.test(reply)
      ? 'the `stats socket` needs `level admin` in the configuration of HAProxy'
      : 'nothing is taken for done; the names are those of the configuration of HAProxy',
  })
}

const oneLine = (text: string): string => text.replace(/\s+/g, ' ').slice(0, 300)
