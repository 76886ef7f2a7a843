/** May this host be talked to? Decided from the key it shows and those that are known, before anything is said to it. */
import { createHash } from 'node:crypto'
import type { ServerHostKeyAlgorithm } from 'ssh2'
import { HostKeyError } from '../errors.ts'
import { type KnownKey, knownHostsName, typeOfBlob } from './known-hosts.ts'

/** What `ssh-keygen -l` shows. */
export const fingerprint = (blob: Buffer): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`

export type Verdict = 'known' | 'unknown' | 'changed' | 'revoked'

/**
 * A key of another type than the known ones counts as changed: who stands in between can show any type. That a server has several
 * is met by asking for a known type first (`hostKeyAlgorithms`).
 */
export function judge(shown: Buffer, known: readonly KnownKey[]): Verdict {
  const same = known.filter(key => key.blob.equals(shown))
  if (same.some(key => key.revoked)) return 'revoked'
  if (same.length > 0) return 'known'
  return known.some(key => !key.revoked && !key.otherPort) ? 'changed' : 'unknown'
}

const algorithms: Readonly<Record<string, readonly ServerHostKeyAlgorithm[]>> = {
  'ssh-ed25519': ['ssh-ed25519'],
  'ecdsa-sha2-nistp256': ['ecdsa-sha2-nistp256'],
  'ecdsa-sha2-nistp384': ['ecdsa-sha2-nistp384'],
  'ecdsa-sha2-nistp521': ['ecdsa-sha2-nistp521'],
  'ssh-rsa': ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'],
}

/** What to ask the server for: types that are known for it first, then the others, so that its key can be named in the error. */
export function hostKeyAlgorithms(known: readonly KnownKey[]): ServerHostKeyAlgorithm[] {
  const types = known.filter(key => !key.revoked).map(key => key.type)
  const first = types.flatMap(type => algorithms[type] ?? [])
  return [...new Set([...first, ...Object.values(algorithms).flat()])]
}

export interface Shown {
  /** The server's or bastion's name. */
  readonly name: string
  readonly host: string
  readonly port: number
  readonly key: Buffer
  readonly known: readonly KnownKey[]
  readonly strict: boolean
}

export type Decision =
  | { readonly accept: true; readonly warning?: string }
  | { readonly accept: false; readonly error: HostKeyError }

/** `strict: false` accepts unknown keys, with a warning; changed and revoked ones never. */
export function decide({ name, host, port, key, known, strict }: Shown): Decision {
  const verdict = judge(key, known)
  if (verdict === 'known') return { accept: true }
  const type = typeOfBlob(key) ?? 'unknown type'
  const at = knownHostsName(host, port)
  const received = `${type} ${fingerprint(key)}`
  const line = `${at} ${type} ${key.toString('base64')}`
  const expected = known.filter(k => !k.revoked && !k.otherPort)
  const expectedText = expected.map(k => `${k.type} ${fingerprint(k.blob)} (${k.where})`).join(', ')
  const refuse = (what: string, hint: string): Decision => ({
    accept: false,
    error: new HostKeyError(`${name}: ${what}`, { server: name, stage: 'host key', hint }),
  })
  switch (verdict) {
    case 'revoked':
      return refuse(
        `${host} port ${port} showed a revoked host key: ${received}`,
        'do not connect; find out who holds that key, and give the host a new one',
      )
    case 'changed':
      return refuse(
        `${host} port ${port} showed another host key than is known; received ${received}, expected ${expectedText}`,
        `somebody may be in between. If the machine was made anew: check the fingerprint out of band (its console, its provider), then put this line in place of the known one\n${line}`,
      )
    case 'unknown':
      if (!strict)
        return {
          accept: true,
          warning: `${name}: the host key of ${host} port ${port} is not known and was accepted (ssh-strict: false): ${received}; to know it from now on, add to known_hosts: ${line}`,
        }
      return refuse(
        `the host key of ${host} port ${port} is not known; received ${received}, expected none: no line of known_hosts names ${at}`,
        `after checking the fingerprint out of band (its console, its provider), add this line to known_hosts\n${line}`,
      )
  }
}
