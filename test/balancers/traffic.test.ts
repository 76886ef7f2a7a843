import { describe, expect, it } from 'vitest'
import { endReader, lines, lookReader, parseProbe } from '../../src/balancers/confirm-scripts.ts'
import { type How, type Look, type Seen, trafficOf } from '../../src/balancers/traffic.ts'

const seen = (key: string, more: Partial<Seen> = {}): Seen => ({
  key,
  peer: '10.0.0.9',
  state: 'open',
  received: 100,
  sent: 200,
  sinceReceived: 20,
  sinceSent: 10,
  waiting: 0,
  ...more,
})
/** Idle for as long as the looks go on: data came once, at second `when`. */
const idleSince = (key: string, when: number) => (at: number) =>
  at < when ? [] : [seen(key, { sinceReceived: (at - when) * 1000 + 10, sinceSent: (at - when) * 1000 })]

/** Looks four times a second from second 100 to `end`, then whether it is quiet. */
function watched(
  end: number,
  open: (at: number) => readonly Seen[],
  ends: readonly { readonly at: number; readonly seen: Seen }[] = [],
  { how = 'events', quietFor = 2 }: { how?: How; quietFor?: number } = {},
) {
  const traffic = trafficOf(how, quietFor)
  let last = 100
  for (let at = 100; at <= end; at += 0.25) {
    for (const e of ends) if (e.at > last && e.at <= at) traffic.closed(e.seen, e.at)
    traffic.look({ at, connections: open(at), more: false } satisfies Look)
    last = at
  }
  return { quiet: traffic.quiet(), arrived: traffic.arrived(false), arrivedAtLast: traffic.arrived(true) }
}
const never = () => []
/** Short connections, told when they ended. */
const shorts = (times: readonly number[], received: (i: number) => number = () => 83, peer = '10.0.0.9') =>
  times.map((at, i) => ({ at, seen: seen(`${peer}:${i}`, { peer, state: 'closing', received: received(i) }) }))
const every = (gap: number, from: number, to: number) =>
  Array.from({ length: Math.floor((to - from) / gap) + 1 }, (_, i) => from + i * gap)

describe('a server is quiet', () => {
  it('only when it was watched for so long', () => {
    expect(watched(101.75, never).quiet).toBe(false)
    expect(watched(102, never).quiet).toBe(true)
  })
  it('while connections are open that carry nothing', () =>
    expect(watched(103, idleSince('pooled', 90)).quiet).toBe(true))
  it('so long after data on an old connection, and no sooner', () => {
    expect(watched(106.75, idleSince('pooled', 105)).quiet).toBe(false)
    expect(watched(107.25, idleSince('pooled', 105)).quiet).toBe(true)
  })
  it('not while a request is unanswered, however long nothing goes over its connection', () => {
    const held = () => [seen('held', { sent: 500, sinceReceived: 60_000, sinceSent: 61_000 })]
    expect(watched(110, held).quiet).toBe(false)
    // The first one of its connection: both times are the connection's own beginning.
    expect(watched(110, () => [seen('held', { sent: 0, sinceReceived: 9000, sinceSent: 9000 })]).quiet).toBe(false)
  })
  it('not while a part of an answer has not gone yet', () =>
    expect(watched(110, () => [seen('slow', { waiting: 70_000, sinceReceived: 9000, sinceSent: 8000 })]).quiet).toBe(
      false,
    ))
  it('although a client left without reading all: nobody waits any more', () => {
    const left = seen('left', { state: 'closing', sinceReceived: 8000, sinceSent: 9000 })
    expect(watched(110, () => [left]).quiet).toBe(true)
  })
  it('not when a look is missing', () => {
    const traffic = trafficOf('events', 2)
    for (const at of [100, 101, 102, 105]) traffic.look({ at, connections: [], more: false })
    expect(traffic.quiet()).toBe(false)
  })
  it('not when there is more than is told', () => {
    const traffic = trafficOf('events', 2)
    for (const at of [100, 101, 102, 103]) traffic.look({ at, connections: [], more: true })
    expect(traffic.quiet()).toBe(false)
  })
})

