/** What a backend address pool of Azure says of a server, and what its load balancer's rules say of the pool. Pure. */
import { isIP } from 'node:net'
import type { Server } from '../manifest/manifest.ts'
import type { BalancerRead, PoolAddress, PoolRead } from './azure-answers.ts'
import type { PoolPath } from './azure-api.ts'
import type { Rotation } from './balancer.ts'
import { hasAddress } from './cloud-members.ts'
import { shortened } from './rest-errors.ts'

const idForm =
  /^(\/subscriptions\/[\w-]{1,64}\/resourceGroups\/[\w.()-]{1,90}\/providers\/Microsoft\.Network\/(loadBalancers|applicationGateways)\/([\w.-]{1,80}))\/backendAddressPools\/([\w.-]{1,80})$/i

/** The parts of a pool's resource id, or what is wrong with it. */
export function poolPath(id: string): PoolPath | { readonly problem: string; readonly hint: string } {
  const [pool, balancer = '', type = '', balancerName = '', poolName = ''] = idForm.exec(id) ?? []
  // `..` would be taken out of the path.
  if (pool === undefined || pool.split('/').some(part => /^\.+$/.test(part)))
    return {
      problem: `"${shortened(id)}" cannot be the resource id of a backend pool`,
      hint: '`az network lb address-pool list --query "[].id"` shows them: /subscriptions/…/loadBalancers/…/backendAddressPools/…',
    }
  if (type.toLowerCase() === 'applicationgateways')
    return {
      problem: `${balancerName} is an application gateway, whose servers have no admin state`,
      hint: 'use the provider health-file, or `command` with scripts of your own',
    }
  return { pool, balancer, poolName, balancerName }
}

const same = (a: string | undefined, b: string) => a !== undefined && a.toLowerCase() === b.toLowerCase()
/** `…/networkInterfaces/web1-nic/ipConfigurations/ipconfig1` is of the interface web1-nic. */
const interfaceOf = (nic: string | undefined): string | undefined =>
  /\/networkInterfaces\/([^/]+)\//i.exec(nic ?? '')?.[1]
const interfaceId = (nic: string | undefined): string | undefined => nic?.replace(/\/ipConfigurations\/[^/]+$/i, '')

export const addressText = ({ name, ip, nic }: PoolAddress): string => {
  const more = [ip, interfaceOf(nic)].flatMap(part => part ?? [])
  return `${name}${more.length === 0 ? '' : ` (${more.join(', ')})`}`
}
const listed = (addresses: readonly PoolAddress[]): string =>
  addresses.length === 0
    ? 'none'
    : shortened(addresses.slice(0, 20).map(addressText).join('; ')) +
      (addresses.length > 20 ? ` and ${addresses.length - 20} more` : '')

/** The address called so, else the one with that IP, else the one of the network interface of that name or resource id. */
export function addressOf(
  server: Pick<Server, 'name' | 'host'>,
  wanted: string | undefined,
  addresses: readonly PoolAddress[],
): PoolAddress | string {
  const called = wanted ?? server.name
  const ip = wanted ?? server.host
  const matching =
    [
      addresses.filter(a => same(a.name, called)),
      addresses.filter(a => isIP(ip) !== 0 && a.ip !== undefined && hasAddress({ addresses: [a.ip] }, ip)),
      addresses.filter(a => [a.nic, interfaceId(a.nic), interfaceOf(a.nic)].some(text => same(text, called))),
    ].find(some => some.length > 0) ?? []
  const [only, ...others] = matching
  if (only === undefined)
    return `no address of the pool is ${called}${ip === called ? '' : ` or ${ip}`}; there are: ${listed(addresses)}`
  return others.length === 0
    ? only
    : `${matching.length} addresses of the pool are ${called} or ${ip}: ${listed(matching)}`
}

export const isDown = ({ adminState }: Pick<PoolAddress, 'adminState'>): boolean => same(adminState, 'Down')
export const isUp = ({ adminState }: Pick<PoolAddress, 'adminState'>): boolean => same(adminState, 'Up')

/** By the pool alone: what is set there, whether or not it has come to pass. */
export const rotationOf = (address: PoolAddress): Rotation =>
  isDown(address) ? { state: 'out', detail: `${addressText(address)} has the admin state Down` } : { state: 'serving' }

/** Down, and the pool is still being changed: by whom is not known. */
export const settling = (rotation: Rotation, { provisioningState }: PoolRead): Rotation =>
  rotation.state === 'out' && provisioningState === 'Updating'
    ? { state: 'draining', detail: `${rotation.detail}, and the pool is Updating` }
    : rotation

export interface PoolRules {
  /** Rules that lead to the pool, and those of them without a health probe. */
  readonly rules: readonly string[]
  readonly unprobed: readonly string[]
  /** Of passing probes until a server gets connections, in milliseconds: the slowest. */
  readonly healthyMs: number
  readonly sticky: boolean
}

export function rulesOf({ properties }: BalancerRead, { pool }: PoolPath): PoolRules {
  const rules = (properties.loadBalancingRules ?? []).filter(({ properties: r }) =>
    [r?.backendAddressPool, ...(r?.backendAddressPools ?? [])].some(p => same(p?.id, pool)),
  )
  const names = (some: typeof rules) => some.map(r => r.name ?? 'one without a name')
  const probes = rules.flatMap(r => (properties.probes ?? []).filter(p => same(p.id, r.properties?.probe?.id ?? '')))
  const ms = probes.map(
    ({ properties: p }) =>
      (p?.intervalInSeconds ?? 15) * Math.max(1, p?.numberOfProbes ?? 1, p?.probeThreshold ?? 1) * 1000,
  )
  return {
    rules: names(rules),
    unprobed: names(rules.filter(r => !r.properties?.probe)),
    healthyMs: Math.max(0, ...ms),
    sticky: rules.some(r => !same(r.properties?.loadDistribution ?? 'Default', 'Default')),
  }
}
