import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManifestError } from '../../src/errors.ts'
import { formatProblem } from '../../src/manifest/problems.ts'
import { readAllEnvironments } from '../../src/manifest/read.ts'
import { base, readAll } from './reading.ts'

const large = readFileSync(new URL('fixtures/large.yml', import.meta.url), 'utf8').split('\n')

describe('a manifest of any text', () => {
  it('is read, or refused with problems that point into it', () => {
    const junk = fc.constantFrom(
      '',
      '- x',
      '  y: 1',
      'a: *b',
      '\tz',
      '[',
      '}',
      'null',
      "'",
      'roles: [q]',
      '    run:',
      '${{ x }}',
      'env: 1',
      '~',
      'servers: s.yml',
    )
    const edit = fc.record({
      at: fc.nat(large.length - 1),
      what: fc.constantFrom('drop', 'put', 'append', 'indent'),
      junk,
    })
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 4 }), edits => {
        const lines = [...large]
        for (const { at, what, junk: text } of edits) {
          if (what === 'drop') lines.splice(at, 1)
          else if (what === 'put') lines.splice(at, 0, text)
          else lines[at] = what === 'append' ? `${lines[at] ?? ''}${text}` : ` ${lines[at] ?? ''}`
        }
        try {
          readAllEnvironments({ file: 'deploy.yml', text: lines.join('\n') })
        } catch (error) {
          if (!(error instanceof ManifestError)) throw error
          expect(error.problems.length).toBeGreaterThan(0)
          for (const p of error.problems) {
            expect(p.file).toBe('deploy.yml')
            expect(lines[p.line - 1]).toBe(p.source)
            expect(p.column).toBeLessThanOrEqual(p.source.length + 1)
            expect(p.message).not.toMatch(/undefined|\[object|Invalid|NaN/)
            expect(formatProblem(p)).toContain('^')
          }
        }
      }),
      { numRuns: 200 },
    )
  })
  it('with ten thousand servers is read', () => {
    const [manifest] = readAll(base.replace('[{host: web1, roles: [web]}]', '["w[1-9999]", x]'))
    expect(manifest?.servers).toHaveLength(10_000)
  })
})
