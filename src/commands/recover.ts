/** `recover`: brings to an end what runs that were cut off left, and puts left-out servers back that verify now. */
import { selectServers } from '../plan/select.ts'
import type { Result } from '../report/events.ts'
import { createBoard, together } from '../rollout/board.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import { recoverAll, sweepAll } from '../rollout/recover-all.ts'
import { isUnreachable } from '../rollout/session.ts'
import type { Context } from './context.ts'
import { opening, recoveryOf } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'
import { checkVariables, lockInfo, newToken } from './site.ts'

export const recover = (c: Context): Promise<Result> => recoverAs(c, newToken(), true)

/** `leftOutToo`: also servers that a decided deployment left out; `post` acts on open journals only, as the owner it comes after. */
export async function recoverAs(c: Context, token: string, leftOutToo: boolean): Promise<Result> {
  const { request, manifest, emit, clock } = c
  const selected = selectServers(manifest.servers, request.servers)
  checkVariables(manifest, request.env, selected)
  const fleet = fleetOf(c)
  const board = createBoard(emit)
  try {
    emit({ type: 'phase', phase: 'preflight' })
    const lock = { owner: { token }, info: lockInfo(request, clock), wait: manifest.rollout.lock_wait }
    const nothing = { release: null, source: null }
    const { sessions, others, failed, unreachable } = await openSessions({
      ...opening(c, nothing, fleet),
      unfit: () => null,
      servers: selected,
      environment: manifest.servers,
      alsoRead: [],
      // One server that is gone is no reason to leave the others as they are.
      unreachable: 'skip',
      lock,
    })
    if (failed.size > 0) {
      for (const [server, error] of failed)
        board.fail(server, error, 'preflight', isUnreachable(error) ? 'unreachable' : 'failed')
      board.close(selected.map(s => s.name))
      throw together(failed, 'preflight')
    }
    try {
      emit({ type: 'phase', phase: 'recover' })
      for (const [server, error] of unreachable) board.fail(server, error, 'preflight', 'unreachable')
      const recovered = await recoverAll(recoveryOf(c, leftOutToo), sessions)
      await sweepAll(emit, sessions)
      for (const server of selected) {
        if (unreachable.has(server.name)) continue
        const one = recovered.get(server.name)
        const current = sessions.get(server.name)?.probe.current ?? null
        if (one === undefined) board.skip(server.name, current)
        else
          board.end(
            one.ended.outcome === 'pending'
              ? { ...one.ended, outcome: one.ended.leftOut ? 'failed' : 'succeeded' }
              : one.ended,
            current,
            null,
            one.putBack,
          )
      }
      const trouble =
        unreachable.size > 0 || [...recovered.values()].some(r => r.ended.leftOut || r.ended.outcome === 'failed')
      return trouble ? 'failure' : 'success'
    } finally {
      await Promise.all([...sessions.values(), ...others.values()].map(s => s.unlock().catch(() => {})))
    }
  } finally {
    fleet.close()
  }
}
