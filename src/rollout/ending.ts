/** What a deployment leaves on a server when it ends there, and what an earlier one left. Pure. */
import type { Receipt } from '../balancers/balancer.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { Plan } from '../plan/plan.ts'
import type { Finish } from '../release/finish.ts'
import { journalState } from '../release/journal.ts'
import { prunable } from '../release/marks.ts'
import type { Probe } from '../release/probe.ts'
import { isReleaseId } from '../release/site.ts'
import type { Result } from '../report/events.ts'
import type { Ended } from './hands-contract.ts'
import { previousOf, type Session } from './session.ts'
import type { Surroundings } from './variables.ts'

/** A receipt as it lies in a journal. */
export const stored = (receipt: Receipt) => ({ ...receipt, data: { ...receipt.data } })

/** A server speaks only of itself, whatever its journal says (semantics.md, Journal and recovery). */
export const ofServer = (receipts: readonly Receipt[], server: string): readonly Receipt[] =>
  receipts.map(r => ({ ...r, server }))

/** What an earlier deployment took out and did not put back, at balancers that the manifest still has. */
export function earlierReceipts(
  { probe, server }: Pick<Session, 'probe' | 'server'>,
  manifest: Pick<Manifest, 'load_balancers'>,
): readonly Receipt[] {
  const state = journalState(probe.journal.entries)
  const open = state.open ? state.receipts : []
  const all = [...state.leftOut.filter(l => !open.some(r => r.balancer === l.balancer)), ...open]
  return ofServer(all, server.name).filter(r => r.balancer in manifest.load_balancers)
}

/** What a run that was killed had done with a server: it wrote no line of history any more, and its journal says it. null: there is none. */
function unrecorded({ history, journal }: Pick<Probe, 'history' | 'journal'>) {
  const { open, opened } = journalState(journal.entries)
  if (open || opened === null || history.some(h => h.deployment === opened.deployment)) return null
  const closed = journal.entries.findLast(e => e.type === 'closed')
  return { release: opened.release, outcome: closed?.outcome }
}

const isFailure = (outcome: string | undefined) => outcome === 'failed' || outcome === 'rolled-back'
const isDone = (outcome: string | undefined) => outcome === 'succeeded' || outcome === 'skipped'

/**
 * What a server goes back to when a release fails there: what it runs now, if that is another release and did not fail itself; else the
 * newest that was good here and is still there. null: nothing.
 */
export function goBackTo(
  probe: Pick<Probe, 'current' | 'dangling' | 'history' | 'marks' | 'journal'>,
  release: string | null,
): string | null {
  const previous = previousOf(probe)
  const last = probe.history.findLast(h => h.release === previous && h.tried !== false)
  const killed = unrecorded(probe)
  const failed =
    killed !== null && killed.release === previous && (isFailure(killed.outcome) || isDone(killed.outcome))
      ? isFailure(killed.outcome)
      : last !== undefined && isFailure(last.outcome) && last.command !== 'recover'
  if (previous !== null && previous !== release && !failed) return previous
  const there = (id: string) =>
    id !== release && id !== previous && probe.marks.some(m => m.id === id && m.result !== 'bad')
  return (
    probe.history.findLast(h => h.release !== null && h.outcome === 'succeeded' && there(h.release))?.release ?? null
  )
}

/** An unfinished run of this command with this release was done with the server, and nothing else came since (semantics.md, Releases). */
export function doneBefore(
  probe: Pick<Probe, 'current' | 'history' | 'journal'>,
  release: string | null,
  command: Plan['command'],
): boolean {
  if (release === null || probe.current !== release) return false
  if (journalState(probe.journal.entries).open) return false
  const killed = unrecorded(probe)
  if (killed !== null) return killed.release === release && isDone(killed.outcome)
  const last = probe.history.findLast(h => h.release !== release || h.outcome !== 'pending' || h.result === 'success')
  const unfinished = last?.command === command && last.result !== undefined && last.result !== 'success'
  return last?.release === release && isDone(last.outcome) && unfinished
}

/** The last deployment failed on this server itself; what went back with the others' did not. */
export const failedLast = ({ history }: Pick<Probe, 'history'>): boolean =>
  history.findLast(h => h.command === 'deploy' || h.command === 'rollback')?.failed === true

/** The end of a server as its mark, history, journal and the releases that go. */
export function endOf(
  session: Session,
  { manifest, plan, runUrl, actor }: Surroundings,
  ended: Ended,
  result: Result,
  waits: Finish['waits'] = null,
): Finish {
  const { probe, owner } = session
  const previous = previousOf(probe)
  const release = plan.release?.id ?? null
  // What went back with the others was good here.
  const failed =
    ended.outcome === 'failed' || (ended.outcome === 'rolled-back' && ended.failure?.stage !== 'rolling back')
  const tried = ended.switched || ended.outcome === 'rolled-back'
  const wentBad = failed && tried && !ended.balancerFault
  const good = result === 'success'
  // Good on this server, though the whole deployment may have failed: it stays for a way back.
  const goodHere = good || ended.outcome === 'succeeded' || ended.outcome === 'skipped'
  const own = (link: string | null) => (link !== null && isReleaseId(link) ? link : null)
  const mine = release === null ? [] : [{ id: release, result: 'good' as const, order: Number.MAX_SAFE_INTEGER, at: 0 }]
  const marks = [...probe.marks.filter(m => m.id !== release), ...mine]
  // Receipts of before stay in the journal by themselves until the server is put back.
  const leftOut = ended.leftOut ? ended.receipts : []
  return {
    mark:
      release === null ? null : goodHere ? { release, result: 'good' } : wentBad ? { release, result: 'bad' } : null,
    history: {
      deployment: owner.token,
      command: plan.command,
      release,
      previous,
      commit: plan.release?.commit ?? null,
      strategy: plan.strategy.value,
      outcome: ended.outcome,
      failed,
      tried,
      rotation: ended.rotation,
      result,
      run: runUrl,
      actor,
    },
    closed: ended.open ? null : { outcome: ended.outcome, rotation: ended.rotation },
    restored: ended.restored,
    leftOut: leftOut.map(stored),
    remove:
      good && release !== null
        ? prunable(marks, {
            keep: manifest.release?.keep ?? 5,
            current: release,
            previous: own(goBackTo(probe, release)),
            unfinished: [],
          })
        : [],
    waits,
  }
}
