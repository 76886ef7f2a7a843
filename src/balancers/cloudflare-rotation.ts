/** What a pool says of one of its origins, and what its receipt holds. Pure. */
import { z } from 'zod'
import { BalancerError } from '../errors.ts'
import type { Receipt, Rotation } from './balancer.ts'
import type { HealthRead, Origin, PoolRead } from './cloudflare-api.ts'
import { plainAddress } from './cloudflare-origins.ts'

export const isEnabled = (origin: Origin): boolean => origin.enabled !== false

/** Whether it may be sent new requests at all, healthy or not. Weight 0 is a way to take one out. */
export const takesTraffic = (pool: PoolRead, origin: Origin): boolean =>
  pool.enabled && isEnabled(origin) && origin.weight !== 0

/** `checked`: undefined where the pool has no monitor. Several regions check: the worst counts. */
export function rotationOf(pool: PoolRead, origin: Origin, checked: HealthRead | undefined): Rotation {
  const said = (text: string) => `${text} in pool ${pool.name || pool.id}`
  if (!isEnabled(origin)) return { state: 'out', detail: said('disabled') }
  if (!pool.enabled) return { state: 'out', detail: `pool ${pool.name || pool.id} is disabled` }
  if (origin.weight === 0) return { state: 'out', detail: said('weight 0') }
  if (checked === undefined) return { state: 'serving' }
  const own = plainAddress(origin.address)
  const regions = Object.entries(checked).flatMap(([region, { origins }]) =>
    (origins ?? [])
      .flatMap(entry => Object.entries(entry))
      .filter(([address]) => plainAddress(address) === own)
      .map(([, one]) => ({ region, healthy: one.healthy, reason: one.failure_reason })),
  )
  const bad = regions.filter(r => r.healthy === false)
  if (bad.length > 0) {
    const where = bad.map(r => (r.reason ? `${r.region}: ${r.reason}` : r.region)).join('; ')
    return { state: 'unhealthy', detail: said(`unhealthy (${where})`) }
  }
  if (origin.healthy === false)
    return { state: 'unhealthy', detail: said(`unhealthy (${origin.failure_reason ?? ''})`) }
  if (regions.some(r => r.healthy === true) || origin.healthy === true) return { state: 'serving' }
  return { state: 'warming', detail: said('its health is not known yet') }
}

const data = z.object({
  pools: z
    .array(
      z.object({
        pool: z.string().regex(/^[\w-]{1,64}$/),
        enabled: z.boolean(),
        /** Whether it was in rotation there. */
        traffic: z.boolean(),
      }),
    )
    .max(1000),
})
export type PoolBefore = z.output<typeof data>['pools'][number]

/** What the receipt says of each pool. It may come back from a server: only what has the right form is taken. Throws BalancerError. */
export function poolsBefore(receipt: Receipt): readonly PoolBefore[] {
  const read = data.safeParse(receipt.data)
  if (read.success) return read.data.pools
  throw new BalancerError(`the receipt of ${receipt.server} at ${receipt.balancer} cannot be used`, {
    server: receipt.server,
    cause: read.error,
    hint: 'enable the origin in its pools by hand',
  })
}
