/** A link as the rest of the program sees it. */
import type { Readable } from 'node:stream'
import type { Connection, RunOptions, RunResult } from './connection.ts'
import { execute } from './execute.ts'
import { forwardTo, forwardToSocket } from './forward.ts'
import type { OpenLink } from './link.ts'
import { slots } from './slots.ts'

/** Sessions on one connection at a time. sshd's MaxSessions is 10; two are left for ending scripts. */
const sessions = 8

export function sshConnection(link: OpenLink): Connection {
  const places = slots(sessions)

  async function inPlace(script: string, input: Readable | null, options: RunOptions): Promise<RunResult> {
    // Said while it waits for a place, a failure of the input would have no listener, and end the process.
    const early = () => undefined
    input?.on('error', early)
    const release = await places.take(options.signal).catch(() => null) // null: cancelled, which `execute` says
    const others = () => places.taken() > 1
    return execute({ link, script, input, options, others, freed: () => release?.() })
  }

  return {
    name: link.name,
    run: (script, options) => inPlace(script, null, options),
    send: (script, input, options) => inPlace(script, input, options),
    forward: (port, signal) => forwardTo(link, '127.0.0.1', port, signal),
    forwardSocket: (path, signal) => forwardToSocket(link, path, signal),
    closed: link.closed,
    close: link.close,
  }
}
