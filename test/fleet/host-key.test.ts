import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { type Decision, decide, fingerprint, hostKeyAlgorithms, judge, type Shown } from '../../src/fleet/host-key.ts'
import { parseHostKeys, parseKnownHosts } from '../../src/fleet/known-hosts.ts'
import { newKey } from '../support/ssh-keys.ts'

const a = newKey('ed25519').publicKey
const b = newKey('ed25519').publicKey
const rsa = newKey('rsa').publicKey
const blob = (key: string) => Buffer.from(key.split(' ')[1]!, 'base64')
const hosts = (text: string, port = 22) => parseKnownHosts(text).lookup('web1', port)

describe('the verdict on a host key', () => {
  it.each([
    ['known', a, `web1 ${a}\n`, 22],
    ['known', a, `web1 ${b}\nweb1 ${a}\n`, 22],
    ['unknown', a, '', 22],
    ['unknown', a, `web2 ${a}\n`, 22],
    ['changed', a, `web1 ${b}\n`, 22],
    ['changed', a, `web1 ${rsa}\n`, 22],
    ['revoked', a, `web1 ${a}\n@revoked * ${a}\n`, 22],
    ['unknown', a, `@revoked * ${b}\n`, 22],
    ['known', a, `web1 ${a}\n`, 2222],
    ['unknown', a, `web1 ${b}\n`, 2222],
    ['changed', a, `[web1]:2222 ${b}\n`, 2222],
  ])('is %s', (verdict, shown, text, port) => {
    expect(judge(blob(shown), hosts(text, port))).toBe(verdict)
  })

  it('shows the fingerprint that ssh-keygen shows', () => {
    const [, theirs] = execFileSync('ssh-keygen', ['-l', '-f', '-'], { input: a, encoding: 'utf8' }).split(' ')
    expect(fingerprint(blob(a))).toBe(theirs)
  })

  it('asks for the known types first, and for the others after them', () => {
    expect(hostKeyAlgorithms(hosts(`web1 ${rsa}\n`)).slice(0, 3)).toEqual(['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'])
    expect(hostKeyAlgorithms(hosts(`@revoked web1 ${rsa}\n`))[0]).toBe('ssh-ed25519')
    const all = hostKeyAlgorithms([])
    for (const types of [hosts(`web1 ${rsa}\n`), hosts(`web1 ${a}\nweb1 ${rsa}\n`)])
      expect([...hostKeyAlgorithms(types)].sort()).toEqual([...all].sort())
  })
})

describe('the decision on a host', () => {
  const shown = (more: Partial<Shown>): Shown => ({
    name: 'web1',
    host: 'web1.example.com',
    port: 2222,
    key: blob(a),
    known: [],
    strict: true,
    ...more,
  })
  const errorOf = (decision: Decision) => {
    if (decision.accept) throw new Error('a refusal was expected')
    return decision.error
  }
  const line = `[web1.example.com]:2222 ${a}`

  it('says of an unknown host what it showed and which line would make it known', () => {
    const error = errorOf(decide(shown({})))
    expect(error.message).toContain('web1.example.com port 2222')
    expect(error.message).toContain(`ssh-ed25519 ${fingerprint(blob(a))}`)
    expect(error.hint).toContain('out of band')
    expect(error.hint?.split('\n').at(-1)).toBe(line)
  })

  it('writes a line that makes the host known', () => {
    const hint =
      errorOf(decide(shown({})))
        .hint?.split('\n')
        .at(-1) ?? ''
    const known = parseKnownHosts(hint).lookup('web1.example.com', 2222)
    expect(decide(shown({ known }))).toEqual({ accept: true })
  })

  it('says of a changed one what was expected, and from where', () => {
    const error = errorOf(decide(shown({ known: parseHostKeys([b, rsa], 'host_key of web1') })))
    for (const key of [a, b, rsa]) expect(error.message).toContain(fingerprint(blob(key)))
    expect(error.message).toContain('host_key of web1')
    expect(error.hint?.split('\n').at(-1)).toBe(line)
  })

  it('accepts an unknown one without strictness, with a warning; a changed or revoked one never', () => {
    const lax = decide(shown({ strict: false }))
    expect(lax).toMatchObject({ accept: true, warning: expect.stringContaining(fingerprint(blob(a))) })
    expect(decide(shown({ strict: false, known: parseHostKeys([b], 'x') })).accept).toBe(false)
    expect(decide(shown({ strict: false, known: hosts(`@revoked * ${a}\n`) })).accept).toBe(false)
  })
})
