import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import { InputError } from '../../src/errors.ts'
import { parseHostKeys, parseKnownHosts } from '../../src/fleet/known-hosts.ts'
import { newKey } from '../support/ssh-keys.ts'

const root = mkdtempSync(join(tmpdir(), 'known-hosts-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const ed = newKey('ed25519').publicKey
const ecdsa = newKey('ecdsa').publicKey
const other = newKey('ed25519').publicKey

/** Types and places of what is known for a host. */
const known = (text: string, host: string, port = 22) =>
  parseKnownHosts(text)
    .lookup(host, port)
    .map(k => `${k.revoked ? 'revoked ' : ''}${k.otherPort ? 'port-22 ' : ''}${k.type} ${k.where}`)

/** Whether ssh-keygen finds the host in that file. */
function opensshFinds(text: string, name: string): boolean {
  const file = join(root, 'known_hosts')
  writeFileSync(file, text)
  try {
    return execFileSync('ssh-keygen', ['-F', name, '-f', file], { stdio: ['ignore', 'pipe', 'ignore'] }).length > 0
  } catch {
    return false
  }
}

describe('known_hosts', () => {
  it('knows plain names, lists, ports and several key types', () => {
    const text = `# servers\n\nweb1,10.0.0.1 ${ed} a comment\nweb1 ${ecdsa}\r\n[web1]:2222 ${other}\n`
    expect(known(text, 'web1')).toEqual(['ssh-ed25519 known_hosts line 3', 'ecdsa-sha2-nistp256 known_hosts line 4'])
    expect(known(text, '10.0.0.1')).toEqual(['ssh-ed25519 known_hosts line 3'])
    expect(known(text, 'web2')).toEqual([])
    expect(known(text, 'WEB1')).toHaveLength(2)
  })

  it('knows a host on another port by its own line, and marks what is known for port 22 only', () => {
    const text = `web1 ${ed}\n[web1]:2222 ${other}\n`
    expect(known(text, 'web1', 2222)).toEqual([
      'ssh-ed25519 known_hosts line 2',
      'port-22 ssh-ed25519 known_hosts line 1',
    ])
    expect(known(text, 'web1', 22)).toEqual(['ssh-ed25519 known_hosts line 1'])
  })

  it('knows wildcards and exceptions from them', () => {
    const text = `*.example.com,!db?.example.com ${ed}\n`
    expect(known(text, 'web1.example.com')).toHaveLength(1)
    expect(known(text, 'db1.example.com')).toHaveLength(0)
    expect(known(text, 'db10.example.com')).toHaveLength(1)
    expect(known(text, 'example.com')).toHaveLength(0)
    expect(known(`*.example.com ${ed}\n`, 'webXexampleXcom')).toHaveLength(0)
  })

  it('honours @revoked, and warns of @cert-authority, which it does not use', () => {
    const hosts = parseKnownHosts(`@revoked * ${other}\n@cert-authority *.example.com ${ed}\nweb1 ${ed}\n`)
    expect(hosts.lookup('web1', 22).map(k => k.revoked)).toEqual([true, false])
    expect(hosts.lookup('web1.example.com', 22)).toHaveLength(1)
    expect(hosts.warnings).toHaveLength(1)
    expect(hosts.warnings[0]).toContain('known_hosts line 2')
  })

  it('reads the hashed names that ssh-keygen -H writes', () => {
    const file = join(root, 'hashed')
    writeFileSync(file, `web1 ${ed}\n[10.0.0.1]:2222 ${ecdsa}\n`)
    execFileSync('ssh-keygen', ['-H', '-f', file], { stdio: 'ignore' })
    const text = readFileSync(file, 'utf8')
    expect(text).not.toContain('web1')
    expect(known(text, 'web1')).toEqual(['ssh-ed25519 known_hosts line 1'])
    expect(known(text, '10.0.0.1', 2222)).toEqual(['ecdsa-sha2-nistp256 known_hosts line 2'])
    expect(known(text, '10.0.0.1')).toEqual([])
  })

  it('finds a host exactly where OpenSSH does', () => {
    const pattern = fc
      .array(fc.constantFrom('a', 'b', '.', '*', '?', 'A'), { minLength: 1, maxLength: 4 })
      .map(p => p.join(''))
    const patterns = fc.array(fc.tuple(fc.boolean(), pattern), { minLength: 1, maxLength: 3 })
    const host = fc.array(fc.constantFrom('a', 'b', '.', 'A'), { minLength: 1, maxLength: 4 }).map(p => p.join(''))
    fc.assert(
      fc.property(patterns, host, (list, name) => {
        const text = `${list.map(([no, p]) => (no ? `!${p}` : p)).join(',')} ${ed}\n`
        expect(known(text, name).length > 0, `${name} in ${text}`).toBe(opensshFinds(text, name))
      }),
      { numRuns: 60 },
    )
  })

  it('names every bad line with what is wrong', () => {
    const text = [
      'web1',
      `web1 ssh-ed25519 AAA!`,
      `web1 ssh-rsa ${ed.split(' ')[1]}`,
      'web1 1024 35 1234567',
      `@unknown web1 ${ed}`,
      `|1|abc ${ed}`,
      `web1 ssh-ed25519 AAAA`,
      `web1 ${ed}`,
    ].join('\n')
    let message = ''
    try {
      parseKnownHosts(text, '.github/known_hosts')
    } catch (error) {
      expect(error).toBeInstanceOf(InputError)
      message = (error as Error).message
    }
    expect(message.split('\n')).toEqual([
      '.github/known_hosts line 1: host names, key type and key are expected',
      '.github/known_hosts line 2: the key is not base64',
      '.github/known_hosts line 3: the key is of type ssh-ed25519, not ssh-rsa',
      '.github/known_hosts line 4: a key of SSH version 1; take a new one with ssh-keyscan',
      '.github/known_hosts line 5: @unknown is not known',
      '.github/known_hosts line 6: a hashed host name is |1|salt|hash',
      '.github/known_hosts line 7: the key is cut off, or is none',
    ])
  })
})

describe('host_key of a server', () => {
  it('is read as it stands, and a bad one is named', () => {
    expect(parseHostKeys([ed, `  ${ecdsa} comment`], 'host_key of web1').map(k => k.type)).toEqual([
      'ssh-ed25519',
      'ecdsa-sha2-nistp256',
    ])
    expect(() => parseHostKeys(['SHA256:abc'], 'host_key of web1')).toThrow('host_key of web1: ')
  })
})
