/** Servers as written → servers: ranges expanded, `[user@]host[:port]` taken apart, the defaults of `ssh` filled in. */
import type { Hop, Server } from './manifest.ts'
import type { Path } from './node.ts'
import type { Finding } from './problems.ts'
import { type BadRange, expand, isBad, most } from './ranges.ts'
import type { ManifestKeys, ServerEntry } from './schema.ts'

type Ssh = ManifestKeys['ssh']

export interface Address {
  readonly user: string | undefined
  readonly host: string
  readonly port: number | undefined
}

/** `[user@]host[:port]`; an IPv6 address stands in brackets. A text that is returned says what is wrong. */
export function parseAddress(written: string): Address | string {
  // 253 characters is the longest name of a host (RFC 1035, 2.3.4).
  if (written.length > 600) return 'an address this long is none'
  const [, user, bracketed, simple, port] =
    /^(?:([^@\s]+)@)?(?:\[([0-9a-fA-F:.]+(?:%\w+)?)\]|([^\s@:[\]/]+))(?::(\d{1,5}))?$/.exec(written) ?? []
  const host = bracketed ?? simple
  if (host === undefined)
    return /^(?:[^@\s]+@)?[0-9a-fA-F:.]*:[0-9a-fA-F:.]*:[0-9a-fA-F:.]*$/.test(written)
      ? `"${written}": an IPv6 address stands in brackets: [2001:db8::1]:22`
      : `"${written}": [user@]host[:port] is expected`
  if (!/^[A-Za-z0-9_:%]([A-Za-z0-9._:%-]*)$/.test(host)) return `"${host}" is no name or address of a host`
  const number = port === undefined ? undefined : Number(port)
  if (number !== undefined && (number < 1 || number > 65535)) return `"${written}": a port from 1 to 65535 is expected`
  if (user !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9_.@\\-]*\$?$/.test(user)) return `"${user}" is no user name`
  return { user, host, port: number }
}

/** `a,b`: the hops in the order they are gone through; a hop without a user takes the server's. */
function parseBastions(written: string | undefined, user: string): readonly Hop[] | string {
  if (written === undefined || written === 'none') return []
  const hops: Hop[] = []
  for (const one of written.split(',')) {
    const address = parseAddress(one.trim())
    if (typeof address === 'string') return address
    hops.push({ user: address.user ?? user, host: address.host, port: address.port ?? 22 })
  }
  return hops
}

/** Used in selections (`!name`, `role:NAME`, globs, lists with commas), so none of their characters can be in a name. */
const goodName = /^(?!all$|role:)[A-Za-z0-9_][A-Za-z0-9._:%@-]{0,252}$/

export interface Expanded {
  readonly servers: readonly Server[]
  readonly findings: readonly Finding[]
}

/** All servers of a list of entries that stands at `path`; null: an entry that could not be read. */
export function expandServers(entries: readonly (ServerEntry | null)[], ssh: Ssh, path: Path): Expanded {
  const servers: Server[] = []
  const findings: Finding[] = []
  const names = new Map<string, number>()
  for (const [index, entry] of entries.entries()) {
    if (servers.length > most) {
      findings.push({ path, on: 'key', message: `there are more than ${most} servers`, hint: 'is a range too long?' })
      break
    }
    if (entry === null) continue
    const at = [...path, index]
    const result = serversOf(entry, ssh)
    if ('message' in result) {
      const { key, message, hint } = result
      findings.push({ path: key === null ? at : [...at, key], on: 'value', message, hint })
      continue
    }
    for (const server of result) {
      const first = names.get(server.name)
      if (first !== undefined)
        findings.push({
          path: [...at, entry.name === undefined ? 'host' : 'name'],
          on: 'value',
          message: `a second server is called "${server.name}"`,
          hint: first === index ? 'put a range into its name: web[01-20]' : 'give each server a name of its own',
        })
      else servers.push(server)
      names.set(server.name, first ?? index)
      if (first === index) break
    }
  }
  return { servers, findings }
}

interface Wrong {
  readonly key: string | null
  readonly message: string
  readonly hint: string
}

function serversOf(entry: ServerEntry, ssh: Ssh): readonly Server[] | Wrong {
  const expansion = expand({
    host: entry.host,
    ...(entry.name === undefined ? {} : { name: entry.name }),
    ...(entry.id === undefined ? {} : { id: entry.id }),
  })
  if (isBad(expansion)) return wrongRange(expansion)
  const servers: Server[] = []
  for (const one of expansion) {
    const server = serverOf(entry, ssh, one)
    if ('message' in server) return server
    servers.push(server)
  }
  return servers
}

const wrongRange = ({ problem, hint }: BadRange): Wrong => ({
  key: /^(host|name|id): /.exec(problem)?.[1] ?? 'host',
  message: problem,
  hint,
})

function serverOf(entry: ServerEntry, ssh: Ssh, one: Readonly<Record<string, string>>): Server | Wrong {
  const address = parseAddress(one['host'] ?? '')
  if (typeof address === 'string')
    return { key: 'host', message: address, hint: 'for example: deploy@web1.example.com:2222' }
  const user = address.user ?? entry.user ?? ssh.user
  if (user === undefined)
    return {
      key: 'host',
      message: `no user to log in to ${address.host} as`,
      hint: 'write ssh: {user: deploy}, or user@host',
    }
  const name = one['name'] ?? address.host
  if (!goodName.test(name))
    return {
      key: entry.name === undefined ? 'host' : 'name',
      message: `"${name}" cannot be the name of a server`,
      hint: 'letters, digits, ".", "_" and "-", and neither "all" nor "role:…", which select servers',
    }
  const bastions = parseBastions(entry.bastion ?? ssh.bastion, user)
  if (typeof bastions === 'string')
    return {
      key: entry.bastion === undefined ? null : 'bastion',
      message: `bastion: ${bastions}`,
      hint: 'for example: jump@bastion.example.com:22',
    }
  return {
    name,
    user,
    host: address.host,
    port: address.port ?? entry.port ?? ssh.port ?? 22,
    roles: entry.roles,
    id: one['id'],
    hostKeys: entry.host_key,
    env: entry.env,
    bastions,
    connectTimeout: entry.connect_timeout ?? ssh.connect_timeout ?? 10,
    keepalive: entry.keepalive ?? ssh.keepalive ?? 15,
  }
}
