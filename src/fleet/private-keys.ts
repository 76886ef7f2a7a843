/** The private keys of the input: mended where they were mangled on their way, and explained where they cannot be used. */
import { createPrivateKey } from 'node:crypto'
import ssh2, { type ParsedKey } from 'ssh2'
import { InputError, messageOf } from '../errors.ts'
import { fingerprint } from './host-key.ts'

const { utils } = ssh2

export interface PrivateKey {
  readonly parsed: ParsedKey
  /** `ssh-ed25519 SHA256:…`, for messages. */
  readonly name: string
}

const refuse = (what: string, hint: string, cause?: unknown): never => {
  throw new InputError(`the private key ${what}`, { hint, ...(cause === undefined ? {} : { cause }) })
}

const withoutPassphrase = 'is encrypted, and there is no passphrase'

const newKeyHint =
  'make one with `ssh-keygen -t ed25519 -f deploy_key -N ""` and give the whole of the file deploy_key, first and last line included'

/** Newlines as `\n` in two characters, a byte order mark, the whole in base64. */
function unwrapped(text: string): string {
  const plain = text
    .replace(/^\uFEFF/, '')
    .replaceAll('\\r', '')
    .replaceAll('\\n', '\n')
    .trim()
  if (plain.includes('-----BEGIN') || !/^[A-Za-z0-9+/=\s]+$/.test(plain)) return plain
  const decoded = Buffer.from(plain.replaceAll(/\s+/g, ''), 'base64').toString('utf8')
  return decoded.includes('-----BEGIN') ? decoded.trim() : plain
}

/** RFC 1421 headers of an encrypted key in the old form: the initial vector has 8 bytes for DES and 16 for AES. */
const procType = /Proc-Type:\s*4,ENCRYPTED/
const dekInfo = /DEK-Info:\s*(DES[A-Z0-9-]*,[0-9A-F]{16}|[A-Z0-9-]+,[0-9A-F]{32})/

/** A PEM block with its lines as they should be, whatever white space stands between its words, or none. */
function mendedBlock(label: string, body: string): string {
  const dek = dekInfo.exec(body)?.[1]
  const headers = dek === undefined ? [] : ['Proc-Type: 4,ENCRYPTED', `DEK-Info: ${dek}`]
  const base64 = body.replace(procType, '').replace(dekInfo, '').replaceAll(/\s+/g, '')
  const lines = base64.match(/.{1,64}/g) ?? []
  return [
    `-----BEGIN ${label}-----`,
    ...headers,
    ...(headers.length > 0 ? [''] : []),
    ...lines,
    `-----END ${label}-----`,
    '',
  ].join('\n')
}

function blocksOf(text: string): { label: string; pem: string }[] {
  const blocks = [...text.matchAll(/-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/g)]
  return blocks.map(([, label = '', body = '']) => ({ label, pem: mendedBlock(label, body) }))
}

/** Why a text holds no key that could be used. */
function explain(text: string): never {
  if (text.startsWith('PuTTY-User-Key-File'))
    return refuse(
      'is in PuTTY’s format',
      'convert it: `puttygen key.ppk -O private-openssh -o key`, and give the file `key`',
    )
  if (/^(ssh-|ecdsa-|sk-)\S+ AAAA|-----BEGIN [A-Z0-9 ]*PUBLIC KEY|---- BEGIN SSH2 PUBLIC/.test(text))
    return refuse(
      'is a public key',
      'give the file without .pub; the public one belongs into ~/.ssh/authorized_keys of the servers',
    )
  if (text.includes('-----BEGIN') && !text.includes('-----END'))
    return refuse('is cut off: its last line (-----END …) is missing', newKeyHint)
  if (text.includes('-----END') && !text.includes('-----BEGIN'))
    return refuse('is cut off: its first line (-----BEGIN …) is missing', newKeyHint)
  return refuse('is in no known form', newKeyHint)
}

/** What ssh2 cannot read, Node can: PKCS#8, and encrypted keys in the old form. */
function classic(pem: string, passphrase: string | null): string {
  const key = createPrivateKey({ key: pem, format: 'pem', ...(passphrase === null ? {} : { passphrase }) })
  if (key.asymmetricKeyType === 'rsa') return key.export({ type: 'pkcs1', format: 'pem' }).toString()
  if (key.asymmetricKeyType === 'ec') return key.export({ type: 'sec1', format: 'pem' }).toString()
  return refuse(`is of type ${key.asymmetricKeyType ?? 'unknown'} in PKCS#8 form, which SSH does not use`, newKeyHint)
}

const encrypted = (label: string, pem: string) =>
  label.startsWith('ENCRYPTED') || pem.includes('Proc-Type: 4,ENCRYPTED')

function parse(label: string, pem: string, passphrase: string | null): ParsedKey {
  if (label.includes('PUBLIC')) return explain(pem)
  const needsPassphrase = (cause: unknown) =>
    passphrase === null
      ? refuse(
          withoutPassphrase,
          'set the input ssh-key-passphrase; outside GitHub it is asked for on a terminal, or comes as INPUT_SSH_KEY_PASSPHRASE',
          cause,
        )
      : refuse(
          'does not open with this passphrase',
          'check the input ssh-key-passphrase: it has to be the one of this key',
          cause,
        )
  try {
    const text = label === 'OPENSSH PRIVATE KEY' ? pem : classic(pem, passphrase)
    const key: ParsedKey | Error = utils.parseKey(text, passphrase ?? undefined)
    if (key instanceof Error) throw key
    return Array.isArray(key) ? (key[0] ?? refuse('is empty', newKeyHint)) : key
  } catch (error) {
    if (error instanceof InputError) throw error
    const message = messageOf(error)
    if (encrypted(label, pem) || /encrypted|passphrase/i.test(message)) return needsPassphrase(error)
    return refuse(`cannot be read (${message})`, newKeyHint, error)
  }
}

/**
 * Every private key in `text`, in its order. Spaces, `\n`, CRLF and base64 in place of newlines are mended. Throws InputError, in
 * which nothing of the key is shown.
 */
export function readPrivateKeys(text: string, passphrase: string | null): readonly PrivateKey[] {
  const plain = unwrapped(text)
  const blocks = blocksOf(plain)
  if (blocks.length === 0) return explain(plain)
  return blocks.map(({ label, pem }) => {
    const parsed = parse(label, pem, passphrase)
    return { parsed, name: `${parsed.type} ${fingerprint(parsed.getPublicSSH())}` }
  })
}

/** Whether a passphrase is missing; whatever else is wrong with the text is not told here. */
export function isEncrypted(text: string): boolean {
  try {
    readPrivateKeys(text, null)
    return false
  } catch (error) {
    return error instanceof InputError && error.message.endsWith(withoutPassphrase)
  }
}