describe('health checks', () => {
  it('are left out when they come again and again: one size, one address, one interval', () => {
    expect(watched(105, never, shorts(every(1, 100.5, 105))).quiet).toBe(true)
    expect(watched(104, never, shorts(every(1, 100.5, 104))).quiet).toBe(false) // four may be chance
  })
  it('are left out twice or five times a second, once there were many, and are traffic ten times a second', () => {
    expect(watched(104, never, shorts(every(0.2, 100.5, 104))).quiet).toBe(true)
    expect(watched(104, never, shorts(every(0.5, 100.5, 104))).quiet).toBe(false)
    expect(watched(110, never, shorts(every(0.5, 100.5, 110))).quiet).toBe(true)
    expect(watched(110, never, shorts(every(0.1, 100.5, 110))).quiet).toBe(false)
  })
  it('are left out so although a busy machine delays some', () => {
    const times = every(0.2, 100.5, 106).map((t, i) => (i % 12 === 4 ? t + 0.09 : t))
    expect(watched(106, never, shorts(times)).quiet).toBe(true)
  })
  // The hardest case: each request has a connection of its own, and all are of one size. Pseudo-random, so that it is the same each time.
  it.each([
    ['between 20 and 40 ms', 0.02, 'even'],
    ['between 0.1 and 0.2 s', 0.1, 'even'],
    ['between 0.15 and 0.3 s', 0.15, 'even'],
    ['between 0.3 and 0.6 s', 0.3, 'even'],
    ['of 50 ms on average, by chance', 0.05, 'chance'],
    ['of 0.2 s on average, by chance', 0.2, 'chance'],
  ] as const)('are told from requests of one size, with pauses %s', (_, pause, how) => {
    let state = 1
    const random = () => {
      state = (state * 48_271) % 2_147_483_647
      return state / 2_147_483_647
    }
    const gap = () => (how === 'even' ? pause * (1 + random()) : -pause * Math.log(1 - random()))
    let said = 0
    for (let run = 0; run < 300; run++) {
      let at = 100.1
      const times: number[] = []
      while (at < 106) {
        times.push(at)
        at += gap()
      }
      if (watched(106, never, shorts(times)).quiet) said++
    }
    expect(said).toBe(0)
  })
  it.each(['looks', 'tables'] as const)('are known less well by %s, where times are coarse', how => {
    const left = (gap: number) => (at: number) =>
      every(gap, 100.1, at).map((_, i) => seen(`10.0.0.9:${i}`, { state: 'time-wait', received: 0 }))
    expect(watched(110, left(1), [], { how }).quiet).toBe(true)
    expect(watched(110, left(0.3), [], { how }).quiet).toBe(false)
  })
  it('are left out although they wobble, and come from two checkers', () => {
    const wobbling = [100.4, 101.45, 102.4, 103.45, 104.4, 105.43, 106.4]
    const other = shorts(every(1.5, 100.2, 107), undefined, '10.0.0.8')
    expect(
      watched(
        107,
        never,
        [...shorts(wobbling), ...other].toSorted((a, b) => a.at - b.at),
      ).quiet,
    ).toBe(true)
  })
  it('are the same with and without the byte that the kernel counts for their end', () =>
    expect(
      watched(
        106,
        never,
        shorts(every(1, 100.5, 106), i => 20 + (i % 2)),
      ).quiet,
    ).toBe(true))
  it.each([0, 1])('are no traffic where they only connect: %i', received => {
    const connects = shorts(every(0.2, 100.2, 110), () => received)
    expect(watched(110, never, connects)).toEqual({ quiet: true, arrived: false, arrivedAtLast: false })
  })
  it('do not hide a request between them', () => {
    const checks = shorts(every(1, 100.5, 110))
    const request = { at: 109.2, seen: seen('10.0.0.9:999', { received: 412, state: 'closing' }) }
    expect(
      watched(
        110,
        never,
        [...checks, request].toSorted((a, b) => a.at - b.at),
      ).quiet,
    ).toBe(false)
  })
  it.each([
    ['often', shorts(every(0.1, 100.1, 110))],
    ['of all sizes', shorts(every(1, 100.5, 110), i => 300 + i)],
    ['at any time', shorts([100.2, 101.0, 103.9, 104.8, 106.0, 108.9, 109.8])],
    ['of many kinds', shorts(every(0.3, 100.5, 110), i => 100 + (i % 4))],
  ])('are not what comes %s', (_, ends) => expect(watched(110, never, ends).quiet).toBe(false))

  it('more than can be kept in mind are none', () =>
    expect(watched(110, never, shorts(every(0.005, 100.1, 109))).quiet).toBe(false))
})

