/** What HAProxy's receipt holds, and the commands that bring a member from where it is now to where it was. Pure. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Receipt } from './balancer.ts'
import type { HaproxyServer } from './haproxy-state.ts'
import { upByStaleCheck } from './haproxy-state.ts'

const data = z.object({
  members: z
    .array(
      z.object({
        where: z.string().max(300),
        backend: z.string().regex(/^[\w.:-]{1,200}$/),
        member: z.string().regex(/^[\w.:-]{1,200}$/),
        admin: z.enum(['ready', 'drain', 'maint']),
        weight: z.number().int().min(0).max(256),
      }),
    )
    .max(1000),
})

export type MemberBefore = z.output<typeof data>['members'][number]

/** What the receipt says of each member. It may come back from a server: only what has the right form is taken. Throws BalancerError. */
export function membersBefore(receipt: Receipt): readonly MemberBefore[] {
  const read = data.safeParse(receipt.data)
  if (read.success) return read.data.members
  throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
    server: receipt.server,
    cause: read.error,
    hint: 'set the server to its right state at the balancer by hand',
  })
}

const set = (member: HaproxyServer, what: string): string => `set server ${member.backend}/${member.name} ${what}`

/** Asks for drain where the member takes traffic; what an operator took out stays as it is (drain would lift a maintenance). */
export const removing = (member: HaproxyServer): string[] =>
  member.admin === 'ready' ? [set(member, 'state drain')] : []

/** Maintenance: also ends what a sticky cookie brings. Running requests end by themselves. */
export const insisting = (member: HaproxyServer): string[] =>
  member.admin === 'maint' ? [] : [set(member, 'state maint')]

export const forcing = (member: HaproxyServer): string[] => [
  ...insisting(member),
  `shutdown sessions server ${member.backend}/${member.name}`,
]

/**
 * Leaving maintenance makes a server "up" at once, by a check from before (measured: 250 to 410 ms of traffic to a dead server). So
 * its health is set down while it is in drain: from then on HAProxy itself sends nothing until new checks passed.
 */
export function restoring(now: HaproxyServer, before: Pick<MemberBefore, 'admin' | 'weight'>): string[] {
  const weight = now.weight === before.weight ? [] : [set(now, `weight ${before.weight}`)]
  if (now.admin === before.admin) return weight
  if (before.admin !== 'ready') return [...weight, set(now, `state ${before.admin}`)]
  const anew = now.check !== undefined && (now.admin === 'maint' || upByStaleCheck(now.check))
  return [
    ...weight,
    ...(now.admin === 'maint' ? [set(now, 'state drain')] : []),
    ...(anew ? [set(now, 'health down')] : []),
    set(now, 'state ready'),
  ]
}
