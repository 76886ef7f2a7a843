/** Caddy's upstreams as members: which one a server is, what the receipt holds, and the list without it and with it again. Pure. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'
import { type Addressed, addressedMember, type Found, isWhole } from './addressed-member.ts'
import type { Receipt } from './balancer.ts'
import type { Upstream } from './caddy-api.ts'

export interface CaddyMember extends Addressed {
  readonly upstream: Upstream
}

/** `tcp/10.0.0.2:80` is `10.0.0.2:80`. */
const addressOf = (dial: string): string => dial.toLowerCase().replace(/^tcp[46]?\//, '')

export const membersOf = (upstreams: readonly Upstream[]): CaddyMember[] =>
  upstreams.map(upstream => ({
    names: [upstream.dial],
    address: addressOf(upstream.dial),
    shown: upstream.dial,
    upstream,
  }))

/** Whether two dial addresses are the same; placeholders are compared as they are written. */
export const sameDial = (a: string, b: string): boolean => addressOf(a) === addressOf(b)

const entry = z.strictObject({
  where: z.string().max(300),
  dial: z.string().min(1).max(300),
  /** Whether it was in the list. */
  listed: z.boolean(),
  maxRequests: z.number().int().min(0).max(1_000_000_000).optional(),
  id: z.string().max(200).optional(),
  /** The list as it was, by dial addresses: it says only where to put this one back. */
  order: z.array(z.string().max(300)).max(5000),
})
const data = z.object({ members: z.array(entry).max(100) })
export type CaddyBefore = z.output<typeof entry>

/** What an upstream may hold and still be put back from a receipt. */
const known = new Set(['dial', 'max_requests', '@id'])

/** Throws BalancerError for an upstream that holds more than can be put back as it was. */
export function entryOf(where: string, upstream: Upstream, listed: boolean, all: readonly Upstream[]): CaddyBefore {
  const strange = Object.keys(upstream).filter(key => !known.has(key))
  if (strange.length > 0)
    throw new BalancerError(
      `the upstream ${upstream.dial} of Caddy at ${where} has settings that are not known here: ${strange.join(', ')}`,
      {
        hint: 'it could not be put back as it is: take them out, or use the provider `command`',
      },
    )
  const { max_requests: maxRequests, '@id': id } = upstream
  return entry.parse({
    where,
    dial: upstream.dial,
    listed,
    ...(maxRequests === undefined ? {} : { maxRequests }),
    ...(id === undefined ? {} : { id }),
    order: all.map(u => u.dial),
  })
}

/**
 * The receipt's entries. It may come back from a server, so an address in it counts only if it is the server's by the manifest's own
 * rule: `belongs`. Throws BalancerError.
 */
export function entriesBefore(receipt: Receipt, belongs: (dial: string) => boolean): readonly CaddyBefore[] {
  const read = data.safeParse(receipt.data)
  if (read.success && read.data.members.every(m => belongs(m.dial))) return read.data.members
  throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
    server: receipt.server,
    ...(read.success ? {} : { cause: read.error }),
    hint: 'set the server to its right state at the balancer by hand',
  })
}

export const without = (upstreams: readonly Upstream[], dial: string): readonly Upstream[] =>
  upstreams.filter(u => !sameDial(u.dial, dial))

/** As it was, before the first of those that stood after it; the list itself where it is there already. */
export function withAgain(upstreams: readonly Upstream[], before: CaddyBefore): readonly Upstream[] {
  if (upstreams.some(u => sameDial(u.dial, before.dial))) return upstreams
  const { dial, maxRequests, id, order } = before
  const back: Upstream = {
    ...(id === undefined ? {} : { '@id': id }),
    dial,
    ...(maxRequests === undefined ? {} : { max_requests: maxRequests }),
  }
  const at = order.findIndex(o => sameDial(o, dial))
  const after = order.slice(at + 1)
  const next = at < 0 ? -1 : upstreams.findIndex(u => after.some(o => sameDial(o, u.dial)))
  return next < 0 ? [...upstreams, back] : [...upstreams.slice(0, next), back, ...upstreams.slice(next)]
}

export type Standing =
  | { readonly is: 'listed'; readonly upstream: Upstream; readonly byAddress: boolean }
  /** Not in the list; its address is known from the manifest, or from when it was there. */
  | { readonly is: 'absent'; readonly dial: string }
  | { readonly is: 'unclear'; readonly problem: string }

/**
 * Where a server stands in a list. Out of the list it can only be known by an address with a port: one that matches a host alone and is
 * not there may as well stand there under another address, and be in rotation.
 */
export function standing(
  upstreams: readonly Upstream[],
  server: Server,
  member: string | undefined,
  siblings: readonly Server[],
  seen: string | undefined,
): Standing {
  const found: Found<CaddyMember> = addressedMember(membersOf(upstreams), server, member, siblings)
  if (found.is === 'member') return { is: 'listed', upstream: found.member.upstream, byAddress: found.by === 'address' }
  if (found.is === 'ambiguous') return { is: 'unclear', problem: found.problem }
  const given = member ?? server.id
  const dial = given !== undefined && isWhole(given) ? given : seen
  return dial === undefined ? { is: 'unclear', problem: found.problem } : { is: 'absent', dial }
}

/** Servers that are one and the same upstream: each would take the other out. */
export function shared(standings: readonly (readonly [server: string, Standing])[]): string[] {
  return standings.flatMap(([server, own], i) => {
    const first = standings
      .slice(0, i)
      .find(
        ([, other]) => own.is === 'listed' && other.is === 'listed' && sameDial(own.upstream.dial, other.upstream.dial),
      )
    return first === undefined ? [] : [`${server} is the same upstream as ${first[0]}`]
  })
}
