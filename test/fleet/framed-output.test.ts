import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { framedOutput } from '../../src/fleet/framed-output.ts'

const token = 'a1b2'

/** What comes out of a stream that arrives in pieces cut at these places. */
function through(stream: Buffer, cuts: readonly number[]) {
  const pieces: Buffer[] = []
  const frame = framedOutput(token, bytes => pieces.push(Buffer.from(bytes)))
  const places = [0, ...cuts.map(c => c % (stream.length + 1)).sort((a, b) => a - b), stream.length]
  for (let i = 1; i < places.length; i++) frame.push(stream.subarray(places[i - 1], places[i]))
  return { frame, out: () => Buffer.concat(pieces) }
}

const cuts = fc.array(fc.nat(500), { maxLength: 30 })
/** Bytes among which beginnings of the marks are frequent. */
const bytes = fc
  .array(fc.oneof(fc.constantFrom('>', '<', '>a1', '>a1b', '<a1b', 'x\n', 'é'), fc.string({ maxLength: 5 })), {
    maxLength: 40,
  })
  .map(parts => Buffer.from(parts.join('')))
  .filter(b => !b.includes(`>${token}`))
const noise = bytes.filter(b => !b.includes(`<${token}`))

describe("a script's own output", () => {
  it('is what stands between the marks, however it is cut', () => {
    fc.assert(
      fc.property(noise, bytes, bytes, cuts, (before, own, after, at) => {
        const stream = Buffer.concat([before, Buffer.from(`<${token} 4711\n`), own, Buffer.from(`>${token}\n`), after])
        const { frame, out } = through(stream, at)
        expect(out().equals(own)).toBe(true)
        expect(frame.complete()).toBe(true)
        expect(frame.group()).toBe(4711)
      }),
    )
  })

  it('is given out to its last byte when no mark ends it', () => {
    fc.assert(
      fc.property(bytes, cuts, (own, at) => {
        const { frame, out } = through(Buffer.concat([Buffer.from(`<${token} 99\n`), own]), at)
        frame.end()
        expect(out().equals(own)).toBe(true)
        expect(frame.complete()).toBe(false)
      }),
    )
  })

  it('is handed on at once, except for what may be the beginning of a mark', () => {
    const pieces: string[] = []
    const frame = framedOutput(token, b => pieces.push(b.toString()))
    frame.push(Buffer.from(`<${token} 99\nworking`))
    frame.push(Buffer.from('… >a1'))
    frame.push(Buffer.from('x'))
    expect(pieces).toEqual(['working', '… ', '>a1x'])
  })

  it('keeps the end of what came before, for saying why nothing started', () => {
    const frame = framedOutput(token, () => undefined)
    frame.push(Buffer.from('x'.repeat(100_000)))
    frame.push(Buffer.from('This account is not available.'))
    expect(frame.before().toString()).toMatch(/This account is not available\.$/)
    expect(frame.before().length).toBeLessThan(5000)
    expect(frame.group()).toBeNull()
  })

  it('takes no process group that would be everybody, or none', () => {
    for (const group of ['1', '0', '-1', '-5', '12; reboot', 'x', '99999999999']) {
      const frame = framedOutput(token, () => undefined)
      frame.push(Buffer.from(`<${token} ${group}\n`))
      expect(frame.group(), group).toBeNull()
    }
  })
})
