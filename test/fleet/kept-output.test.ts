import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keptOutput } from '../../src/fleet/kept-output.ts'

const keep = (limit: number, pieces: readonly Buffer[]) => {
  const kept = keptOutput(limit)
  for (const piece of pieces) kept.add(piece)
  return kept.text()
}
const cut = (text: string, size: number) => {
  const bytes = Buffer.from(text)
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size))
}

describe('kept output', () => {
  it('is the whole text as long as it fits, however it is cut', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 60 }),
        fc.integer({ min: 1, max: 9 }),
        fc.nat(50),
        (text, size, more) => {
          expect(keep(Buffer.byteLength(text) + more, cut(text, size))).toBe(text)
        },
      ),
    )
  })

  it('keeps beginning and end of a longer one, within its limit, and says how much is missing', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('a', 'b', 'é', '漢', '💾'), minLength: 30, maxLength: 200 }),
        fc.integer({ min: 1, max: 50 }),
        fc.integer({ min: 8, max: 29 }),
        (text, size, limit) => {
          const kept = keep(limit, cut(text, size))
          const [, head, dropped, tail] = /^(.*)\n\[(\d+) bytes left out\]\n(.*)$/s.exec(kept)!
          expect(text.startsWith(head!)).toBe(true)
          expect(text.endsWith(tail!)).toBe(true)
          expect(Number(dropped)).toBe(Buffer.byteLength(text) - limit)
          // Whole characters: at most three bytes are lost at each side of the cut.
          expect(Buffer.byteLength(head! + tail!)).toBeLessThanOrEqual(limit)
          expect(Buffer.byteLength(head! + tail!)).toBeGreaterThanOrEqual(limit - 6)
        },
      ),
    )
  })

  it('does not hold the large buffers that its pieces were views of', () => {
    const kept = keptOutput(10)
    const large = Buffer.from('abcdefghijklmnopqrstuvwxyz')
    kept.add(large.subarray(0, 4))
    large.fill('-')
    expect(kept.text()).toBe('abcd')
  })
})
