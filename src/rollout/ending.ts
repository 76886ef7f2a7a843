/** What a deployment leaves on a server when it ends there, and what an earlier one left. Pure. */
import type { Receipt } from '../balancers/balancer.ts'
import type { Finish } from '../release/finish.ts'
import { journalState } from '../release/journal.ts'
import { prunable } from '../release/marks.ts'
import type { Probe } from '../release/probe.ts'
import { isReleaseId } from '../release/site.ts'
import type { Result } from '../report/events.ts'
import type { Ended } from './server.ts'
import { previousOf, type Session } from './session.ts'
import type { Surroundings } from './variables.ts'

/** A receipt as it lies in a journal. */
export const stored = (receipt: Receipt) => ({ ...receipt, data: { ...receipt.data } })

/** What an earlier deployment took out and did not put back, as far as its journal says. */
export function earlierReceipts({ journal }: Pick<Probe, 'journal'>): readonly Receipt[] {
  const state = journalState(journal.entries)
  if (!state.open) return state.leftOut
  return [...state.leftOut.filter(l => !state.receipts.some(r => r.balancer === l.balancer)), ...state.receipts]
}

/** The end of a server as its mark, history, journal and the releases that go. */
export function endOf(
  session: Session,
  { manifest, plan, runUrl, actor }: Surroundings,
  ended: Ended,
  result: Result,
): Finish {
  const { probe, owner } = session
  const previous = previousOf(probe)
  const release = plan.release?.id ?? null
  const wentBad = ended.outcome === 'rolled-back' || (ended.outcome === 'failed' && ended.switched)
  const good = result === 'success'
  const own = (link: string | null) => (link !== null && isReleaseId(link) ? link : null)
  const mine = release === null ? [] : [{ id: release, result: 'good' as const, order: Number.MAX_SAFE_INTEGER, at: 0 }]
  const marks = [...probe.marks.filter(m => m.id !== release), ...mine]
  const leftOut = ended.leftOut ? ended.receipts : ended.outcome === 'pending' ? earlierReceipts(probe) : []
  return {
    mark: release === null ? null : good ? { release, result: 'good' } : wentBad ? { release, result: 'bad' } : null,
    history: {
      deployment: owner.token,
      command: 'deploy',
      release,
      previous,
      commit: plan.release?.commit ?? null,
      strategy: plan.strategy.value,
      outcome: ended.outcome,
      rotation: ended.rotation,
      run: runUrl,
      actor,
    },
    closed: ended.open ? null : { outcome: ended.outcome, rotation: ended.rotation },
    leftOut: leftOut.map(stored),
    remove:
      good && release !== null
        ? prunable(marks, {
            keep: manifest.release?.keep ?? 5,
            current: release,
            previous: own(previous),
            unfinished: [],
          })
        : [],
  }
}
