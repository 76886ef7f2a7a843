/** Key pairs made by the real ssh-keygen. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export type KeyType = 'ed25519' | 'rsa' | 'ecdsa'

export interface KeyPair {
  /** The private key in OpenSSH's PEM form. */
  readonly privateKey: string
  /** `ssh-ed25519 AAAA…`, without comment. */
  readonly publicKey: string
}

export function newKey(type: KeyType = 'ed25519', passphrase = ''): KeyPair {
  const directory = mkdtempSync(join(tmpdir(), 'key-'))
  try {
    const file = join(directory, 'key')
    const size = type === 'rsa' ? ['-b', '2048'] : [] // 3072, the default, takes seconds on a busy machine
    execFileSync('ssh-keygen', ['-q', '-t', type, ...size, '-N', passphrase, '-C', '', '-f', file])
    const [kind = '', body = ''] = readFileSync(`${file}.pub`, 'utf8').trim().split(' ')
    return { privateKey: readFileSync(file, 'utf8'), publicKey: `${kind} ${body}` }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

let shared: KeyPair | undefined
/** The pair that every test server of this process lets in. */
export const clientKey = (): KeyPair => {
  shared ??= newKey()
  return shared
}
