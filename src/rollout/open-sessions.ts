/**
 * Connects to every selected server, takes the locks and reads what is there, in one script a server. The environment's lock on the lead
 * comes first, then all others at once; when one is another's, all are given back and tried again until `lock_wait` is over, so nobody
 * waits while holding (semantics.md, Lock).
 */
import type { Clock } from '../clock.ts'
import { LockHeldError, PreflightError } from '../errors.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Server } from '../manifest/manifest.ts'
import { type LockInfo, parseTake, releaseLock, type TakenOver, takeLock } from '../release/lock.ts'
import type { Owner } from '../release/prelude.ts'
import { type Probe, type ProbeNeeds, parseProbe, probe } from '../release/probe.ts'
import type { Site } from '../release/site.ts'
import type { Emit } from '../report/events.ts'
import { openSession, printed, type Session, shortly } from './session.ts'

export interface Opening {
  readonly servers: readonly Server[]
  readonly site: Site
  readonly needs: (server: Server) => ProbeNeeds
  /** What speaks against a server, from what was read of it; null: nothing. */
  readonly unfit: (server: Server, probe: Probe) => Error | null
  readonly fleet: Fleet
  readonly emit: Emit
  readonly clock: Clock
  readonly cancel: AbortSignal
  /** null: only read, without a lock. */
  readonly lock: { readonly owner: Owner; readonly info: LockInfo; readonly wait: number } | null
}

export interface Opened {
  readonly sessions: ReadonlyMap<string, Session>
  readonly failed: ReadonlyMap<string, unknown>
}

/** Between two tries for a lock that another holds, in seconds. */
const tryAgain = 10

const noOwner: Owner = { token: '' }

/** Never throws for a server: what failed is in `failed`, and then no lock of ours is left. Throws only the signal's reason. */
export async function openSessions(o: Opening): Promise<Opened> {
  const connected = await connectAll(o)
  if (connected.failed.size > 0) return { sessions: new Map(), failed: connected.failed }
  const since = o.clock.now()
  for (;;) {
    const opened = await openAll(o)
    const held = [...opened.failed.values()].find(e => e instanceof LockHeldError)
    if (opened.failed.size === 0) return opened
    await Promise.all([...opened.sessions.values()].map(s => s.unlock().catch(() => {})))
    o.cancel.throwIfAborted()
    const waited = (o.clock.now() - since) / 1000
    const others = [...opened.failed.values()].some(e => !(e instanceof LockHeldError))
    if (held === undefined || others || waited >= (o.lock?.wait ?? 0))
      return { sessions: new Map(), failed: opened.failed }
    o.emit({
      type: 'message',
      level: 'info',
      text: `waiting for the lock (${Math.round(waited)} s of ${o.lock?.wait} s): ${held.message}`,
    })
    await o.clock.sleep(Math.min(tryAgain, (o.lock?.wait ?? 0) - waited) * 1000, o.cancel)
  }
}

async function settle<T>(
  servers: readonly Server[],
  work: (server: Server) => Promise<T>,
): Promise<{ done: Map<string, T>; failed: Map<string, unknown> }> {
  const done = new Map<string, T>()
  const failed = new Map<string, unknown>()
  await Promise.all(
    servers.map(async server => {
      try {
        done.set(server.name, await work(server))
      } catch (error) {
        failed.set(server.name, error)
      }
    }),
  )
  return { done, failed }
}

async function connectAll({ servers, fleet, cancel }: Opening) {
  const result = await settle(servers, server => fleet.connect(server, cancel))
  cancel.throwIfAborted()
  return result
}

async function openAll(o: Opening): Promise<Opened> {
  const [lead, ...others] = o.servers
  if (lead === undefined) return { sessions: new Map(), failed: new Map() }
  // Without a lock there is no order to keep.
  const first = await settle(o.lock === null ? o.servers : [lead], server => open(o, server))
  if (o.lock === null || first.failed.size > 0) return { sessions: first.done, failed: first.failed }
  const rest = await settle(others, server => open(o, server))
  return { sessions: new Map([...first.done, ...rest.done]), failed: rest.failed }
}

/** One round trip: the lock and what is to be read. */
async function open(o: Opening, server: Server): Promise<Session> {
  const { fleet, clock, cancel, site, lock } = o
  const connect = (signal: AbortSignal) => fleet.connect(server, signal)
  const connection = await connect(cancel)
  const takenAt = { now: clock.now(), wall: clock.wall() }
  const read = probe(site, o.needs(server))
  const script =
    lock === null ? read : `(\n${takeLock(site, { ...lock.owner, info: lock.info })}\n) || exit $?\n${read}`
  const out = printed(await connection.run(script, { signal: cancel, timeout: shortly }), server.name, 'preflight')
  if (lock !== null) {
    const taken = parseTake(out)
    if (taken === null)
      throw new PreflightError(`${server.name}: the lock cannot be taken: no answer`, { server: server.name })
    if (!taken.taken) throw heldBy(server, taken.holder, taken.secondsLeft)
    if (taken.takenOver) tellTakenOver(o, server, taken.takenOver)
  }
  const giveBack = async () => {
    if (lock !== null)
      await connection.run(releaseLock(site, lock.owner), { signal: AbortSignal.timeout(5_000), timeout: 5 })
  }
  try {
    const found = parseProbe(out)
    const still = lock === null ? [] : (parseTaken(out)?.stillRunning ?? [])
    if (still.length > 0) throw stillRunning(server, still)
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
    await giveBack().catch(() => {})
    throw error
  }
}

const parseTaken = (out: string): TakenOver | undefined => {
  const taken = parseTake(out)
  return taken?.taken ? taken.takenOver : undefined
}

function tellTakenOver(o: Opening, server: Server, over: TakenOver): void {
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
