/** One server's session: connected, locked and read in one script. */
import type { Clock } from '../clock.ts'
import { LockHeldError, PreflightError } from '../errors.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Server } from '../manifest/manifest.ts'
import { type LockInfo, type LockTaken, parseTake, releaseLock, type TakenOver, takeLock } from '../release/lock.ts'
import type { Owner, Sharing } from '../release/prelude.ts'
import { type Probe, type ProbeNeeds, parseProbe, probe } from '../release/probe.ts'
import type { Site } from '../release/site.ts'
import type { Emit } from '../report/events.ts'
import { openSession, printed, type Session, shortly } from './session.ts'

export interface OpenOne {
  readonly site: Site
  readonly needs: (server: Server) => ProbeNeeds
  /** What speaks against a server, from what was read of it; null: nothing. */
  readonly unfit: (server: Server, probe: Probe) => Error | null
  readonly fleet: Fleet
  readonly emit: Emit
  readonly clock: Clock
  readonly cancel: AbortSignal
  /** A preview's: the script around the one that takes the lock; what that prints, it prints. */
  readonly around?: (owner: Owner, taking: string) => string
  /** null: only read, without a lock. */
  readonly lock: {
    readonly owner: Owner
    readonly info: LockInfo
    readonly wait: number
    /** Of a shard: the lock on the lead is held together with the run's other shards. */
    readonly shared?: Sharing | null
  } | null
}

const noOwner: Owner = { token: '' }

/** One round trip: the lock and what is to be read. */
export async function openOne(o: OpenOne, server: Server): Promise<Session> {
  const { fleet, clock, cancel, site, lock } = o
  const connect = (signal: AbortSignal) => fleet.connect(server, signal)
  const connection = await connect(cancel)
  const takenAt = { now: clock.now(), wall: clock.wall() }
  const read = probe(site, o.needs(server))
  const taking = ({ owner, info }: NonNullable<typeof lock>) => {
    const script = takeLock(site, { ...owner, info })
    return o.around === undefined ? script : o.around(owner, script)
  }
  const script = lock === null ? read : `(\n${taking(lock)}\n) || exit $?\n${read}`
  const giveBack = async () => {
    if (lock !== null)
      await connection.run(releaseLock(site, lock.owner), { signal: AbortSignal.timeout(5_000), timeout: 5 })
  }
  try {
    const out = printed(await connection.run(script, { signal: cancel, timeout: shortly }), server.name, 'preflight')
    if (lock !== null) ownTaken(o, server, parseTake(out))
    const found = parseProbe(out)
    const wrong = o.unfit(server, found)
    if (wrong !== null) throw wrong
    return openSession({
      server,
      site,
      owner: lock?.owner ?? noOwner,
      probe: found,
      needs: o.needs(server),
      connect,
      clock,
      cancel,
      takenAt: lock === null ? null : takenAt,
    })
  } catch (error) {
    // Also after a time-out or a cancel: the script may have taken it all the same. What is another's stays.
    if (!(error instanceof LockHeldError)) await giveBack().catch(() => {})
    throw error
  }
}

/** Throws unless the lock is ours now, with nothing of an owner before still running. */
function ownTaken(o: OpenOne, server: Server, taken: LockTaken | null): void {
  if (taken === null)
    throw new PreflightError(`${server.name}: the lock cannot be taken: no answer that can be read`, {
      server: server.name,
      stage: 'preflight',
      hint: 'is a login script in the way that prints something?',
    })
  if (!taken.taken)
    throw taken.twice ? sameShard(server, taken.holder) : othersLock(o, server, taken.holder, taken.secondsLeft)
  if (taken.takenOver === undefined) return
  tellTakenOver(o, server, taken.takenOver)
  if (taken.takenOver.stillRunning.length > 0) throw stillRunning(server, taken.takenOver.stillRunning)
}

function tellTakenOver(o: OpenOne, server: Server, over: TakenOver): void {
  const ended = over.ended.length > 0 ? `; ${over.ended.length} of its scripts were still running and were ended` : ''
  const text = `${server.name}: the lock of a deployment that stopped was taken over (${nameOf(over.info)})${ended}`
  o.emit({ type: 'message', level: 'warning', server: server.name, text })
}

/** What runs through sudo cannot be ended by the SSH user; beside it nothing is started. */
const stillRunning = (server: Server, groups: readonly number[]) =>
  new PreflightError(
    `${server.name}: scripts of a deployment that stopped still run and cannot be ended (process group ${groups.join(', ')})`,
    {
      server: server.name,
      stage: 'preflight',
      hint: `end them on the server: sudo kill ${groups.map(g => `-- -${g}`).join(' ')}`,
    },
  )

const nameOf = (info: LockInfo | null): string =>
  info === null
    ? 'owner unknown'
    : [info.actor === null ? null : `by ${info.actor}`, `since ${info.startedAt}`, info.run].filter(Boolean).join(', ')

function othersLock({ lock }: OpenOne, server: Server, holder: LockInfo | null, secondsLeft: number): Error {
  const [ours, theirs] = [lock?.info.shards, holder?.shards]
  return ours !== undefined && theirs?.of === ours.of && theirs.build !== ours.build
    ? anotherBuild(server, theirs.build, ours.build)
    : heldBy(server, holder, secondsLeft)
}

/** A matrix that hands its jobs one and the same shard would put two runs on the same servers. */
const sameShard = (server: Server, holder: LockInfo | null) =>
  new LockHeldError(`${server.name}: another process is this shard of this run already: ${nameOf(holder)}`, {
    server: server.name,
    stage: 'preflight',
    hint: 'give each job of the matrix its own: shard: ${{ matrix.shard }}',
  })

/** It would not help to wait: the servers of a run would get two releases one after the other. */
const anotherBuild = (server: Server, theirs: string, ours: string) =>
  new PreflightError(
    `${server.name}: another shard of this run deploys another build: it has ${theirs}, this one has ${ours}`,
    {
      server: server.name,
      stage: 'preflight',
      hint: 'build once, in a job before, and hand the result on to all shards as an artifact',
    },
  )

function heldBy(server: Server, holder: LockInfo | null, secondsLeft: number): LockHeldError {
  return new LockHeldError(
    `${server.name}: another deployment holds the lock: ${nameOf(holder)}; its lease has ${secondsLeft} s`,
    {
      server: server.name,
      stage: 'preflight',
      hint: 'wait for it to end, or set rollout.lock_wait; a run that was cut off gives way within a minute',
    },
  )
}
