import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createRedactor } from '../../src/report/redact.ts'

const secret = `p4$$ "w/ö'rd\\`
const { redact } = createRedactor([secret])

/** Text cut into pieces at arbitrary places. */
const pieces = (text: string, cuts: readonly number[]) => {
  const at = [0, ...cuts.map(n => n % (text.length + 1)).sort((a, b) => a - b), text.length]
  return at.slice(1).map((to, i) => text.slice(at[i], to))
}

const small = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 40 })
const smallSecrets = fc.array(fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 4, maxLength: 7 }), {
  maxLength: 4,
})

describe('redaction', () => {
  it('takes a secret out in every form tools print it again', () => {
    const forms = [
      secret,
      JSON.stringify({ secret }),
      encodeURIComponent(secret),
      new URLSearchParams({ secret }).toString().replace('secret=', ''),
      Buffer.from(secret).toString('base64'),
      Buffer.from(secret).toString('base64url'),
      `'${secret.replaceAll("'", `'\\''`)}'`,
    ]
    for (const form of forms.filter(f => !f.includes('%27'))) {
      const left = redact(`before ${form} after`)
      expect(left, form).toContain('***')
      expect(left).toMatch(/^before .{0,20}\*\*\*.{0,6} after$/)
    }
  })

  it('takes out what bash prints for it with printf %q and set -x', () => {
    for (const value of [secret, 'abc def;ghi', "it's"]) {
      const printed = spawnSync('bash', ['-c', 'printf "%q\\n" "$1"; set -x; : "$1"', 'x', value], {
        encoding: 'utf8',
        env: { LC_ALL: 'C.UTF-8', PATH: process.env['PATH'] },
      })
      const left = createRedactor([value]).redact(printed.stdout + printed.stderr)
      expect(left).not.toContain(value.slice(0, 4))
    }
  })

  it('takes out base64 of a text that has the secret anywhere in it', () => {
    const value = 'correct horse battery staple'
    const cleaned = createRedactor([value])
    fc.assert(
      fc.property(fc.string({ maxLength: 9 }), fc.string({ maxLength: 9 }), (before, after) => {
        const left = cleaned.redact(Buffer.from(before + value + after).toString('base64')).split('***')
        expect(left.length).toBeGreaterThan(1)
        for (const part of left) expect(Buffer.from(part, 'base64').toString('latin1')).not.toMatch(/horse|battery/)
      }),
    )
  })

  it('takes each line of a secret out, and wrapped base64 of a long one', () => {
    const key = `-----BEGIN KEY-----\n${'QUJDREVGRw'.repeat(6)}\n${'aGlqa2xtbm'.repeat(6)}\n-----END KEY-----\n`
    const cleaned = createRedactor([key])
    expect(cleaned.redact(`x\r\n  ${'aGlqa2xtbm'.repeat(6)}\r\ny`)).toBe('x\r\n  ***\r\ny')
    const wrapped = Buffer.from(key).toString('base64').replace(/.{76}/g, '$&\n')
    for (const line of cleaned.redact(wrapped).split('\n')) expect(line.replaceAll('***', '').length).toBeLessThan(8)
  })

  it('leaves short values alone and says how many', () => {
    const short = createRedactor(['1', 'abc', '', 'long enough', '{\n  "a": 1\n}'])
    expect(short.tooShort).toBe(2)
    expect(short.redact('1 abc { }')).toBe('1 abc { }')
    expect(short.redact('{\n  "a": 1\n}')).toBe('***')
  })

  it('leaves text without a secret as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), text => {
        expect(createRedactor(['never in there!']).redact(text)).toBe(text)
      }),
    )
    expect(createRedactor([]).redact('text')).toBe('text')
  })

  it('leaves no secret, whatever overlaps', () => {
    fc.assert(
      fc.property(small, smallSecrets, (text, secrets) => {
        const left = createRedactor(secrets).redact(text)
        for (const one of secrets) expect(left).not.toContain(one)
      }),
      { numRuns: 1000 },
    )
  })

  it('takes out a secret that stands inside the beginning of another one', () => {
    const cleaned = createRedactor(['<token:abcd>', 'token', 'abcd'])
    expect(cleaned.redact('<token:abcd; <token!')).toBe('<***:***; <***!')
    expect(cleaned.redact('<token:abcd>')).toBe('***')
  })

  it('takes out exactly what some form covers', () => {
    fc.assert(
      fc.property(small, smallSecrets, (text, secrets) => {
        const covered = Array.from({ length: text.length }, () => false)
        for (const one of secrets)
          for (let at = text.indexOf(one); at >= 0; at = text.indexOf(one, at + 1))
            covered.fill(true, at, at + one.length)
        const expected = [...text].map((c, i) => (!covered[i] ? c : covered[i - 1] ? '' : '***')).join('')
        // Derived forms of such short words (base64) do not occur in texts of a, b and c: those hold no digit or capital.
        expect(createRedactor(secrets).redact(text)).toBe(expected)
      }),
      { numRuns: 1000 },
    )
  })

  it('gives the same for a text in pieces as for the whole', () => {
    fc.assert(
      fc.property(small, smallSecrets, fc.array(fc.nat(), { maxLength: 8 }), (text, secrets, cuts) => {
        const cleaned = createRedactor(secrets)
        const stream = cleaned.redactStream()
        const out = pieces(text, cuts).map(stream.push).join('') + stream.end()
        expect(out).toBe(cleaned.redact(text))
      }),
      { numRuns: 1000 },
    )
  })

  it('holds back only what may become a secret', () => {
    const stream = createRedactor(['hunter22']).redactStream()
    expect(stream.push('the password is hun')).toBe('the password is ')
    expect(stream.push('ter')).toBe('')
    expect(stream.push('22!')).toBe('***!')
    expect(stream.push('hun')).toBe('')
    expect(stream.end()).toBe('hun')
  })

  it('does not slow down with a long secret of one letter', () => {
    const cleaned = createRedactor(['a'.repeat(40_000)])
    const text = `${'a'.repeat(39_999)}b`.repeat(25)
    expect(cleaned.redact(text)).toBe(text)
  })
})
