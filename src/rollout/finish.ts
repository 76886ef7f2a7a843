/** The end of a deployment, however it went. */
import { LockLostError, messageOf } from '../errors.ts'
import type { Plan } from '../plan/plan.ts'
import { storeWaitsAlone } from '../release/stored-waits.ts'
import type { Result } from '../report/events.ts'
import { type Board, together } from './board.ts'
import type { Deployment } from './deployment.ts'
import type { Opened } from './open-sessions.ts'
import { steps } from './phases.ts'
import { printed, shortly } from './session.ts'
import type { Worker } from './worker.ts'

/** `cleanup` steps, the journal's end, pruning, and the locks: on every server that was reached. Returns what went wrong there. */
export async function finish(
  d: Deployment,
  plan: Plan | null,
  { sessions, others }: Pick<Opened, 'sessions' | 'others'>,
  workers: ReadonlyMap<string, Worker>,
  board: Board,
  { begun, ready }: { readonly begun: boolean; readonly ready: boolean },
  result: Result,
): Promise<Error | null> {
  const wrong = new Map<string, unknown>()
  const [first] = workers.values()
  // One value for all: copies that differ would contradict each other.
  const waits =
    result === 'success' && first !== undefined ? first.waitsToStore(Math.floor(d.clock.wall() / 1000)) : null
  let undecided = 0
  const held = () => new Set([...sessions.values()].filter(s => !s.lost()).map(s => s.server.name))
  if (plan !== null && begun && result !== 'cancelled')
    for (const [server, error] of (await steps('cleanup', plan, workers, held(), result, { goesOn: () => true }))
      .failed)
      if (!d.cancel.aborted) wrong.set(server, error)
  await Promise.all(
    [...sessions.values()].map(async session => {
      try {
        const ended = board.ended(session.server.name)
        const worker = workers.get(session.server.name)
        if (!begun || worker === undefined || ended === undefined) return
        if (session.lost() || (result === 'cancelled' && !ready)) {
          undecided++
          // Its history and marks are not written: that is no success.
          if (result === 'success') wrong.set(session.server.name, session.signal.reason)
        } else {
          await worker.close(ended, result, waits)
          if (ended.open) undecided++
        }
      } catch (error) {
        undecided++
        if (result === 'success' || (!(error instanceof LockLostError) && result !== 'cancelled'))
          wrong.set(session.server.name, error)
      } finally {
        await session.unlock().catch((error: unknown) => {
          d.emit({
            type: 'message',
            level: 'warning',
            server: session.server.name,
            text: `the lock on ${session.server.name} was not given back (${error instanceof Error ? error.message : String(error)}); it runs out by itself within a minute`,
          })
        })
      }
    }),
  )
  await Promise.all(
    [...others.values()].map(async session => {
      const { site, owner, server } = session
      // The lead, which every deployment of the environment reads, whichever servers it selects; of shards the first one writes there.
      if (waits !== null && owner.token === first?.session.owner.token && (plan?.shard?.index ?? 1) === 1)
        try {
          printed(await session.run(storeWaitsAlone(site, owner, waits), { timeout: shortly }), server.name, 'finish')
        } catch (error) {
          const text = `${server.name}: the waits in force were not stored there: ${messageOf(error)}`
          d.emit({ type: 'message', level: 'warning', server: server.name, text })
        }
      await session.unlock().catch(() => {})
    }),
  )
  for (const [server, error] of wrong)
    d.emit({ type: 'message', level: 'error', server, text: `${server}: at the end: ${messageOf(error)}` })
  if (undecided === 0) d.finished()
  return wrong.size > 0 ? together(wrong, 'the end of the deployment') : null
}
