/** Which servers stand behind which balancer, and which of them a rollout may take out. */
import { InputError } from '../errors.ts'
import type { Manifest, Server } from '../manifest/manifest.ts'
import type { Strategy } from '../manifest/schema.ts'
import { roundedUp } from './shares.ts'

/** Servers of the environment behind a balancer, before any filter. */
export function membersOf(manifest: Manifest, balancer: string): readonly Server[] {
  const roles = manifest.load_balancers[balancer]?.roles ?? []
  return manifest.servers.filter(s => roles.length === 0 || roles.some(r => s.roles.includes(r)))
}

/** Names of the balancers a server stands behind, as listed. */
export const balancersOf = (manifest: Manifest, server: Server): readonly string[] =>
  Object.keys(manifest.load_balancers).filter(name => membersOf(manifest, name).some(s => s.name === server.name))

/** How many servers behind a balancer have to stay in service. */
export function minInService(manifest: Manifest, balancer: string): number {
  const share = manifest.load_balancers[balancer]?.min_in_service ?? manifest.rollout.min_in_service
  return roundedUp(share, membersOf(manifest, balancer).length)
}

export interface Removal {
  /** Balancers it is taken out of, in order. */
  readonly from: readonly string[]
  /** Why it stays in although balancers select it. */
  readonly inPlace: string | null
}

/**
 * What a strategy does with one server: parallel never writes to a balancer; a balancer's only server is deployed in place unless
 * `min_in_service` is 0. Throws InputError where `min_in_service` can never be satisfied.
 */
export function removalOf(manifest: Manifest, strategy: Strategy, server: Server): Removal {
  if (strategy === 'parallel') return { from: [], inPlace: null }
  const behind = balancersOf(manifest, server)
  const from = behind.filter(name => membersOf(manifest, name).length > 1 || minInService(manifest, name) === 0)
  for (const name of from) {
    const members = membersOf(manifest, name).length
    const staying = minInService(manifest, name)
    if (staying >= members)
      throw new InputError(
        `min_in_service: ${staying} of the ${members} servers behind ${name} have to stay in service, so none could ever leave`,
        {
          server: server.name,
          hint: `lower min_in_service below ${members}, or use parallel`,
        },
      )
  }
  const alone = behind.filter(name => !from.includes(name))
  return {
    from,
    inPlace:
      alone.length > 0 ? `it is the only server behind ${alone.join(', ')}; min_in_service: 0 would take it out` : null,
  }
}
