/** known_hosts (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): which keys a host may show. */
import { createHmac } from 'node:crypto'
import { InputError } from '../errors.ts'

/** One key that is known for a host. */
export interface KnownKey {
  /** `ssh-ed25519`, `ssh-rsa`, … */
  readonly type: string
  /** The key itself, as it goes over the wire. */
  readonly blob: Buffer
  /** Where it stands, for messages: `known_hosts line 3`. */
  readonly where: string
  /** A key that must never be accepted. */
  readonly revoked: boolean
  /** Known for the host's port 22 only. OpenSSH accepts such a key on other ports too, and takes no other one for a change. */
  readonly otherPort: boolean
}

export interface KnownHosts {
  /** Lines that are not used, and why. */
  readonly warnings: readonly string[]
  /** What is known for a host by the name or address it is connected to. */
  lookup(host: string, port: number): readonly KnownKey[]
}

interface Line {
  readonly matches: (name: string) => boolean
  readonly key: Omit<KnownKey, 'otherPort'>
}

/** A problem of one line; its number is added by who reads the lines. */
type Bad = { readonly bad: string }

/** The type that a key says of itself; null: not a key. */
export function typeOfBlob(blob: Buffer): string | null {
  if (blob.length < 5) return null
  const length = blob.readUInt32BE(0)
  const type = blob.toString('latin1', 4, 4 + length)
  return length > 0 && length <= blob.length - 5 && /^[a-z0-9@.-]+$/.test(type) ? type : null
}

function keyOf(type: string | undefined, base64: string | undefined): { type: string; blob: Buffer } | Bad {
  if (type === undefined || base64 === undefined) return { bad: 'host names, key type and key are expected' }
  if (/^\d+$/.test(type)) return { bad: 'a key of SSH version 1; take a new one with ssh-keyscan' }
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return { bad: 'the key is not base64' }
  const blob = Buffer.from(base64, 'base64')
  const own = typeOfBlob(blob)
  if (own === null) return { bad: 'the key is cut off, or is none' }
  return own === type ? { type, blob } : { bad: `the key is of type ${own}, not ${type}` }
}

/** `*` and `?` (ssh_config(5), PATTERNS). */
const glob = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll(/\*+/g, '.*')
      .replaceAll('?', '.')}$`,
  )

function matcher(hosts: string): ((name: string) => boolean) | Bad {
  if (!hosts.startsWith('|')) {
    const patterns = hosts
      .toLowerCase()
      .split(',')
      .filter(p => p !== '')
    const yes = patterns.filter(p => !p.startsWith('!')).map(glob)
    const no = patterns.filter(p => p.startsWith('!')).map(p => glob(p.slice(1)))
    return name => yes.some(p => p.test(name)) && !no.some(p => p.test(name))
  }
  const [, magic, salt, hash] = hosts.split('|')
  if (magic !== '1' || !salt || !hash) return { bad: 'a hashed host name is |1|salt|hash' }
  const key = Buffer.from(salt, 'base64')
  const wanted = Buffer.from(hash, 'base64')
  return name => createHmac('sha1', key).update(name).digest().equals(wanted)
}

function readLine(text: string, where: string): Line | 'nothing' | 'authority' | Bad {
  const words = text.trim().split(/[ \t]+/)
  const first = words[0] ?? ''
  if (first === '' || first.startsWith('#')) return 'nothing'
  const marker = first.startsWith('@') ? words.shift() : undefined
  if (marker === '@cert-authority') return 'authority'
  if (marker !== undefined && marker !== '@revoked') return { bad: `${marker} is not known` }
  const [hosts = '', type, base64] = words
  const key = keyOf(type, base64)
  if ('bad' in key) return key
  const matches = matcher(hosts)
  return 'bad' in matches ? matches : { matches, key: { ...key, where, revoked: marker === '@revoked' } }
}

/** A host as known_hosts names it: `host`, or `[host]:port` where the port is not 22. */
export const knownHostsName = (host: string, port: number): string => (port === 22 ? host : `[${host}]:${port}`)

/** Reads known_hosts once, for many look-ups. Throws InputError that names every bad line of it. */
export function parseKnownHosts(text: string, file = 'known_hosts'): KnownHosts {
  const lines: Line[] = []
  const warnings: string[] = []
  const bad: string[] = []
  text.split(/\r?\n/).forEach((source, index) => {
    const where = `${file} line ${index + 1}`
    const line = readLine(source, where)
    if (line === 'nothing') return
    if (line === 'authority')
      warnings.push(`${where} is not used: certificates of hosts cannot be checked; write the host's own key instead`)
    else if ('bad' in line) bad.push(`${where}: ${line.bad}`)
    else lines.push(line)
  })
  if (bad.length > 0)
    throw new InputError(bad.join('\n'), {
      hint: 'a line is: host names, key type, key; `ssh-keyscan -t ed25519 HOST` writes one',
    })

  const found = new Map<string, readonly KnownKey[]>()
  const keysOf = (name: string, otherPort: boolean) =>
    lines.filter(line => line.matches(name.toLowerCase())).map(({ key }): KnownKey => ({ ...key, otherPort }))
  return {
    warnings,
    lookup(host, port) {
      const name = knownHostsName(host, port)
      const keys = found.get(name) ?? [...keysOf(name, false), ...(port === 22 ? [] : keysOf(host, true))]
      found.set(name, keys)
      return keys
    },
  }
}

/** Keys of one host, each `ssh-ed25519 AAAA…`. `where` says whose, for messages. Throws InputError. */
export function parseHostKeys(keys: readonly string[], where: string): readonly KnownKey[] {
  return keys.map(text => {
    const [type, base64] = text.trim().split(/[ \t]+/)
    const key = keyOf(type, base64)
    if (!('bad' in key)) return { ...key, where, revoked: false, otherPort: false }
    throw new InputError(`${where}: ${key.bad}`, { hint: 'a host key is written as: ssh-ed25519 AAAA…' })
  })
}
