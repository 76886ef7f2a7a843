/** `status`: what each server runs, since when and by whom, where it stands at its balancers, who holds its lock, what is undecided. Reads only. */
import type { LoadBalancer } from '../balancers/balancer.ts'
import { describe } from '../balancers/place.ts'
import { messageOf } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'
import { balancersOf as balancersBehind, membersOf } from '../plan/membership.ts'
import { selectServers } from '../plan/select.ts'
import { storedWaitTexts } from '../plan/waits.ts'
import { journalState } from '../release/journal.ts'
import { journalWords } from '../release/journal-words.ts'
import type { Probe } from '../release/probe.ts'
import type { Result } from '../report/events.ts'
import type { ServerStatus } from '../report/status.ts'
import { createBoard } from '../rollout/board.ts'
import { ofServer } from '../rollout/ending.ts'
import { openOne } from '../rollout/open-one.ts'
import { isUnreachable } from '../rollout/session.ts'
import { commitOf } from '../rollout/variables.ts'
import { isoTime } from '../times.ts'
import type { Context } from './context.ts'
import { balancersOf, opening, recoveryPlan } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'

export async function status(c: Context): Promise<Result> {
  const { request, manifest, emit, cancel } = c
  const selected = selectServers(manifest.servers, request.servers)
  const fleet = fleetOf(c)
  const board = createBoard(emit)
  const needed = new Set(selected.flatMap(s => balancersBehind(manifest, s)))
  const balancers = balancersOf(c, recoveryPlan(c, null), needed)
  try {
    emit({ type: 'phase', phase: 'preflight' })
    const one = { ...opening(c, { release: null, source: null }, fleet), unfit: () => null, lock: null }
    const rotations = rotationsAt(c, balancers)
    const rows = await Promise.all(
      selected.map(async (server): Promise<ServerStatus> => {
        const rotation = await rotations
        try {
          const { probe } = await openOne(one, server)
          board.skip(server.name, probe.current)
          const of = statusOf(server, probe)
          return { ...of, putBack: byHand(probe, server, balancers), rotation: rotation(server.name), error: null }
        } catch (error) {
          board.fail(server.name, error, 'preflight', isUnreachable(error) ? 'unreachable' : 'failed')
          return { ...nothingKnown(server), rotation: rotation(server.name), error: messageOf(error) }
        }
      }),
    )
    cancel.throwIfAborted()
    c.showStatus(rows)
    return rows.every(r => r.error === null) ? 'success' : 'failure'
  } finally {
    for (const balancer of balancers.values()) balancer.close?.()
    fleet.close()
  }
}

/** Where each server stands at each balancer; one that does not answer says why. */
async function rotationsAt({ manifest, cancel }: Context, balancers: ReadonlyMap<string, LoadBalancer>) {
  const said = await Promise.all(
    [...balancers].map(async ([name, balancer]) => {
      try {
        const { rotation } = await balancer.preflight(membersOf(manifest, name), cancel)
        return [name, (server: string) => (rotation[server] === undefined ? null : describe(rotation[server]))] as const
      } catch (error) {
        const members = new Set(membersOf(manifest, name).map(s => s.name))
        return [name, (server: string) => (members.has(server) ? `unknown (${messageOf(error)})` : null)] as const
      }
    }),
  )
  return (server: string): Readonly<Record<string, string>> =>
    Object.fromEntries(said.flatMap(([name, of]) => (text => (text === null ? [] : [[name, text]]))(of(server))))
}

const nothingKnown = (server: Server) => ({
  server: server.name,
  host: server.host,
  release: null,
  commit: null,
  since: null,
  by: null,
  run: null,
  lock: null,
  undecided: null,
  leftOut: [],
  putBack: null,
  waits: [],
  journal: [],
})

/** The commands that put a left-out server back; null: it is not left out, or its balancer knows none. */
function byHand(probe: Probe, server: Server, balancers: ReadonlyMap<string, LoadBalancer>): string | null {
  const { open, leftOut } = journalState(probe.journal.entries)
  const said = (open ? [] : ofServer(leftOut, server.name)).map(r => {
    try {
      return balancers.get(r.balancer)?.byHand(r) ?? ''
    } catch {
      // What a receipt holds is the server's word; recover says what is wrong with it.
      return ''
    }
  })
  return said.filter(Boolean).join('\n') || null
}

/** Entries that are shown of one server's journal: those of its last deployment, the last ones of them. */
const mostEntries = 40

function journalOf({ journal: { entries } }: Probe): ServerStatus['journal'] {
  const own = entries.slice(
    Math.max(
      0,
      entries.findLastIndex(e => e.type === 'opened'),
    ),
  )
  // What is written once more before a journal is closed again is said once.
  const closed = own.findIndex(e => e.type === 'closed')
  const said = own.slice(0, closed + 1).map(journalWords)
  return own
    .filter((e, i) => closed < 0 || i <= closed || !said.includes(journalWords(e)))
    .slice(-mostEntries)
    .map(e => ({ at: isoTime(e.at), text: journalWords(e) }))
}

/** The deployment that made the server run `release`, however it ended for the others. */
const cameBy = ({ history }: Probe, release: string | null) =>
  history.findLast(h => {
    if (h.outcome === 'rolled-back') return (h.current ?? h.previous) === release
    if (h.outcome === 'failed') return h.release === release && h.previous !== release
    return h.outcome === 'succeeded' && h.release === release
  })

/** Pure. */
export function statusOf(server: Server, probe: Probe): Omit<ServerStatus, 'rotation' | 'error' | 'putBack'> {
  const release = probe.dangling ? null : probe.current
  const came = release === null ? undefined : cameBy(probe, release)
  const journal = journalState(probe.journal.entries)
  const { lock } = probe
  return {
    server: server.name,
    host: server.host,
    release,
    commit: (came?.release === release ? came?.commit : null) ?? (release === null ? null : commitOf(release)),
    since: came === undefined ? null : isoTime(came.at),
    by: came?.actor ?? null,
    run: came?.run ?? null,
    lock:
      lock.state === 'held'
        ? {
            by: lock.holder?.actor ?? null,
            since: lock.holder?.startedAt ?? null,
            run: lock.holder?.run ?? null,
            secondsLeft: lock.secondsLeft,
          }
        : null,
    undecided:
      journal.open && journal.last !== null
        ? {
            at: journal.last.type,
            words: journalWords(journal.last),
            since: isoTime(journal.last.at),
            run: journal.opened?.run ?? null,
            underWay: lock.state === 'held' && lock.secondsLeft > 0,
          }
        : null,
    leftOut: journal.open ? [] : journal.leftOut.map(r => r.balancer),
    waits: storedWaitTexts(probe.waits),
    journal: journalOf(probe),
  }
}
