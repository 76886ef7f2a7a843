import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { InputError } from '../../src/errors.ts'
import { readPrivateKeys } from '../../src/fleet/private-keys.ts'
import { newKey } from '../support/ssh-keys.ts'

const ed = newKey('ed25519')
const rsa = newKey('rsa')
const locked = newKey('ed25519', 'open sesame')

/** The public halves of what was read. */
const publics = (text: string, passphrase: string | null = null) =>
  readPrivateKeys(text, passphrase).map(k => `${k.parsed.type} ${k.parsed.getPublicSSH().toString('base64')}`)

function refusal(text: string, passphrase: string | null = null): InputError {
  try {
    readPrivateKeys(text, passphrase)
  } catch (error) {
    if (error instanceof InputError) return error
    throw error
  }
  throw new Error('a refusal was expected')
}

const damages = {
  nothing: (t: string) => t,
  'no newline at the end': (t: string) => t.trimEnd(),
  CRLF: (t: string) => t.replaceAll('\n', '\r\n'),
  'spaces for newlines': (t: string) => t.replaceAll('\n', ' '),
  'backslash n for newlines': (t: string) => t.replaceAll('\n', '\\n'),
  'backslash r n for newlines': (t: string) => t.replaceAll('\n', '\\r\\n'),
  'no newlines at all': (t: string) => t.replaceAll('\n', ''),
  'indented, with blank lines': (t: string) => `\n\n${t.replaceAll(/^/gm, '    ').replaceAll('\n', '\n\n')}`,
  base64: (t: string) => Buffer.from(t).toString('base64'),
  'base64 in lines': (t: string) => Buffer.from(t).toString('base64').replaceAll(/.{60}/g, '$&\n'),
  'a byte order mark': (t: string) => `\uFEFF${t}`,
}

describe('private keys', () => {
  for (const [what, damage] of Object.entries(damages)) {
    it(`are read with ${what}`, () => {
      expect(publics(damage(ed.privateKey))).toEqual([ed.publicKey])
    })
    it(`are read with ${what}, encrypted in the old form`, () => {
      const pair = generateKeyPairSync('rsa', {
        modulusLength: 2048,
        publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
        privateKeyEncoding: { type: 'pkcs1', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'old' },
      })
      expect(pair.privateKey).toContain('DEK-Info')
      expect(publics(damage(pair.privateKey), 'old')).toEqual([expect.stringContaining('ssh-rsa ')])
    })
    it(`are read when there are several, with ${what}`, () => {
      expect(publics(damage(ed.privateKey + rsa.privateKey))).toEqual([ed.publicKey, rsa.publicKey])
    })
  }

  it('are read in the forms that other tools write', () => {
    for (const [type, format] of [
      ['rsa', 'pkcs1'],
      ['rsa', 'pkcs8'],
      ['ec', 'sec1'],
      ['ec', 'pkcs8'],
    ] as const) {
      const { privateKey } =
        type === 'rsa'
          ? generateKeyPairSync('rsa', { modulusLength: 2048 })
          : generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const pem = privateKey.export({ type: format as 'pkcs8', format: 'pem' }).toString()
      expect(publics(pem), `${type} ${format}`).toHaveLength(1)
      const [read] = readPrivateKeys(pem, null)
      const signature = read!.parsed.sign('text', type === 'rsa' ? 'sha256' : undefined)
      expect(read!.parsed.verify('text', signature, type === 'rsa' ? 'sha256' : undefined)).toBe(true)
    }
  })

  it('open with their passphrase, and a passphrase does no harm to one without', () => {
    expect(publics(locked.privateKey, 'open sesame')).toEqual([locked.publicKey])
    expect(publics(ed.privateKey + locked.privateKey, 'open sesame')).toEqual([ed.publicKey, locked.publicKey])
  })

  it.each([
    ['encrypted, no passphrase', locked.privateKey, null, /is encrypted/, /ssh-key-passphrase/],
    [
      'encrypted, wrong passphrase',
      locked.privateKey,
      'wrong',
      /does not open with this passphrase/,
      /ssh-key-passphrase/,
    ],
    ['PuTTY', 'PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n', null, /PuTTY/, /puttygen/],
    ['public', `${ed.publicKey} me@laptop`, null, /is a public key/, /without \.pub/],
    [
      'public PEM',
      '-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n',
      null,
      /is a public key/,
      /without \.pub/,
    ],
    ['no last line', ed.privateKey.split('\n').slice(0, -2).join('\n'), null, /last line/, /first and last line/],
    ['no first line', ed.privateKey.split('\n').slice(1).join('\n'), null, /first line/, /first and last line/],
    ['something else', 'hunter2', null, /in no known form/, /ssh-keygen/],
    ['a body cut short', ed.privateKey.split('\n').toSpliced(2, 2).join('\n'), null, /cannot be read/, /ssh-keygen/],
    [
      'ed25519 as PKCS#8',
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      null,
      /PKCS#8/,
      /ssh-keygen/,
    ],
  ])('say what is wrong with: %s', (_what, text, passphrase, message, hint) => {
    const error = refusal(text, passphrase)
    expect(error.message).toMatch(message)
    expect(error.hint).toMatch(hint)
  })

  it('say so of a wrong or missing passphrase in every encrypted form', () => {
    for (const type of ['pkcs1', 'pkcs8'] as const) {
      const pem = generateKeyPairSync('rsa', { modulusLength: 2048 })
        .privateKey.export({ type: type as 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'right' })
        .toString()
      expect(publics(pem, 'right')).toHaveLength(1)
      expect(refusal(pem, 'wrong').message).toMatch(/does not open with this passphrase/)
      expect(refusal(pem).message).toMatch(/is encrypted/)
    }
  })

  it('are never shown in an error', () => {
    fc.assert(
      fc.property(fc.nat(10), fc.integer({ min: 1, max: 4 }), (at, count) => {
        const lines = ed.privateKey.split('\n').toSpliced(at, count)
        try {
          readPrivateKeys(lines.join('\n'), null)
        } catch (error) {
          const said = String(error) + ((error as InputError).hint ?? '')
          for (const line of ed.privateKey.split('\n').slice(1, -2)) expect(said).not.toContain(line.slice(0, 30))
        }
      }),
    )
  })
})
