/**
 * What follows when the connection was lost under a script: it may run on. The connection is made again, and what this run left running on
 * the server is ended and seen gone before anything else is started or read there (semantics.md, Journal and recovery).
 */
import type { Clock } from '../clock.ts'
import { ConnectionError, LockLostError, messageOf } from '../errors.ts'
import type { Connection } from '../fleet/connection.ts'
import type { Server } from '../manifest/manifest.ts'
import { LOCK_LOST } from '../release/exit-codes.ts'
import { endLeft, type Left, parseLeft } from '../release/lock.ts'
import type { Owner } from '../release/prelude.ts'
import type { Site } from '../release/site.ts'

export type AfterLoss =
  | ({ readonly reached: true } & Left)
  /** The connection could not be made again: whether the script runs on is not known. */
  | { readonly reached: false; readonly tries: number; readonly reason: string }

export interface LossDeps {
  readonly server: Pick<Server, 'name'>
  readonly site: Site
  readonly owner: Owner
  readonly clock: Clock
  readonly connect: (signal: AbortSignal) => Promise<Connection>
  readonly assertHeld: () => void
}

export interface Losses {
  /** A script's connection is lost. */
  note(connection: Connection): void
  /** A connection on which nothing of ours runs that was lost. Throws ConnectionError when that cannot be brought about. */
  connection(signal: AbortSignal): Promise<Connection>
  /** What came of the last loss. Throws LockLostError and the signal's reason. */
  settle(signal: AbortSignal, tries: number): Promise<AfterLoss>
  /** As it was seen last: what may not be ended by this user. */
  seenRunning(): readonly number[]
  /** Looks again where something was seen. */
  stillRunning(signal: AbortSignal): Promise<readonly number[]>
}

/** Seconds before the second and the third try: an interruption of the line often is over in that time, and a lease is not. */
const pauses = [5, 15]
/** Seconds for ending groups: TERM and KILL get about five each. */
const endingSeconds = 30

export function afterLosses(deps: LossDeps): Losses {
  const { server, clock } = deps
  let unsettled = false
  let last: AfterLoss | null = null
  let settling: Promise<AfterLoss> | null = null

  /** With a connection the next renewal may be answered; the lease's end aborts the signal. */
  async function enoughLeft(signal: AbortSignal): Promise<void> {
    for (;;) {
      try {
        return deps.assertHeld()
      } catch {
        await clock.sleep(1000, signal)
      }
    }
  }

  async function look(signal: AbortSignal): Promise<AfterLoss> {
    const connection = await deps.connect(signal)
    await enoughLeft(signal)
    const result = await connection.run(endLeft(deps.site, deps.owner), { signal, timeout: endingSeconds })
    if (signal.aborted) throw signal.reason
    if (result.ended === 'exit' && result.code === LOCK_LOST)
      throw new LockLostError(`the lock on ${server.name} is lost: ${result.stderr.trim()}`, {
        server: server.name,
        hint: 'another deployment took over; nothing more is done there',
      })
    const left = result.ended === 'exit' && result.code === 0 ? parseLeft(result.stdout) : null
    if (left !== null) return { reached: true, ...left }
    const said = result.ended === 'lost' ? result.reason : result.stderr.trim() || `the answer ended by ${result.ended}`
    throw new ConnectionError(`${server.name}: ${said}`, { server: server.name })
  }

  async function attempt(signal: AbortSignal, tries: number): Promise<AfterLoss> {
    for (let tried = 1; ; tried++) {
      try {
        const found = await look(signal)
        unsettled = false
        return found
      } catch (error) {
        if (signal.aborted) throw signal.reason
        if (error instanceof LockLostError) throw error
        if (tried >= tries) return { reached: false, tries, reason: messageOf(error) }
        await clock.sleep((pauses[tried - 1] ?? 0) * 1000, signal)
      }
    }
  }

  /** All that wait for it share one: what is started after it is not ended by it. */
  const settle = (signal: AbortSignal, tries: number): Promise<AfterLoss> => {
    if (settling !== null) return settling
    if (!unsettled && last !== null) return Promise.resolve(last)
    const mine = attempt(signal, tries)
      .then(found => {
        last = found
        return found
      })
      .finally(() => {
        settling = null
      })
    settling = mine
    return mine
  }

  const seenRunning = () => (last?.reached ? last.stillRunning : [])
  return {
    note(connection) {
      unsettled = true
      // Where the server closed the session alone: others on the connection would be ended with it.
      connection.close()
    },
    async connection(signal) {
      for (;;) {
        const connection = await deps.connect(signal)
        if (!unsettled && settling === null) return connection
        const found = await settle(signal, 1)
        if (!found.reached)
          throw new ConnectionError(
            `${server.name}: the connection was lost and could not be made again: ${found.reason}`,
            {
              server: server.name,
            },
          )
      }
    },
    settle,
    seenRunning,
    async stillRunning(signal) {
      if (seenRunning().length === 0) return []
      unsettled = true
      const found = await settle(signal, 1)
      return found.reached ? found.stillRunning : []
    },
  }
}
