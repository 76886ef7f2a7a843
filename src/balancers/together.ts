/** What several members of one server together say. Pure. */
import type { Rotation } from './balancer.ts'
import { inRotation } from './place.ts'

/**
 * Out only where it is out of all, serving only where it serves at all. In at one and out at another is told as warming: in rotation,
 * and not serving. A number is known only where each member tells its own.
 */
export function together(rotations: readonly Rotation[]): Rotation {
  const details = rotations.flatMap(r => ('detail' in r ? [r.detail] : [])).join('; ')
  if (rotations.length === 0) return { state: 'unknown', detail: 'it has no member' }
  if (rotations.some(r => r.state === 'unknown')) return { state: 'unknown', detail: details }
  if (rotations.some(r => r.state === 'unhealthy')) return { state: 'unhealthy', detail: details }
  if (rotations.every(r => r.state === 'serving')) return { state: 'serving' }
  if (rotations.some(inRotation)) return { state: 'warming', detail: details }
  if (rotations.every(r => r.state === 'out')) return { state: 'out', detail: details }
  const draining = rotations.flatMap(r => (r.state === 'draining' ? [r] : []))
  const sum = (pick: (r: (typeof draining)[number]) => number | undefined) =>
    draining.reduce<number | undefined>((total, r) => {
      const own = pick(r)
      return total === undefined || own === undefined ? undefined : total + own
    }, 0)
  const [inFlight, served] = [sum(r => r.inFlight), sum(r => r.served)]
  return {
    state: 'draining',
    detail: details,
    ...(inFlight === undefined ? {} : { inFlight }),
    ...(served === undefined ? {} : { served }),
  }
}
