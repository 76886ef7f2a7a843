/** What nginx's receipt holds. Pure. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Receipt } from './balancer.ts'
import type { NginxMember } from './nginx-config.ts'

const data = z.object({
  members: z
    .array(
      z.object({
        where: z.string().max(5000),
        upstream: z.string().max(500).nullable(),
        address: z.string().regex(/^[\w.:[\]/@%+-]{1,500}$/),
        /** It was down before, and not by this deployment: it stays. */
        down: z.boolean(),
      }),
    )
    .max(1000),
})

export type MemberBefore = z.output<typeof data>['members'][number]

/** What the receipt says of each line. It may come back from a server: only what has the right form is taken. Throws BalancerError. */
export function nginxBefore(receipt: Receipt): readonly MemberBefore[] {
  const read = data.safeParse(receipt.data)
  if (read.success) return read.data.members
  throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
    server: receipt.server,
    cause: read.error,
    hint: 'set the server to its right state in the file of nginx by hand',
  })
}

export const sameMember = (
  a: Pick<NginxMember, 'upstream' | 'address'>,
  b: Pick<NginxMember, 'upstream' | 'address'>,
) => a.upstream === b.upstream && a.address === b.address

/** Lines that the receipt says were down stay as they are; one it does not know came since, and is as ours as our mark says. */
export const wasDown = (before: readonly MemberBefore[], where: string, member: NginxMember): boolean =>
  before.some(b => b.where === where && b.down && sameMember(b, member))
