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
  /** Of a fan-out: what each shard may do here at the same moment, unseen by the others. */
  readonly shards?: ShardParts
}

/** A shard's part of a balancer's servers, and how many of them it may have out at once; the parts make up what may be out in all. */
export interface ShardPart {
  readonly servers: readonly string[]
  readonly quota: number
}

export interface ShardParts {
  readonly own: ShardPart
  readonly others: readonly ShardPart[]
}

export type MayLeave =
  | { readonly allowed: true; readonly serving: number }
  | {
      readonly allowed: false
      readonly serving: number
      readonly needed: number
      readonly reason: string
      /** Of a shard that has a part left: others have more out than theirs, and may bring them back. */
      readonly mayPass: boolean
    }

/**
 * Allowed only if the rest satisfy `needed` by themselves; only what serves counts. In a fan-out two shards may read the same at the same
 * moment: a shard has no more of its own servers out than its part, whyever they are out, and counts for gone what each other shard
 * could still take out of its own. So whatever the others do after this reading, `needed` stay, unless a server that is in no shard dies:
 * the parts are of what those that are out leave (plan/shard-plan.ts).
 */
export function mayLeave({ rotations, leaving, alsoLeaving, needed, shards }: InService): MayLeave {
  const isOut = (name: string) => alsoLeaving.has(name) || rotations[name]?.state !== 'serving'
  const rest = Object.entries(rotations).filter(([name]) => name !== leaving && !alsoLeaving.has(name))
  const out = rest.filter(([, rotation]) => rotation.state !== 'serving')
  const serving = rest.length - out.length
  const others = out.map(([name, rotation]) => `${name} is ${rotation.state}`).join(', ')
  const told = others && `; ${others}`
  const refused = (reason: string, mayPass = false): MayLeave => ({
    allowed: false,
    serving,
    needed,
    reason,
    mayPass,
  })
  if (shards !== undefined) {
    const { servers, quota } = shards.own
    const own = servers.filter(name => name !== leaving && isOut(name))
    if (quota === 0) return refused(withoutPart(shards, out))
    if (own.length >= quota) {
      const who = own.length === 0 ? '' : `; out ${own.length === 1 ? 'is' : 'are'} ${own.join(', ')}`
      return refused(`this shard may have ${quota} of its servers out at once${who}`)
    }
    const more = shards.others.reduce((sum, s) => sum + Math.max(0, s.quota - s.servers.filter(isOut).length), 0)
    if (serving >= needed && serving - more < needed)
      return refused(
        `without ${leaving} ${serving} would be in service, of which other shards may take out ${more} at the same moment, and ${needed} ${needed === 1 ? 'has' : 'have'} to be${told}`,
        true,
      )
  }
  if (serving >= needed) return { allowed: true, serving }
  return refused(
    `without ${leaving} ${serving} would be in service, ${needed} ${needed === 1 ? 'has' : 'have'} to be${told}`,
    shards !== undefined,
  )
}

/** What may be out is less than there are shards: servers in no shard are out. One run could go on as long as there is any part. */
function withoutPart({ own, others }: ShardParts, out: readonly (readonly [string, Rotation])[]): string {
  const inShards = new Set([own, ...others].flatMap(part => part.servers))
  const told = out.flatMap(([name, { state }]) => (inShards.has(name) ? [] : [`${name} is ${state}`])).join(', ')
  const alone = others.some(part => part.quota > 0) ? '; one run without the input shard could go on' : ''
  return `none of the servers of this shard may be out${told && ` while ${told}`}${alone}`
}
