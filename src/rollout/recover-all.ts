/** Recovery over the servers of a run that holds their locks: phase 2 of a deployment, the command `recover`, and `post`. */
import type { LoadBalancer, Receipt } from '../balancers/balancer.ts'
import type { Clock } from '../clock.ts'
import { BalancerError, messageOf } from '../errors.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { Plan } from '../plan/plan.ts'
import { finish } from '../release/finish.ts'
import { type JournalState, journalState } from '../release/journal.ts'
import { journalWords } from '../release/journal-words.ts'
import type { Owner } from '../release/prelude.ts'
import { isReleaseId } from '../release/site.ts'
import { discardStaging } from '../release/stage.ts'
import { sweepRemains } from '../release/sweep.ts'
import type { Emit } from '../report/events.ts'
import { clockTime } from '../times.ts'
import { ofServer, stored } from './ending.ts'
import { handsFor } from './hands.ts'
import type { Ended } from './hands-contract.ts'
import { createLeaving, type PartsAt } from './leaving.ts'
import { awaitMigration } from './migration.ts'
import { type Left, needsRecovery, type RecoveryHands, recoverServer } from './recovery.ts'
import { printed, type Session, shortly } from './session.ts'
import type { Worker } from './worker.ts'

export interface Recovery {
  readonly manifest: Manifest
  readonly emit: Emit
  readonly clock: Clock
  readonly cancel: AbortSignal
  /** Also servers that were left out by a deployment that was decided. */
  readonly leftOutToo: boolean
  /** Of a shard, by balancer: what all shards may take out. */
  readonly partsAt?: PartsAt
  readonly run: string | null
  readonly actor: string | null
  /** What works on a server for the release its journal names. */
  readonly workerFor: (session: Session, release: string | null) => { readonly worker: Worker; readonly plan: Plan }
  readonly openBalancers: (names: ReadonlySet<string>) => ReadonlyMap<string, LoadBalancer>
  /** What is found and done is told at each server's end: it needs no notice of its own. */
  readonly toldAtEnd?: true
}

export interface Recovered {
  readonly ended: Ended
  /** How the server was found, and what was done about it. */
  readonly story: { readonly found: string; readonly done: string | null }
  /** The commands that put it back by hand. */
  readonly putBack: string
}

/** How a journal was found, in words. */
export function foundIn({ open, opened, last, leftOut }: JournalState, owner: Owner): string {
  const run = opened?.run ?? null
  const who =
    opened?.deployment === owner.token ? 'this run' : run === null ? 'an earlier deployment' : `the run ${run}`
  const when = last === null ? '' : `, ${clockTime(last.at)}`
  if (!open) return `left out of rotation at ${leftOut.map(r => r.balancer).join(', ')} by ${who}${when}`
  return `${who} was cut off here at: ${last === null ? 'nothing' : journalWords(last)}${when}`
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
    // Who called gives the locks back when this ends: not before the last of them has.
    const ended = await Promise.allSettled(all)
    const failed = ended.find(e => e.status === 'rejected')
    if (failed !== undefined) throw failed.reason
    return new Map(ended.flatMap(e => (e.status === 'fulfilled' ? [e.value] : [])))
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
  const found = foundIn(left.journal, owner)
  r.emit({ type: 'message', level: 'info', server: name, text: found })
  const did: string[] = []
  let { current } = left
  const planned = plan.servers.find(s => s.name === name)
  if (planned === undefined) throw new Error(`${name} is not in the plan`)
  const hands = handsFor(worker, {
    manifest: r.manifest,
    planned,
    balancers,
    leaving: createLeaving(r.clock, r.partsAt, text => r.emit({ type: 'message', level: 'info', text })),
    emit: r.emit,
    clock: r.clock,
    stop: new AbortController().signal,
    cancelled: () => r.cancel.aborted,
  })
  const told: RecoveryHands = {
    ...hands,
    async switchTo(release) {
      const back = await hands.switchTo(release)
      if (back.changed) {
        current = release
        did.push(`switched back to ${release}`)
      }
      return back
    },
    async verify(release) {
      const verdict = await hands.verify(release)
      did.push(verdict === 'verified' ? 'verified' : 'not verified, for no check selects it')
      return verdict
    },
    async putBack(receipts) {
      if (unknown !== undefined && receipts.some(x => x.balancer === unknown.balancer))
        throw new BalancerError(
          `its receipt names the balancer ${unknown.balancer}, which the manifest does not have any more`,
          { server: name },
        )
      const back = await hands.putBack(receipts)
      if (back.state === 'serving') did.push(`put back in rotation at ${receipts.map(x => x.balancer).join(', ')}`)
      return back
    },
    async discard(release) {
      if (isReleaseId(release) && site.releasePath !== null)
        printed(await session.run(discardStaging(site, owner, release), { timeout: 600 }), name, 'recovering')
      did.push('removed what was not prepared to its end')
    },
    async waitForMigration(release) {
      const { emit, clock, manifest, run } = r
      did.push(await awaitMigration({ session, emit, clock, manifest, release, run }))
    },
  }
  const ended = await recoverServer(left, told, r.leftOutToo)
  const done = ended.open
    ? 'not decided: another owner has the lock'
    : [...did, ended.failure?.message ?? ''].filter(Boolean).join('; ') || null
  if (r.toldAtEnd === undefined)
    r.emit({
      type: 'message',
      level: 'notice',
      server: name,
      text: `${found}. Before anything else: ${done ?? 'nothing had been changed'}`,
    })
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
        current,
        recovers: left.journal.opened?.run ?? null,
        run: r.run,
        actor: r.actor,
      },
      closed: { outcome: ended.outcome, rotation: ended.rotation },
      restored: ended.restored,
      leftOut: ended.leftOut ? ended.receipts.map(stored) : [],
      remove: [],
      waits: null,
    })
    printed(await session.run(end, { timeout: shortly }), name, 'recovering')
    await session.reread()
  }
  return {
    ended,
    story: { found, done },
    putBack: ended.receipts
      .map(x => balancers.get(x.balancer)?.byHand(x) ?? '')
      .filter(Boolean)
      .join('\n'),
  }
}
