/** Opening a session on a connection: a channel in which the server runs one command. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientChannel, Client as SshClient } from 'ssh2'
import { ConnectionError, messageOf } from '../errors.ts'

/** An open connection as the folder's own files see it. */
export interface Link {
  readonly name: string
  readonly client: SshClient
  /** Aborted when the connection is gone, with a ConnectionError that says why. */
  readonly closed: AbortSignal
}

/** The server had no session left: `MaxSessions`, or a limit on processes (RFC 4254 5.1: resource shortage or connect failed). */
class Refused extends ConnectionError {}

const open = (link: Link, command: string): Promise<ClientChannel> =>
  new Promise((resolve, reject) => {
    const fail = (cause: Error) => {
      const refused = 'reason' in cause && typeof cause.reason === 'number'
      const facts = { server: link.name, cause }
      reject(
        refused
          ? new Refused(`${link.name}: the server opens no further session (${cause.message})`, {
              ...facts,
              hint: 'raise MaxSessions in its sshd_config (its default is 10), or look at its limit of processes',
            })
          : new ConnectionError(`${link.name}: no session could be opened: ${cause.message}`, facts),
      )
    }
    try {
      link.client.exec(command, (error, channel) => (error ? fail(error) : resolve(channel)))
    } catch (error) {
      fail(error instanceof Error ? error : new Error(messageOf(error))) // "Not connected" is thrown
    }
  })

/**
 * A channel in which the login shell runs `command`. A server that refuses another session beside ours is asked again as long as
 * `others()` says that ours are in the way, and for half a second more: it frees one only some time after the channel is closed.
 * Throws ConnectionError.
 */
export async function openSession(
  link: Link,
  command: string,
  others: () => boolean,
  signal: AbortSignal,
): Promise<ClientChannel> {
  let alone = 0
  for (;;) {
    try {
      return await open(link, command)
    } catch (error) {
      if (!(error instanceof Refused) || link.closed.aborted) throw error
      alone = others() ? 0 : alone + 1
      if (alone > 5 || signal.aborted) throw error
      await sleep(100)
    }
  }
}
