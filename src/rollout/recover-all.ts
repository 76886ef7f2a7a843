/** Recovery over the servers of a run that holds their locks: phase 2 of a deployment, the command `recover`, and `post`. */
import type { LoadBalancer, Receipt } from '../balancers/balancer.ts'
import type { Clock } from '../clock.ts'
import { BalancerError, messageOf } from '../errors.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { Plan } from '../plan/plan.ts'
import { finish } from '../release/finish.ts'
import { journalState } from '../release/journal.ts'
import type { JournalEntry } from '../release/journal-entry.ts'
import { isReleaseId } from '../release/site.ts'
import { discardStaging } from '../release/stage.ts'
import { sweepRemains } from '../release/sweep.ts'
import type { Emit } from '../report/events.ts'
import { ofServer, stored } from './ending.ts'
import { handsFor } from './hands.ts'
import type { Ended } from './hands-contract.ts'
import { createLeaving } from './leaving.ts'
import { awaitMigration } from './migration.ts'
import { type Left, needsRecovery, recoverServer } from './recovery.ts'
import { printed, type Session, shortly } from './session.ts'
import type { Worker } from './worker.ts'

export interface Recovery {
  readonly manifest: Manifest
  readonly emit: Emit
  readonly clock: Clock
  readonly cancel: AbortSignal
  /** Also servers that were left out by a deployment that was decided. */
  readonly leftOutToo: boolean
  readonly run: string | null
  readonly actor: string | null
  /** What works on a server for the release its journal names. */
  readonly workerFor: (session: Session, release: string | null) => { readonly worker: Worker; readonly plan: Plan }
  readonly openBalancers: (names: ReadonlySet<string>) => ReadonlyMap<string, LoadBalancer>
}

export interface Recovered {
  readonly ended: Ended
  /** Where the earlier deployment stood. */
  readonly last: JournalEntry['type'] | null
  readonly putBack: string
}

const leftOf = (session: Session): Left => {
  const journal = journalState(session.probe.journal.entries)
  const own = (receipts: readonly Receipt[]) => ofServer(receipts, session.server.name)
  return {
    server: session.server.name,
    current: session.probe.current,
    journal: { ...journal, receipts: own(journal.receipts), leftOut: own(journal.leftOut) },
  }
}

/** Sessions that have something to recover. */
export const undecided = (sessions: ReadonlyMap<string, Session>, leftOutToo: boolean): readonly Session[] =>
  [...sessions.values()].filter(s => needsRecovery(leftOf(s), leftOutToo))

/** Brings each undecided server to a decision, all at once, writes it to its journal, and reads the server anew. */
export async function recoverAll(
  r: Recovery,
  sessions: ReadonlyMap<string, Session>,
): Promise<ReadonlyMap<string, Recovered>> {
  const open = undecided(sessions, r.leftOutToo)
  const receipts = open.flatMap(s => [...leftOf(s).journal.receipts, ...leftOf(s).journal.leftOut])
  const unknown = receipts.find(x => !(x.balancer in r.manifest.load_balancers))
  const balancers = r.openBalancers(
    new Set(receipts.map(x => x.balancer).filter(name => name in r.manifest.load_balancers)),
  )
  try {
    const all = open.map(
      async session => [session.server.name, await recoverOne(r, session, balancers, unknown)] as const,
    )
    return new Map(await Promise.all(all))
  } finally {
    for (const balancer of balancers.values()) balancer.close?.()
  }
}

/**
 * Removes what a run left that was killed at something of which no row speaks: above all while it removed old releases, for the journal
 * is closed before that. What cannot be removed is told, and tried again by the next run; it decides about nothing.
 */
export async function sweepAll(emit: Emit, sessions: ReadonlyMap<string, Session>): Promise<void> {
  const sweep = async (session: Session) => {
    const { name } = session.server
    try {
      printed(await session.run(sweepRemains(session.site, session.owner), { timeout: 600 }), name, 'recovering')
    } catch (error) {
      emit({
        type: 'message',
        level: 'warning',
        server: name,
        text: `${name}: what an earlier deployment left was not removed: ${messageOf(error)}`,
      })
    }
  }
  await Promise.all([...sessions.values()].map(sweep))
}

async function recoverOne(
  r: Recovery,
  session: Session,
  balancers: ReadonlyMap<string, LoadBalancer>,
  unknown: Receipt | undefined,
): Promise<Recovered> {
  const left = leftOf(session)
  const { server, site, owner } = session
  const { name } = server
  const target = left.journal.opened?.release ?? null
  const { worker, plan } = r.workerFor(session, target)
  const of = left.journal.opened?.run ? ` of ${left.journal.opened.run}` : ''
  r.emit({
    type: 'message',
    level: 'notice',
    server: name,
    text: `${name}: an earlier deployment${of} ended undecided here (${left.journal.last?.type ?? 'left out'}); it is brought to an end first`,
  })
  const planned = plan.servers.find(s => s.name === name)
  if (planned === undefined) throw new Error(`${name} is not in the plan`)
  const hands = handsFor(worker, {
    manifest: r.manifest,
    planned,
    balancers,
    leaving: createLeaving(r.clock),
    emit: r.emit,
    clock: r.clock,
    stop: new AbortController().signal,
    cancelled: () => r.cancel.aborted,
  })
  const ended = await recoverServer(
    left,
    {
      ...hands,
      async putBack(receipts) {
        if (unknown !== undefined && receipts.some(x => x.balancer === unknown.balancer))
          throw new BalancerError(
            `its receipt names the balancer ${unknown.balancer}, which the manifest does not have any more`,
            { server: name },
          )
        return hands.putBack(receipts)
      },
      async discard(release) {
        if (isReleaseId(release) && site.releasePath !== null)
          printed(await session.run(discardStaging(site, owner, release), { timeout: 600 }), name, 'recovering')
      },
      waitForMigration: release =>
        awaitMigration({ session, emit: r.emit, clock: r.clock, manifest: r.manifest, release, run: r.run }),
    },
    r.leftOutToo,
  )
  if (!ended.open) {
    const wentBad = ended.outcome === 'rolled-back' && target !== null && isReleaseId(target)
    const end = finish(site, owner, {
      mark: wentBad ? { release: target, result: 'bad' } : null,
      history: {
        deployment: owner.token,
        command: 'recover',
        release: target,
        previous: left.journal.opened?.previous ?? null,
        commit: left.journal.opened?.commit ?? null,
        strategy: left.journal.opened?.strategy ?? '',
        outcome: ended.outcome,
        rotation: ended.rotation,
        run: r.run,
        actor: r.actor,
      },
      closed: { outcome: ended.outcome, rotation: ended.rotation },
      restored: ended.restored,
      leftOut: ended.leftOut ? ended.receipts.map(stored) : [],
      remove: [],
    })
    printed(await session.run(end, { timeout: shortly }), name, 'recovering')
    await session.reread()
  }
  return {
    ended,
    last: left.journal.last?.type ?? null,
    putBack: ended.receipts
      .map(x => balancers.get(x.balancer)?.byHand(x) ?? '')
      .filter(Boolean)
      .join('\n'),
  }
}
