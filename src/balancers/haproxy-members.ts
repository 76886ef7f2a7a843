/** Which of HAProxy's servers a server of the manifest is, and what it says. Pure. */
import type { Server } from '../manifest/manifest.ts'
import type { Rotation } from './balancer.ts'
import { type HaproxyServer, lastCheckPassed } from './haproxy-state.ts'

/**
 * The server called `member` there; without one, called by its `id`, else its name, else the only one at its address that is not
 * called like one of the `siblings`: two servers of the manifest never share a member. A text says what is wrong.
 */
export function memberIn(
  backend: string,
  servers: readonly HaproxyServer[],
  server: Server,
  member: string | undefined,
  siblings: readonly Pick<Server, 'name' | 'id'>[],
): HaproxyServer | string {
  const there = servers.filter(s => s.backend === backend)
  if (there.length === 0) return `there is no backend "${backend}", or no server in it`
  const wanted = member ?? server.id ?? server.name
  const named = there.find(s => s.name === wanted)
  if (named) return named
  // What was given may be an address itself.
  const addresses = [...new Set(member === undefined ? [server.id ?? server.host, server.host] : [member])].map(a =>
    a.toLowerCase(),
  )
  const taken = new Set(siblings.map(o => o.id ?? o.name))
  const matching = there.filter(
    s =>
      !taken.has(s.name) &&
      [s.address, `${s.address}:${s.port}`, s.fqdn?.toLowerCase()].some(a => a !== undefined && addresses.includes(a)),
  )
  const [only, ...others] = matching
  if (only && others.length === 0) return only
  return only
    ? `${matching.length} servers of backend "${backend}" have the address ${addresses.join(' or ')}: ${listed(matching)}`
    : `backend "${backend}" has no server called ${wanted} and none at ${addresses.join(' or ')}; there are: ${listed(there)}`
}

const listed = (servers: readonly HaproxyServer[]): string =>
  servers
    .slice(0, 20)
    .map(s => `${s.name} (${s.address}:${s.port})`)
    .join(', ') + (servers.length > 20 ? ` and ${servers.length - 20} more` : '')

/** What one member says. Admin bits decide, not the status text: a drained server with a failing check reads "DOWN" (measured). */
export function rotationOf(member: HaproxyServer): Rotation {
  const { inFlight, served } = member
  const detail = (text: string) => `${member.backend}/${member.name} ${text}`
  if (member.admin === 'maint')
    return inFlight === 0
      ? { state: 'out', detail: detail('MAINT') }
      : { state: 'draining', detail: detail(`MAINT, ${inFlight} in flight`), inFlight, served }
  if (member.admin === 'drain' || member.weight === 0)
    return {
      state: 'draining',
      detail: detail(`${member.admin === 'drain' ? 'DRAIN' : 'weight 0'}, ${inFlight} in flight`),
      inFlight,
      served,
    }
  if (member.operational === 'stopped' || member.operational === 'stopping')
    return { state: 'unhealthy', detail: detail(member.status || member.operational) }
  if (member.check && !lastCheckPassed(member.check))
    return { state: 'warming', detail: detail(`${member.status}, its last check did not pass`) }
  if (member.operational === 'starting' || (member.throttle ?? 100) < 100)
    return { state: 'warming', detail: detail(`slow start, ${member.throttle ?? 0}% of its share`) }
  return { state: 'serving' }
}
