/**
 * What arrives at one port of a server, from what the server tells of its connections; and whether that is traffic or only health
 * checks. Pure: it is told what was seen, and when. Measured facts: docs/balancers/confirm.md.
 */

/** One connection that is open, or that was just closed. */
export interface Seen {
  /** Both ends: what tells it from all others. */
  readonly key: string
  /** The other end's address, without its port. */
  readonly peer: string
  readonly state: 'open' | 'closing' | 'time-wait'
  /** Bytes that came and that went so far; null: not known. */
  readonly received: number | null
  readonly sent: number | null
  /** Milliseconds since data last came and last went. */
  readonly sinceReceived: number
  readonly sinceSent: number
  /** Bytes that are not yet taken by the application, or not yet by the other end. */
  readonly waiting: number
}

export interface Look {
  /** Seconds, of the server's own clock since it started. */
  readonly at: number
  readonly connections: readonly Seen[]
  /** There were more than are told: busy. */
  readonly more: boolean
}

/**
 * `events`: every connection's end is told. `looks`: connections that come and go between two looks are seen only by what they leave.
 * `tables`: nothing is known of bytes, so an open connection counts as traffic.
 */
export type How = 'events' | 'looks' | 'tables'

export interface Traffic {
  look(look: Look): void
  /** A connection ended. `at`: seconds, as in looks. */
  closed(seen: Seen, at: number): void
  /** Nothing but health checks in the last `quietFor` seconds before the last look, all of which were watched. */
  quiet(): boolean
  /** Something that is no health check has come since the first look. `atLast`: nothing more will be seen, so what may be one counts. */
  arrived(atLast: boolean): boolean
}

/** A connection that is open for longer is none of a health check, in seconds. */
const shortest = 1
/** Looks further apart than this have missed something, in seconds. */
const longestGap = 2.5
/** From one address at most so many kinds of health checks. */
const kinds = 2
/** Checks of one kind: a few in a row, at least so far apart (seconds), keep their time: to so much and this share of it in all. */
const few = { count: 5, apart: 0.75, seconds: 0.1, share: 0.1 } as const
/** Where ends are not told, times are as coarse as the looks. */
const coarse = { seconds: 0.35, share: 0.1 } as const
/**
 * Faster ones are believed only after many, most of which keep their time to a tenth; a busy machine delays some. Anything looser takes
 * requests of one size at 0.3 to 0.6 s for checks: measured.
 */
const many = { count: 17, apart: 0.15, share: 0.8, near: 0.1 } as const
/** Of short connections so many are remembered. */
const memory = 500

interface Short {
  readonly at: number
  readonly peer: string
  /** A checker's requests are all of one size: the first one's. */
  readonly size: number
}

/** The kernel counts the other end's FIN as one byte where it came before the end: measured, 20 and 21 for the same check. */
const fin = 1
const carriesNothing = ({ received }: Seen): boolean => received !== null && received <= fin

