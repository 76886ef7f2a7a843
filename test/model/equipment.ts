/** Which process a fleet and a balancer are opened for: deployments open theirs by modules that the test replaces. */
import type { LoadBalancer } from '../../src/balancers/balancer.ts'
import type { Clock } from '../../src/clock.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import type { Process, World } from './world.ts'

const processes = new WeakMap<Clock, { readonly w: World; readonly p: Process }>()
let latest: { readonly w: World; readonly p: Process } | undefined

export const use = (w: World, p: Process): void => void processes.set(p.owner.clock, { w, p })

/** In place of fleetOf. */
export function fleetOf({ clock }: { readonly clock: Clock }): Fleet {
  latest = processes.get(clock)
  if (latest === undefined) throw new Error('a process that the model does not know')
  return latest.w.fleet(latest.p)
}

/** In place of buildBalancers, which is called in the same breath as fleetOf. */
export function buildBalancers({ load_balancers }: { readonly load_balancers: object }): Map<string, LoadBalancer> {
  if (latest === undefined) throw new Error('no process')
  const { w, p } = latest
  return new Map(Object.keys(load_balancers).map(name => [name, w.balancerOf(p, name)]))
}
