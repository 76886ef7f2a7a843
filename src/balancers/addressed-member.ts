/** Which of a balancer's members a server of the manifest is, where members have an address and may have a name. Pure. */
import type { Server } from '../manifest/manifest.ts'

export interface Addressed {
  /** What the balancer calls it besides its address. */
  readonly names: readonly string[]
  /** `10.0.0.2:3000`, `[::1]:3000`, lower case. */
  readonly address: string
  /** For messages. */
  readonly shown: string
}

export type Found<M> =
  | { readonly is: 'member'; readonly member: M; readonly by: 'name' | 'address' }
  /** `problem` says what is there instead. */
  | { readonly is: 'none' | 'ambiguous'; readonly problem: string }

const portless = (address: string): string => address.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')

/** `host:port`, with an IPv6 host in brackets: it names one member of any list. */
export const isWhole = (address: string): boolean => /^(\[[^\]]+\]|[^:[\]]+):\d{1,5}$/.test(address)

/**
 * The member called `member` there or standing at that address; without one, called by the server's `id`, else its name, else the only
 * one at its address that is not one of the `siblings`': two servers of the manifest never share a member.
 */
export function addressedMember<M extends Addressed>(
  there: readonly M[],
  server: Pick<Server, 'name' | 'id' | 'host'>,
  member: string | undefined,
  siblings: readonly Pick<Server, 'name' | 'id'>[],
): Found<M> {
  const wanted = member ?? server.id ?? server.name
  const called = there.filter(m => m.names.includes(wanted) || m.address === wanted.toLowerCase())
  const taken = new Set(siblings.map(o => (o.id ?? o.name).toLowerCase()))
  // An address with a port is one member's or nobody's.
  const hosts = isWhole(wanted) ? [] : member === undefined ? [server.id ?? server.host, server.host] : [member]
  const addresses = [...new Set(hosts.map(a => a.toLowerCase().replace(/^\[|\]$/g, '')))]
  const free = there.filter(m => !taken.has(m.address) && !m.names.some(n => taken.has(n.toLowerCase())))
  const matching = called.length > 0 ? called : free.filter(m => addresses.includes(portless(m.address)))
  const [only, ...others] = matching
  if (only && others.length === 0) return { is: 'member', member: only, by: called.length > 0 ? 'name' : 'address' }
  return only
    ? { is: 'ambiguous', problem: `${matching.length} members could be it: ${listed(matching)}` }
    : {
        is: 'none',
        problem: `there is no member called ${wanted}${addresses.length > 0 ? ` and none at ${addresses.join(' or ')}` : ''}; there are: ${listed(there)}`,
      }
}

const listed = (members: readonly Addressed[]): string =>
  members.length === 0
    ? 'none'
    : members
        .slice(0, 20)
        .map(m => m.shown)
        .join(', ') + (members.length > 20 ? ` and ${members.length - 20} more` : '')
