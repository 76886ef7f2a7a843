/** Which members of nginx a server of the manifest is. Pure. */
import type { Server } from '../manifest/manifest.ts'
import type { NginxMember } from './nginx-config.ts'

/** Host and port as nginx takes them: without a port it is 80. A socket has no port. */
export function addressParts(address: string): { readonly host: string; readonly port: string | null } {
  const lower = address.toLowerCase()
  if (lower.startsWith('unix:')) return { host: address, port: '' }
  const found = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(lower)
  // An IPv6 address without brackets, as a server's `host` has it.
  if (!found) return { host: `[${lower}]`, port: null }
  return { host: found[1] ?? '', port: found[2] ?? null }
}

const nginxDefaultPort = '80'

function matches(member: NginxMember, wanted: string): boolean {
  const [there, asked] = [addressParts(member.address), addressParts(wanted)]
  return there.host === asked.host && (asked.port === null || (there.port ?? nginxDefaultPort) === asked.port)
}

const portOf = (member: NginxMember): string => addressParts(member.address).port ?? nginxDefaultPort

/**
 * The lines of a server: those `member` names (several addresses are separated by spaces or commas); without it those of its `id`,
 * else its name, else its host. One address in several upstreams is one member; several ports of one host are ambiguous. A text says
 * what is wrong.
 */
export function membersOf(
  all: readonly NginxMember[],
  server: Pick<Server, 'name' | 'id' | 'host'>,
  member: string | undefined,
): readonly NginxMember[] | string {
  if (all.length === 0) return 'the file has no line `server …;`'
  const given = member?.split(/[\s,]+/).filter(word => word !== '')
  const found: NginxMember[] = []
  const choices = given
    ? given.map(word => [word])
    : [[server.id, server.name, server.host].filter(a => a !== undefined)]
  for (const addresses of choices) {
    const fitting = addresses.map(a => all.filter(m => matches(m, a))).find(some => some.length > 0)
    if (!fitting) return `no member is called ${addresses.join(' or ')}; there are: ${listed(all)}`
    if (new Set(fitting.map(portOf)).size > 1)
      return `${addresses.join(' or ')} could be several members: ${listed(fitting)}`
    found.push(...fitting)
  }
  return found.length === 0 ? 'its `member` is empty' : [...new Set(found)]
}

const listed = (members: readonly NginxMember[]): string => {
  const addresses = [...new Set(members.map(m => m.address))]
  return addresses.slice(0, 20).join(', ') + (addresses.length > 20 ? ` and ${addresses.length - 20} more` : '')
}
