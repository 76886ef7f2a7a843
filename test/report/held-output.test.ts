import { describe, expect, it } from 'vitest'
import { createHeldOutput } from '../../src/report/held-output.ts'

describe('output that is shown later', () => {
  it('is whole while it is small', () => {
    const held = createHeldOutput()
    held.add('web1', ['a', 'b'])
    held.add('web1', ['c'])
    expect(held.take('web1')).toEqual(['a', 'b', 'c'])
    expect(held.take('web1')).toEqual([])
  })
  it('loses its middle when it is large, and says how much; start and end are there, in order', () => {
    const held = createHeldOutput()
    const lines = Array.from({ length: 300_000 }, (_, i) => String(i))
    held.add('web1', lines)
    const shown = held.take('web1')
    const note = shown.findIndex(line => line.includes('left out here'))
    const left = Number(/\d+/.exec(shown[note] ?? '')?.[0])
    expect(shown.slice(0, note)).toEqual(lines.slice(0, note))
    expect(shown.slice(note + 1)).toEqual(lines.slice(note + left))
    expect(shown.length - 1 + left).toBe(lines.length)
  })
})
