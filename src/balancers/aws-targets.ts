/** Which targets of an AWS balancer a server of the manifest is, and what a receipt holds of them. Pure. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Server } from '../manifest/manifest.ts'
import type { Receipt, Rotation } from './balancer.ts'
import { inRotation } from './place.ts'

export type TargetType = 'instance' | 'ip'

/** What AWS needs to know one again: exactly as it was registered. */
export interface Target {
  /** Instance id or address. */
  readonly id: string
  /** A classic load balancer has none. */
  readonly port?: number
  /** Availability zone, where it was said at the registration. */
  readonly zone?: string
}

export interface Registered extends Target {
  readonly rotation: Rotation
  /** Registered where no listener leads, so nothing arrives. */
  readonly unused: boolean
}

/** A server as a target: all ports where it has none. */
export interface Wanted {
  readonly id: string
  readonly port?: number
}

const instance = /^(m?i-[0-9a-f]{8,17})(?::(\d{1,5}))?$/
const portOf = (text: string | undefined): { readonly port?: number } | undefined => {
  if (text === undefined) return {}
  const port = Number(text)
  return port >= 1 && port <= 65_535 ? { port } : undefined
}

function parsed(text: string, type: TargetType): Wanted | undefined {
  if (type === 'instance') {
    const [, id, port] = instance.exec(text) ?? []
    const at = portOf(port)
    return id !== undefined && at ? { id, ...at } : undefined
  }
  if (isIP(text) !== 0) return { id: text.toLowerCase() }
  const [, six, four, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const id = six ?? four ?? ''
  const at = portOf(port)
  return isIP(id) === (six === undefined ? 4 : 6) && at ? { id: id.toLowerCase(), ...at } : undefined
}

/** `member`, else `id`, else the address where targets are addresses. A text says what is missing. */
export function wantedOf(
  server: Pick<Server, 'name' | 'id' | 'host'>,
  member: string | undefined,
  type: TargetType,
): Wanted | string {
  const form = type === 'instance' ? 'an instance id' : 'an address'
  if (member !== undefined)
    return parsed(member, type) ?? `${server.name}: \`member\` is "${member}", and ${form} is expected`
  const own = server.id === undefined ? undefined : parsed(server.id, type)
  if (own) return own
  if (type === 'ip') return parsed(server.host, type) ?? `${server.name}: ${server.host} is not an address`
  return server.id === undefined
    ? `${server.name}: its instance id is not known`
    : `${server.name}: its id "${server.id}" is not an instance id`
}

export const isTarget = (target: Target, wanted: Wanted): boolean =>
  target.id.toLowerCase() === wanted.id && (wanted.port === undefined || target.port === wanted.port)

/** Two servers that would be the same target: a removal of one would take the other out. */
export const overlap = (one: Wanted, other: Wanted): boolean =>
  one.id === other.id && (one.port === undefined || other.port === undefined || one.port === other.port)

export const describeTarget = ({ id, port, zone }: Target): string =>
  `${id}${port === undefined ? '' : `:${port}`}${zone === undefined ? '' : ` in ${zone}`}`

/** `registered`: it got traffic, or would have when healthy. Others were not ours to take out, and are not put back. */
const stood = ['registered', 'draining', 'unused'] as const
const data = z.object({
  members: z
    .array(
      z.object({
        list: z.string().max(300),
        state: z.enum(stood),
        port: z.number().int().min(1).max(65_535).optional(),
        zone: z
          .string()
          .regex(/^[a-z0-9-]{1,50}$/)
          .optional(),
      }),
    )
    .max(1000),
})
export type MemberBefore = z.output<typeof data>['members'][number]

export const memberNow = (list: string, { rotation, unused, port, zone }: Registered): MemberBefore => ({
  list,
  state: unused ? 'unused' : inRotation(rotation) || rotation.state === 'unknown' ? 'registered' : 'draining',
  ...(port === undefined ? {} : { port }),
  ...(zone === undefined ? {} : { zone }),
})

/**
 * What the receipt says. It may come back from a server: only what has the right form is taken, only for balancers that the manifest
 * names, and only the port that the manifest allows. Throws BalancerError.
 */
export function membersBefore(
  receipt: Receipt,
  lists: readonly string[],
  port: (list: string) => number | undefined,
): readonly MemberBefore[] {
  const read = data.safeParse(receipt.data)
  const strange = read.success ? read.data.members.find(m => !lists.includes(m.list)) : undefined
  if (read.success && !strange && read.data.members.every(m => (port(m.list) ?? m.port) === m.port))
    return read.data.members
  const why = strange ? `: the manifest does not name ${JSON.stringify(strange.list)}` : ''
  throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used${why}`, {
    server: receipt.server,
    cause: read.error,
    hint: strange
      ? 'name it again until the server is back, or put the server back there by hand'
      : 'put the server back at the balancer by hand',
  })
}
