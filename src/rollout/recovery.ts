/**
 * What is done about a server that an earlier deployment left undecided: the table "Journal and recovery" of semantics.md as data, and
 * the story that carries a row out. `post`, the next deployment and the command `recover` all come here. Doing it twice does no more.
 */
import type { Receipt } from '../balancers/balancer.ts'
import { LockLostError, messageOf } from '../errors.ts'
import type { JournalState } from '../release/journal.ts'
import type { JournalEntry } from '../release/journal-entry.ts'
import type { FinalRotation, Outcome } from '../report/events.ts'
import { failureOf } from './failure.ts'
import type { Ended, Hands, PutBack } from './hands-contract.ts'
import type { Mode } from './way.ts'

export type RecoveryAction =
  /** The partial release is removed; a marked one stays. */
  | 'discard'
  /** Waited for; nothing is repeated. */
  | 'wait for the migration'
  /** As the receipt says, and waited for. */
  | 'restore'
  /** The previous release: switched, activated, verified; then as the receipt says. */
  | 'go back'
  /** Verified now: good → as the receipt says, on this release; not → go back. */
  | 'verify'
  /** Nothing was changed. */
  | 'close'

export interface RecoveryRow {
  readonly last: readonly JournalEntry['type'][]
  /** Whether `current` points to the new release; any: it does not matter. */
  readonly switched: boolean | 'any'
  readonly action: RecoveryAction
}

/** In place the same rows hold: there is no receipt, so there is nothing to restore. */
export const recoveryTable: readonly RecoveryRow[] = [
  { last: ['opened', 'left-out', 'staging', 'staged', 'preparing'], switched: 'any', action: 'discard' },
  { last: ['prepared', 'migrated'], switched: 'any', action: 'close' },
  { last: ['migrating'], switched: 'any', action: 'wait for the migration' },
  { last: ['removing', 'out'], switched: 'any', action: 'restore' },
  { last: ['switching'], switched: false, action: 'restore' },
  { last: ['switching'], switched: true, action: 'go back' },
  { last: ['switched', 'activating'], switched: 'any', action: 'go back' },
  {
    last: ['activated', 'verifying', 'verified', 'adding', 'restoring', 'restored'],
    switched: 'any',
    action: 'verify',
  },
  { last: ['rolling-back', 'rolled-back'], switched: 'any', action: 'go back' },
]

/**
 * The row for an open journal. `goingBack`: it says so further up; the switch back is not the end of that. `done`: the server was done with
 * and then taken out: it is verified before anything else.
 */
export function recoveryFor(last: JournalEntry, switched: boolean, goingBack = false, done = false): RecoveryAction {
  if (last.type === 'activated' && !last.ok) return 'go back'
  if (goingBack && last.type === 'switching') return 'go back'
  if (done && (last.type === 'removing' || last.type === 'out')) return 'verify'
  const row = recoveryTable.find(r => r.last.includes(last.type) && (r.switched === 'any' || r.switched === switched))
  return row?.action ?? 'close'
}

export interface Left {
  readonly server: string
  /** What `current` points to now: a release's id, or another tool's link. */
  readonly current: string | null
  readonly journal: JournalState
}

export interface RecoveryHands
  extends Pick<Hands, 'switchTo' | 'activate' | 'verify' | 'putBack' | 'stage' | 'note' | 'cancelled'> {
  discard(release: string): Promise<void>
  /** Resolves when the release's migration has ended, however. */
  waitForMigration(release: string): Promise<void>
}

/** Whether there is anything to do: an open journal, or, where asked for, a server that is left out. */
export const needsRecovery = (left: Left, leftOutToo: boolean): boolean =>
  left.journal.open || (leftOutToo && left.journal.leftOut.length > 0)

/**
 * Brings one server to a decision. `leftOutToo`: what a deployment before that one left out goes back too, if it is good now. Never
 * throws for anything that happens to the server; `LockLostError` leaves it open.
 */
