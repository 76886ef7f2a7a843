/** Which machine of a cloud a server of the manifest is. Pure. */
import { BlockList, isIP } from 'node:net'
import type { Server } from '../manifest/manifest.ts'

export interface Machine<I> {
  readonly id: I
  /** As a person finds it there. */
  readonly name: string
  /** IP addresses, or networks as `2001:db8::/64`. */
  readonly addresses: readonly string[]
}

/**
 * The machine called `wanted`; without one, called like the server, else the only one at its address. Names need not be unique there:
 * several that fit are refused. A text says what is wrong.
 */
export function machineOf<I>(
  server: Pick<Server, 'name' | 'host'>,
  wanted: string | undefined,
  machines: readonly Machine<I>[],
): Machine<I> | string {
  const called = wanted ?? server.name
  const address = wanted ?? server.host
  const named = machines.filter(m => m.name.toLowerCase() === called.toLowerCase())
  const matching = named.length > 0 ? named : machines.filter(m => hasAddress(m, address))
  const [only, ...others] = matching
  if (only === undefined) {
    const at = isIP(address) === 0 ? '' : ` and none at ${address}`
    return `none is called ${called}${at}; there are: ${listed(machines)}`
  }
  return others.length === 0 ? only : `${matching.length} are called ${called} or at ${address}: ${listed(matching)}`
}

const family = (ip: string) => (isIP(ip) === 6 ? 'ipv6' : 'ipv4')

/** IPv6 has many ways to be written. */
export function hasAddress({ addresses }: Pick<Machine<unknown>, 'addresses'>, ip: string): boolean {
  if (isIP(ip) === 0) return false
  const list = new BlockList()
  for (const text of addresses) {
    const [net = '', bits] = text.split('/')
    if (isIP(net) === 0) continue
    if (bits === undefined) list.addAddress(net, family(net))
    else if (/^\d{1,3}$/.test(bits) && Number(bits) <= (isIP(net) === 6 ? 128 : 32))
      list.addSubnet(net, Number(bits), family(net))
  }
  return list.check(ip, family(ip))
}

const listed = (machines: readonly Machine<unknown>[]): string =>
  machines.length === 0
    ? 'none'
    : machines
        .slice(0, 20)
        .map(m => `${m.name} (${[m.id, ...m.addresses].join(', ')})`)
        .join('; ') + (machines.length > 20 ? ` and ${machines.length - 20} more` : '')

/** Servers of the manifest that came out as the same machine: a removal of one would take the other out. */
export function sameMachine<I>(found: readonly { readonly server: string; readonly id: I }[]): readonly string[] {
  const shared = [...new Set(found.map(f => f.id))].map(id => ({ id, all: found.filter(f => f.id === id) }))
  return shared
    .filter(({ all }) => all.length > 1)
    .map(({ id, all }) => `${all.map(f => f.server).join(' and ')} are all ${id}`)
}
