/** `recover`: brings to an end what runs that were cut off left, and puts left-out servers back that verify now. */
import { selectServers } from '../plan/select.ts'
import { journalState } from '../release/journal.ts'
import type { Emit, EventBody, Outcome, Result } from '../report/events.ts'
import { outcomes } from '../report/outcome-words.ts'
import { createBoard, together } from '../rollout/board.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import { recoverAll, sweepAll } from '../rollout/recover-all.ts'
import { isUnreachable, type Session } from '../rollout/session.ts'
import { checkVariables } from './check-variables.ts'
import type { Context } from './context.ts'
import { opening, recoveryOf } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'
import type { RunFile } from './run-file.ts'
import { lockInfo, newToken } from './site.ts'

type ServerEnded = Extract<EventBody, { readonly type: 'server-ended' }>

export const recover = (c: Context): Promise<Result> => recoverAs(c, newToken(), true)

/**
 * `leftOutToo`: also servers that a decided deployment left out; `post` acts on open journals only, as the owner it comes after. `fanOut`:
 * of the shard it comes after.
 */
export async function recoverAs(
  c: Context,
  token: string,
  leftOutToo: boolean,
  fanOut?: RunFile['fanOut'],
): Promise<Result> {
  const { request, manifest, emit, clock, cancel } = c
  const selected = selectServers(manifest.servers, request.servers)
  checkVariables(manifest, request, selected)
  const fleet = fleetOf(c)
  const stories = new Map<string, ServerEnded['recovery']>()
  const telling: Emit = event => {
    const story = event.type === 'server-ended' ? stories.get(event.server) : undefined
    emit(event.type === 'server-ended' && story !== undefined ? { ...event, recovery: story } : event)
  }
  const board = createBoard(telling)
  try {
    emit({ type: 'phase', phase: 'preflight' })
    for (const { name } of selected) emit({ type: 'stage', server: name, stage: 'pending' })
    const shared = fanOut?.shared ?? null
    const lock = {
      owner: { token },
      shared,
      info: lockInfo(request, clock, fanOut?.shared.shards),
      wait: manifest.rollout.lock_wait,
    }
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
      const recovered = await recoverAll(
        { ...recoveryOf(c, leftOutToo, fanOut?.shard ?? null), toldAtEnd: true },
        sessions,
      )
      await sweepAll(emit, sessions)
      for (const { name } of selected) {
        if (unreachable.has(name)) continue
        const one = recovered.get(name)
        const session = sessions.get(name)
        const current = session?.probe.current ?? null
        if (one !== undefined) {
          stories.set(name, one.story)
          const missed = one.ended.outcome === 'pending' && one.ended.leftOut
          board.end(missed ? { ...one.ended, outcome: 'failed' } : one.ended, current, null, one.putBack)
        } else if (leftOutToo || session === undefined) {
          stories.set(name, { found: 'nothing was open', done: null })
          board.skip(name, current)
        } else {
          const { outcome, found, ...end } = decidedBefore(session, token)
          stories.set(name, { found, done: null })
          telling({ type: 'server-ended', server: name, outcome, ...end, release: current, previous: null })
        }
      }
      const trouble =
        unreachable.size > 0 || [...recovered.values()].some(r => r.ended.leftOut || r.ended.outcome === 'failed')
      if (trouble && cancel.aborted) throw cancel.reason
      return trouble ? 'failure' : 'success'
    } finally {
      await Promise.all([...sessions.values(), ...others.values()].map(s => s.unlock().catch(() => {})))
    }
  } finally {
    fleet.close()
  }
}

/** What the run itself had decided about a server before it was cut off, for `post`: it has nothing to do there. */
function decidedBefore({ probe }: Session, token: string) {
  const { opened, leftOut } = journalState(probe.journal.entries)
  const closed = probe.journal.entries.findLast(e => e.type === 'closed')
  const own = opened?.deployment === token && closed?.type === 'closed' ? closed : null
  const isOutcome = (text: string): text is Outcome => outcomes.some(o => o === text)
  return {
    outcome: own !== null && isOutcome(own.outcome) ? own.outcome : ('pending' as const),
    found: own === null ? 'this run had not begun here' : 'this run had decided about it',
    rotation: own?.rotation === 'in' || own?.rotation === 'out' || own?.rotation === 'unknown' ? own.rotation : 'none',
    leftOut: own !== null && leftOut.length > 0,
    keptOut: false,
    notVerified: false,
  } as const
}
