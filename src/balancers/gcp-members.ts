/** What a group of Google Cloud says of one server. Pure. */
import { isIP } from 'node:net'
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Receipt, Rotation } from './balancer.ts'
import { hasAddress } from './cloud-members.ts'
import { together } from './together.ts'

export type GroupKind = 'instance group' | 'network endpoint group'
export type Change = 'add' | 'remove'

/** An instance of a group, or an endpoint: an instance may have several, on several ports. */
export interface Member {
  /** Its name. */
  readonly instance?: string
  readonly ip?: string
  readonly ipv6?: string
  readonly port?: number
  /** Of endpoints: it gets nothing new, and finishes what it has. */
  readonly draining?: boolean
  /** Of endpoints: whether the group tells health, and so `draining`, at all. */
  readonly showsHealth?: boolean
  readonly annotated?: boolean
}

/** One answer of getHealth. */
export interface Health {
  readonly instance?: string
  readonly ip?: string
  readonly ipv6?: string
  readonly port?: number
  readonly states: readonly string[]
}

/** What a server is there: the name of an instance; in a group of addresses outside of Google (hybrid), an IP address. */
export type Key = string

const sameIp = (a: string | undefined, b: string | undefined): boolean =>
  a !== undefined && b !== undefined && hasAddress({ addresses: [a] }, b)

export const isOf = (member: Member, key: Key): boolean =>
  isIP(key) === 0 ? member.instance === key : sameIp(member.ip, key) || sameIp(member.ipv6, key)

export const isSame = (a: Member, b: Member): boolean =>
  a.instance === b.instance && a.ip === b.ip && a.ipv6 === b.ipv6 && a.port === b.port

export const memberText = ({ instance, ip, ipv6, port }: Member): string => {
  const address = [ip, ipv6].flatMap(a => a ?? []).join(' ')
  const at = [address, port === undefined ? '' : String(port)].filter(part => part !== '').join(':')
  return [instance, at].filter(part => part !== undefined && part !== '').join(' ')
}

function isHealthOf(health: Health, member: Member): boolean {
  // In an instance group an instance's `port` is the named port: each of them counts.
  if (member.ip === undefined && member.ipv6 === undefined) return health.instance === member.instance
  const there = sameIp(member.ip, health.ip) || sameIp(member.ipv6, health.ipv6)
  return there && (health.port === undefined || member.port === undefined || health.port === member.port)
}

function memberRotation(member: Member, health: readonly Health[]): Rotation {
  const text = memberText(member)
  if (member.draining) return { state: 'draining', detail: `${text} drains` }
  const states = health.filter(h => isHealthOf(h, member)).flatMap(h => h.states)
  if (states.includes('UNHEALTHY')) return { state: 'unhealthy', detail: `${text} is UNHEALTHY` }
  if (states.length > 0 && states.every(s => s === 'HEALTHY')) return { state: 'serving' }
  return { state: 'warming', detail: `${text} was not found healthy yet` }
}

/** In every member healthy is serving; in no member is out. */
export function rotationOf(own: readonly Member[], health: readonly Health[], group: string): Rotation {
  if (own.length === 0) return { state: 'out', detail: `not in ${group}` }
  return together(own.map(m => memberRotation(m, health)))
}

const port = () => z.number().int().min(1).max(65535)
const address = () => z.string().refine(text => isIP(text) !== 0)
const data = () =>
  z.object({
    endpoints: z
      .array(z.object({ ip: address().optional(), ipv6: address().optional(), port: port().optional() }))
      .min(1)
      .max(100),
  })

export const receiptData = (own: readonly Member[], kind: GroupKind): Record<string, unknown> =>
  kind === 'instance group' || own.length === 0
    ? {}
    : {
        endpoints: own.map(({ ip, ipv6, port: at }) => ({
          ...(ip === undefined ? {} : { ip }),
          ...(ipv6 === undefined ? {} : { ipv6 }),
          ...(at === undefined ? {} : { port: at }),
        })),
      }

/**
 * The members as they were. A receipt may come back from a server: which instance it is comes from the manifest, and Google refuses an
 * address that is not the instance's; outside of Google the address itself comes from the manifest. Throws BalancerError.
 */
export function membersBefore(receipt: Receipt, key: Key, kind: GroupKind): readonly Member[] {
  if (kind === 'instance group') return [{ instance: key }]
  const read = data().safeParse(receipt.data)
  if (!read.success)
    throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
      server: receipt.server,
      cause: read.error,
      hint: 'attach the endpoint to the network endpoint group by hand',
    })
  return read.data.endpoints.map(({ ip, ipv6, port: at }) => ({
    ...(isIP(key) === 0
      ? { instance: key, ...(ip === undefined ? {} : { ip }), ...(ipv6 === undefined ? {} : { ipv6 }) }
      : isIP(key) === 4
        ? { ip: key }
        : { ipv6: key }),
    ...(at === undefined ? {} : { port: at }),
  }))
}
