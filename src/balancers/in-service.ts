/** Whether a server may leave a balancer. Pure; min_in_service holds over all of the environment's servers behind it. */
import type { Rotation } from './balancer.ts'

export interface InService {
  /** Read just now, of every server of the environment behind the balancer, by name. */
  readonly rotations: Readonly<Record<string, Rotation>>
  /** The one that wants to leave. */
  readonly leaving: string
  /** Others that are being removed at this moment: a balancer may still tell them as serving. */
  readonly alsoLeaving: ReadonlySet<string>
  /** Servers that have to stay: min_in_service, a percentage already rounded up. */
  readonly needed: number
}

export type MayLeave =
  | { readonly allowed: true; readonly serving: number }
  | { readonly allowed: false; readonly serving: number; readonly needed: number; readonly reason: string }

/** Allowed only if the rest satisfy `needed` by themselves; only what serves counts. */
export function mayLeave({ rotations, leaving, alsoLeaving, needed }: InService): MayLeave {
  const rest = Object.entries(rotations).filter(([name]) => name !== leaving && !alsoLeaving.has(name))
  const out = rest.filter(([, rotation]) => rotation.state !== 'serving')
  const serving = rest.length - out.length
  if (serving >= needed) return { allowed: true, serving }
  const others = out.map(([name, rotation]) => `${name} is ${rotation.state}`).join(', ')
  const reason = `without ${leaving} ${serving} would be in service, ${needed} ${needed === 1 ? 'has' : 'have'} to be${others && `; ${others}`}`
  return { allowed: false, serving, needed, reason }
}
