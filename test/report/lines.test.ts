import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLines } from '../../src/report/lines.ts'

describe('lines', () => {
  it('are the same however the text is cut into pieces', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '\r\n', ' '), maxLength: 60 })
    fc.assert(
      fc.property(text, fc.array(fc.nat(), { maxLength: 9 }), (all, cuts) => {
        const lines = createLines()
        const at = [0, ...cuts.map(n => n % (all.length + 1)).sort((a, b) => a - b), all.length]
        const got = at.slice(1).flatMap((to, i) => lines.push('web1', 'out', all.slice(at[i], to)))
        const whole = all.split(/\r?\n/)
        const rest = whole.pop() ?? ''
        expect(got).toEqual(whole)
        // A \r at the very end may be the first half of a line end.
        expect(lines.end('web1').map(line => line.replace(/\r$/, ''))).toEqual(
          rest.trim() === '' ? [] : [rest.replace(/\r$/, '')],
        )
      }),
      { numRuns: 500 },
    )
  })

  it('keep servers and streams apart', () => {
    const lines = createLines()
    lines.push('web1', 'out', 'a')
    lines.push('web2', 'out', 'b')
    lines.push('web1', 'err', 'c')
    expect(lines.push('web1', 'out', 'A\n')).toEqual(['aA'])
    expect(lines.push('web2', 'out', 'B\n')).toEqual(['bB'])
    expect(lines.end('web1')).toEqual(['c'])
    expect(lines.end('web1')).toEqual([])
  })

  it('hold no more than a bounded piece of a line that never ends', () => {
    const lines = createLines()
    const given = 'x'.repeat(100_000)
    const got = lines.push('web1', 'out', given)
    expect(got.join('') + lines.end('web1').join('')).toBe(given)
    expect(Math.max(...got.map(line => line.length))).toBeLessThanOrEqual(16_384)
  })

  it('forget the states of a progress bar that were written over', () => {
    const lines = createLines()
    for (let i = 0; i < 1000; i++) expect(lines.push('web1', 'out', `\r${i} % ${'='.repeat(50)}`)).toEqual([])
    expect(lines.end('web1').join('')).toContain('999 %')
    expect(lines.end('web1')).toEqual([])
  })
})