/** `quietFor`: seconds. */
export function trafficOf(how: How, quietFor: number): Traffic {
  let first: number | undefined
  let now = 0
  let more = false
  let openNow = 0
  /** Last time of traffic on connections that are no checks. */
  let last = Number.NEGATIVE_INFINITY
  /** Connections that were seen active, by when they first were, and when they last carried data. */
  let active = new Map<string, { readonly since: number; readonly at: number }>()
  let ended = new Set<string>()
  const shorts: Short[] = []

  const dataAt = (seen: Seen, at: number): number => {
    // What came after the last answer has not been answered; before the first one both times are the connection's own beginning.
    const unanswered = seen.state === 'open' && (seen.sent === 0 || seen.sinceReceived < seen.sinceSent)
    if (unanswered || seen.waiting > 0) return at
    return at - Math.min(seen.sinceReceived, seen.sinceSent) / 1000
  }
  const isShort = (since: number, at: number) => at - since < shortest

  function note(at: number, { peer, received }: Pick<Seen, 'peer' | 'received'>): void {
    const size = received ?? 0
    const like = shorts.find(s => s.peer === peer && Math.abs(s.size - size) <= fin)
    shorts.push({ at, peer, size: like?.size ?? size })
    // Checks are few. What is forgotten so soon was traffic.
    const forgotten = shorts.length > memory ? shorts.shift() : undefined
    if (forgotten !== undefined && forgotten.at > now - quietFor) last = Math.max(last, forgotten.at)
  }

  /** Health checks among the short ones since `from`: the same size, from the same address, again and again after the same time. */
  function unexplained(from: number): readonly Short[] {
    const recent = shorts.filter(s => s.at > from)
    const regular = new Set<string>()
    for (const [peer, own] of Map.groupBy(recent, s => s.peer)) {
      const sizes = new Set(own.map(s => s.size))
      const all = [...sizes].every(size => {
        const times = shorts.filter(s => s.peer === peer && s.size === size).map(s => s.at)
        return isRegular(times, times.filter(t => t > from).length, how)
      })
      if (all && sizes.size <= kinds) regular.add(peer)
    }
    return recent.filter(s => !regular.has(s.peer))
  }

  return {
    look(look) {
      if (first !== undefined && look.at - now > longestGap) last = look.at
      first ??= look.at
      const begun = first === look.at
      now = look.at
      more = look.more
      const next = new Map<string, { readonly since: number; readonly at: number }>()
      openNow = 0
      for (const seen of look.connections) {
        if (seen.state === 'time-wait') {
          // Its end was told, or it ended before anybody looked.
          if (how === 'events' || ended.has(seen.key)) continue
          ended.add(seen.key)
          if (!begun) note(now, { peer: seen.peer, received: null })
          continue
        }
        if (how === 'tables') {
          openNow++
          continue
        }
        if (carriesNothing(seen)) continue
        const at = Math.min(dataAt(seen, now), now)
        const since = active.get(seen.key)?.since ?? now
        next.set(seen.key, { since, at })
        if (!isShort(since, now)) last = Math.max(last, at)
      }
      // Without its end being told, a connection that is gone may have been anything.
      if (how === 'looks')
        for (const [key, gone] of active)
          if (!next.has(key) && isShort(gone.since, now) && !ended.has(key)) last = Math.max(last, gone.at)
      active = next
      if (openNow > 0) last = now
      if (look.more) last = now
      if (ended.size > 10_000) ended = new Set()
    },
    closed(seen, at) {
      const known = active.get(seen.key)
      active.delete(seen.key)
      // A check that only connects carries no data.
      if (carriesNothing(seen)) return
      const data = at - Math.min(seen.sinceReceived, seen.sinceSent) / 1000
      if (known !== undefined && !isShort(known.since, at)) last = Math.max(last, data)
      else note(data, seen)
    },
    quiet() {
      if (first === undefined) return false
      const from = now - quietFor
      if (first > from || last > from || more) return false
      for (const { at } of active.values()) if (at > from) return false
      return unexplained(from).length === 0
    },
    arrived(atLast) {
      if (first === undefined) return false
      if (last > first) return true
      const own = shorts.filter(s => s.at > (first ?? 0))
      if (atLast) return unexplained(first).length > 0
      // Faster, or of more kinds, than a checker's.
      const byPeer = [...Map.groupBy(own, s => s.peer).values()]
      return byPeer.some(
        some =>
          new Set(some.map(s => s.size)).size > kinds ||
          [...Map.groupBy(some, s => s.size).values()].some(own => isFast(own.map(s => s.at))),
      )
    },
  }
}

const gapsOf = (times: readonly number[]): readonly number[] =>
  times.toSorted((a, b) => a - b).flatMap((t, i, all) => (i === 0 ? [] : [t - (all[i - 1] ?? t)]))

/** More often than checks can be: a few together in less than their time. */
const isFast = (times: readonly number[]): boolean =>
  times.some((t, i) => (times[i + 4] ?? Number.POSITIVE_INFINITY) - t < 4 * many.apart)

/** The last `count` at least of ascending times. */
function isRegular(times: readonly number[], count: number, how: How): boolean {
  const gapsOfLast = (n: number) => (times.length < n ? null : gapsOf(times.slice(-Math.max(n, count))))
  const slow = gapsOfLast(few.count)
  if (slow !== null) {
    const least = Math.min(...slow)
    const { seconds, share } = how === 'events' ? few : coarse
    if (least >= few.apart && Math.max(...slow) - least <= seconds + share * least) return true
  }
  // Without being told of ends, times are too coarse for that.
  const fast = how === 'events' ? gapsOfLast(many.count) : null
  if (fast === null) return false
  const usual = fast.toSorted((a, b) => a - b)[Math.floor(fast.length / 2)] ?? 0
  const kept = fast.filter(gap => Math.abs(gap - usual) <= many.near * usual).length
  return usual >= many.apart && kept >= many.share * fast.length
}
