/** What the targets of a Hetzner load balancer say of one machine. Pure. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Receipt, Rotation } from './balancer.ts'
import type { HetznerBalancer, HetznerTarget, TargetBody } from './hetzner-api.ts'

/** A machine as a target: the number of a cloud server as text, or the IP address of a dedicated one. */
export type Key = string
export const isNumber = (key: Key): boolean => /^\d{1,15}$/.test(key)

export const bodyOf = (key: Key): TargetBody =>
  isNumber(key) ? { type: 'server', server: { id: Number(key) } } : { type: 'ip', ip: { ip: key } }

const isOf = (target: HetznerTarget, key: Key): boolean =>
  isNumber(key) ? String(target.server?.id) === key : target.ip?.ip === key

export interface Standing {
  /** As a target of its own: what can be removed. */
  readonly own: HetznerTarget | undefined
  /** Each target it stands in, those that a label selector chose too. */
  readonly all: readonly HetznerTarget[]
  /** The selectors that choose it. */
  readonly selectors: readonly string[]
}

export function standingOf(key: Key, { targets }: Pick<HetznerBalancer, 'targets'>): Standing {
  const own = targets.find(t => t.type !== 'label_selector' && isOf(t, key))
  const chosen = targets.flatMap(t =>
    (t.targets ?? []).filter(n => isOf(n, key)).map(n => ({ n, selector: t.label_selector?.selector ?? '' })),
  )
  return {
    own,
    all: [...(own ? [own] : []), ...chosen.map(c => c.n)],
    selectors: chosen.map(c => c.selector),
  }
}

/** In every service healthy is serving; a service that does not know yet is warming up. */
export function rotationOf({ all }: Pick<Standing, 'all'>, { services }: Pick<HetznerBalancer, 'services'>): Rotation {
  if (all.length === 0) return { state: 'out', detail: 'not among the targets' }
  if (services.length === 0) return { state: 'unknown', detail: 'the load balancer has no service' }
  const states = services.flatMap(({ listen_port: port }) =>
    all.map(t => ({ port, status: t.health_status?.find(h => h.listen_port === port)?.status ?? 'unknown' })),
  )
  const detail = states
    .filter(s => s.status !== 'healthy')
    .map(s => `port ${s.port}: ${/^\w{1,20}$/.test(s.status) ? s.status : 'unknown'}`)
    .join(', ')
  if (states.some(s => s.status === 'unhealthy')) return { state: 'unhealthy', detail }
  return detail === '' ? { state: 'serving' } : { state: 'warming', detail }
}

/** Milliseconds: as many checks in a row as it takes, of the slowest service. */
export const longestAddMs = ({ services }: Pick<HetznerBalancer, 'services'>): number =>
  Math.max(0, ...services.map(({ health_check: c }) => (c.interval * c.retries + c.timeout) * 1000))

const data = () => z.object({ usePrivateIp: z.boolean() })

export const receiptData = ({ own }: Pick<Standing, 'own'>): Record<string, unknown> =>
  own === undefined ? {} : ({ usePrivateIp: own.use_private_ip === true } satisfies z.output<ReturnType<typeof data>>)

/** The target as it was. It may come back from a server: only what has the right form is taken. Throws BalancerError. */
export function bodyBefore(receipt: Receipt, key: Key): TargetBody {
  const read = data().safeParse(receipt.data)
  if (!read.success)
    throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
      server: receipt.server,
      cause: read.error,
      hint: 'add the server to the targets of the load balancer by hand',
    })
  // The API knows no private IP for an IP target.
  return isNumber(key) ? { ...bodyOf(key), use_private_ip: read.data.usePrivateIp } : bodyOf(key)
}
