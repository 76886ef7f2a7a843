/**
 * Connects to every selected server, takes the locks and reads what is there. The environment's lock on the lead, its first listed server
 * that can be reached, comes first, then all others at once: so that deployments of one environment exclude each other even when their
 * servers are disjoint. When one is another's, all are given back and tried again until `lock_wait` is over, so nobody waits while
 * holding (semantics.md, Lock).
 */
import { ConnectionError, LockHeldError } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'
import { type OpenOne, openOne } from './open-one.ts'
import { isUnreachable, type Session } from './session.ts'

export interface Opening extends OpenOne {
  /** The selected ones. */
  readonly servers: readonly Server[]
  /** Whether a server that cannot be reached is left out; a wrong host key or a refused key never is. */
  readonly unreachable: 'fail' | 'skip'
  /** Of a shard: the run deploys elsewhere too, so all of these may be unreachable. */
  readonly elsewhere?: boolean
  /** All of the environment, as listed: the lead is one of them. */
  readonly environment: readonly Server[]
  /** Others to read, without a lock, where they can be reached: what they know counts for the plan. */
  readonly alsoRead: readonly Server[]
}

export interface Opened {
  readonly sessions: ReadonlyMap<string, Session>
  /** Servers that are not selected: the lead, and those that were read. */
  readonly others: ReadonlyMap<string, Session>
  readonly failed: ReadonlyMap<string, unknown>
  /** Could not be reached, and are skipped. */
  readonly unreachable: ReadonlyMap<string, unknown>
}

const none = { sessions: new Map<string, Session>(), others: new Map<string, Session>() } as const

/** Between two tries for a lock that another holds, in seconds. */
const tryAgain = 10

/** Never throws for a server: what failed is in `failed`, and then no lock of ours is left. Throws only the signal's reason. */
export async function openSessions(o: Opening): Promise<Opened> {
  const connected = await settle(o.servers, server => o.fleet.connect(server, o.cancel))
  o.cancel.throwIfAborted()
  const unreachable = new Map(
    [...connected.failed].filter(([, error]) => o.unreachable === 'skip' && isUnreachable(error)),
  )
  const nobody = unreachable.size === o.servers.length
  if (nobody && o.elsewhere) return { ...none, failed: new Map(), unreachable }
  if (connected.failed.size > unreachable.size || nobody)
    return { ...none, failed: connected.failed, unreachable: new Map() }
  const opened = await lockAll({ ...o, servers: o.servers.filter(s => !unreachable.has(s.name)) })
  return { ...opened, unreachable }
}

/** Reached all of them. */
async function lockAll(o: Opening): Promise<Omit<Opened, 'unreachable'>> {
  const lead = o.lock === null ? null : await leadOf(o)
  const since = o.clock.now()
  let waits = false
  for (;;) {
    const opened = await openAll(o, lead)
    const waited = (o.clock.now() - since) / 1000
    if (opened.failed.size === 0) {
      if (waits)
        o.emit({ type: 'message', level: 'info', text: `the lock is free after ${Math.round(waited)} s: it goes on` })
      return opened
    }
    await Promise.all([...opened.sessions.values(), ...opened.others.values()].map(s => s.unlock().catch(() => {})))
    o.cancel.throwIfAborted()
    const wait = o.lock?.wait ?? 0
    const held = [...opened.failed.values()].find(e => e instanceof LockHeldError)
    const more = [...opened.failed.values()].some(e => !(e instanceof LockHeldError))
    if (held === undefined || more || waited >= wait) return { ...none, failed: opened.failed }
    o.emit({
      type: 'message',
      level: 'info',
      text: `waiting for the lock (${Math.round(waited)} s of ${wait} s): ${held.message}`,
    })
    waits = true
    await o.clock.sleep(Math.min(tryAgain, wait - waited) * 1000, o.cancel)
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

/** The first listed server that can be reached; the selected ones are connected already. */
async function leadOf(o: Opening): Promise<Server | null> {
  for (const server of o.environment) {
    if (o.servers.some(s => s.name === server.name)) return server
    try {
      await o.fleet.connect(server, o.cancel)
      return server
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error
    }
  }
  return o.servers[0] ?? null
}

/** The lock on the lead, which shards of one run hold together. */
const together = (lock: OpenOne['lock']): OpenOne['lock'] =>
  lock?.shared ? { ...lock, owner: { ...lock.owner, shared: lock.shared } } : lock

async function openAll(o: Opening, lead: Server | null): Promise<Omit<Opened, 'unreachable'>> {
  const selected = (server: Server) => o.servers.some(s => s.name === server.name)
  const alone = { ...o, unfit: () => null }
  const first =
    lead === null
      ? { done: new Map<string, Session>(), failed: new Map<string, unknown>() }
      : await settle([lead], s => openOne({ ...(selected(s) ? o : alone), lock: together(o.lock) }, s))
  const isLeadOnly = lead !== null && !selected(lead)
  const others = isLeadOnly ? first.done : new Map<string, Session>()
  const sessions = isLeadOnly ? new Map<string, Session>() : first.done
  if (first.failed.size > 0)
    return {
      sessions,
      others,
      failed: isLeadOnly
        ? new Map(o.servers.slice(0, 1).map(s => [s.name, [...first.failed.values()][0]]))
        : first.failed,
    }
  const rest = await settle(
    o.servers.filter(s => s.name !== lead?.name),
    server => openOne(o, server),
  )
  const read = await settle(
    o.alsoRead.filter(s => !selected(s) && s.name !== lead?.name),
    server => openOne({ ...alone, lock: null }, server),
  )
  return {
    sessions: new Map([...sessions, ...rest.done]),
    others: new Map([...others, ...read.done]),
    failed: rest.failed,
  }
}