describe('without being told of connections that end', () => {
  it('a short one that is gone was traffic', () => {
    const once = (at: number) => (at === 109 ? [seen('10.0.0.9:5')] : [])
    expect(watched(110, once, [], { how: 'looks' }).quiet).toBe(false)
    expect(watched(111.5, once, [], { how: 'looks' }).quiet).toBe(true)
  })
  it('what it leaves behind tells of it', () => {
    const left = (at: number) => (at >= 109 ? [seen('10.0.0.9:5', { state: 'time-wait' })] : [])
    expect(watched(110, left, [], { how: 'looks' }).quiet).toBe(false)
    expect(watched(111.25, left, [], { how: 'looks' }).quiet).toBe(true)
  })
  it('an open connection of which nothing is known counts as traffic, until it is closed', () => {
    const open = (at: number) => (at < 109 ? [seen('10.0.0.9:5', { received: null, sent: null })] : [])
    expect(watched(108, open, [], { how: 'tables' }).quiet).toBe(false)
    expect(watched(111.25, open, [], { how: 'tables' }).quiet).toBe(true)
  })
})

describe('traffic has arrived', () => {
  it('when an old connection carried something since', () => {
    expect(watched(110, idleSince('pooled', 90))).toMatchObject({ arrived: false, arrivedAtLast: false })
    expect(watched(110, idleSince('pooled', 105)).arrived).toBe(true)
  })
  it('by short connections that no checker makes', () =>
    expect(watched(103, never, shorts(every(0.1, 100.1, 103))).arrived).toBe(true))
  it('not by health checks', () =>
    expect(watched(110, never, shorts(every(1, 100.5, 110)))).toEqual({
      quiet: true,
      arrived: false,
      arrivedAtLast: false,
    }))
  it('in the end, by what may be one or a request', () =>
    expect(watched(110, never, shorts([104]))).toMatchObject({ arrived: false, arrivedAtLast: true }))
})

describe('what servers print', () => {
  it('is read as it comes, in pieces', () => {
    const looks: Look[] = []
    const read = lines(lookReader(look => looks.push(look)))
    for (const piece of ['C ESTAB 10.0.0.1:80 10.0.0.9:41', '00 83 99 8 4 0\nmotd\nL 12', '34.25 0\nC']) read(piece)
    expect(looks).toEqual([
      {
        at: 1234.25,
        more: false,
        connections: [seen('10.0.0.1:80 10.0.0.9:4100', { received: 83, sent: 99, sinceReceived: 8, sinceSent: 4 })],
      },
    ])
  })
  it('is read of connections that ended, IPv6 too', () => {
    const ends: Seen[] = []
    const read = lines(endReader(s => ends.push(s)))
    read(
      'UNCONN 0      0      [::ffff:10.0.0.1]:80 [::ffff:10.0.0.9]:40302\n\t wscale:10,10 bytes_sent:127 bytes_acked:128 bytes_received:80 lastsnd:8 lastrcv:12\n',
    )
    expect(ends).toEqual([
      {
        key: '[::ffff:10.0.0.1]:80 [::ffff:10.0.0.9]:40302',
        peer: '[::ffff:10.0.0.9]',
        state: 'closing',
        received: 80,
        sent: 127,
        sinceReceived: 12,
        sinceSent: 8,
        waiting: 0,
      },
    ])
  })
  it('is no answer in another form', () => {
    expect(parseProbe('events yes no \n')).toEqual({ how: 'events', why: '', listens: true, forwarded: false })
    expect(parseProbe('tables no yes there is no ss')).toMatchObject({ how: 'tables', why: 'there is no ss' })
    expect(parseProbe('ss: command not found')).toBeNull()
  })
})