export async function recoverServer(left: Left, hands: RecoveryHands, leftOutToo = false): Promise<Ended> {
  const { journal, server } = left
  const action =
    journal.open && journal.last !== null
      ? recoveryFor(
          journal.last,
          journal.opened?.release !== null && left.current === journal.opened?.release,
          journal.goingBack,
          journal.doneBefore,
        )
      : 'verify'
  // Who was left out before is put back only after a check has said that it is good.
  const checked = action === 'verify' || action === 'go back'
  const all = [
    ...journal.leftOut.filter(l => !journal.receipts.some(r => r.balancer === l.balancer)),
    ...journal.receipts,
  ]
  const receipts: readonly Receipt[] = checked ? all : journal.receipts
  const stillOut = checked ? [] : journal.leftOut
  const mode: Mode = receipts.length > 0 ? 'taken out' : 'in place'
  const target = journal.opened?.release ?? null
  const previous = journal.opened?.previous ?? null
  const ended = (outcome: Outcome, rotation: FinalRotation, more: Partial<Ended> = {}): Ended => ({
    server,
    outcome,
    rotation,
    leftOut: stillOut.length > 0,
    keptOut: false,
    notVerified: false,
    receipts: stillOut,
    restored: false,
    switched: false,
    balancerFault: false,
    open: false,
    ...more,
  })
  const stay = (error: unknown, stage: string): Ended =>
    ended('failed', mode === 'in place' ? 'none' : 'out', {
      failure: failureOf(error, stage),
      leftOut: mode === 'taken out',
      receipts,
    })

  /** A lock that is gone, or a recovery that was cancelled: nothing is decided, and the journal stays open. */
  const undecidable = (error: unknown) => error instanceof LockLostError || hands.cancelled()

  async function putBack(outcome: Outcome): Promise<Ended> {
    if (receipts.length === 0) return ended(outcome, 'none')
    hands.stage('restoring')
    const back: PutBack = await hands.putBack(receipts).catch((e: unknown) => {
      if (undecidable(e)) throw e
      return { state: 'unknown', reason: messageOf(e) }
    })
    if (back.state === 'serving') {
      const theirs = back.keptOut ?? []
      const rotation = receipts.every(r => theirs.includes(r.balancer)) ? 'out' : 'in'
      return ended(outcome, rotation, { restored: stillOut.length === 0, keptOut: theirs.length > 0 })
    }
    return {
      ...stay(new Error(`it was not confirmed to serve again: ${back.reason}`), 'restoring'),
      rotation: back.state === 'unknown' ? 'unknown' : 'out',
    }
  }
  /** What this deployment removed goes back as it was; the rest was not good when it was left out. */
  async function asBefore(): Promise<Ended> {
    const back = await putBack('pending')
    if (stillOut.length === 0 || back.failure !== undefined) return back
    const reason = new Error('an earlier deployment left it out of rotation, and it is not put back unchecked')
    if (!leftOutToo) return { ...back, failure: failureOf(reason, 'recovering', 'run the command recover') }
    const rest = await recoverServer({ ...left, journal: { ...journal, open: false, receipts: [] } }, hands)
    return { ...rest, outcome: rest.outcome === 'succeeded' ? 'pending' : rest.outcome }
  }
  async function goBack(): Promise<Ended> {
    if (previous === null) return stay(new Error('there is no previous release to go back to'), 'rolling back')
    hands.stage('rolling back', previous)
    await hands.note('rolling-back', receipts)
    if (left.current !== previous) {
      const back = await hands.switchTo(previous)
      if (!back.changed) throw back.error
    }
    await hands.activate(previous)
    // Known before it is put back: cut off after that, it must not be activated once more while it serves.
    await hands.note('activated', receipts).catch((error: unknown) => {
      if (undecidable(error)) throw error
    })
    await hands.verify(previous)
    return putBack('rolled-back')
  }
  async function verifyNow(): Promise<Ended> {
    try {
      hands.stage('verifying')
      await hands.verify(left.current)
    } catch (error) {
      if (undecidable(error)) throw error
      if (!journal.open) return stay(error, 'verifying')
      return goBack()
    }
    if (journal.open && journal.goingBack) return putBack('rolled-back')
    // What was left out on the release before does not run the new one.
    return putBack(target === null || left.current === target ? 'succeeded' : 'pending')
  }

  try {
    switch (action) {
      case 'discard':
        if (target !== null && left.current !== target) await hands.discard(target)
        return await asBefore()
      case 'wait for the migration':
        if (target !== null) await hands.waitForMigration(target)
        return await asBefore()
      case 'close':
      case 'restore':
        return await asBefore()
      case 'go back':
        return await goBack()
      case 'verify':
        return await verifyNow()
    }
  } catch (error) {
    if (undecidable(error)) return { ...stay(error, 'recovering'), leftOut: false, rotation: 'unknown', open: true }
    return stay(error, 'rolling back')
  }
}
