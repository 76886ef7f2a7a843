import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createLagging } from '../../src/report/lagging.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** A terminal that takes `room` bytes until it is given more. */
function slow(most?: number) {
  const terminal = { room: 0, isGone: false, shown: Buffer.alloc(0) }
  const lagging = createLagging({
    take(bytes) {
      if (terminal.isGone) throw new Error('EIO')
      const taken = Math.min(bytes.length, terminal.room)
      terminal.room -= taken
      terminal.shown = Buffer.concat([terminal.shown, bytes.subarray(0, taken)])
      return taken
    },
    ...(most === undefined ? {} : { most }),
  })
  const give = (room: number) => {
    terminal.room = room
    vi.advanceTimersByTime(100)
  }
  return { terminal, lagging, give, shown: () => terminal.shown.toString() }
}
const everything = Number.POSITIVE_INFINITY

describe('what is written to a terminal', () => {
  it('waits while it is stopped, and comes whole and in order when it goes on, however slowly', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 40 })), fc.array(fc.nat(30)), (texts, rooms) => {
        const { lagging, give, shown } = slow()
        for (const text of texts) lagging.write(text)
        for (const room of rooms) give(room)
        for (const text of texts) lagging.write(text)
        give(everything)
        expect(shown()).toBe(Buffer.from([...texts, ...texts].join('')).toString())
        expect([lagging.isBehind(), vi.getTimerCount()]).toEqual([false, 0])
      }),
    )
  })

  it('is out at once where it keeps up', () => {
    const { terminal, lagging, shown } = slow()
    terminal.room = everything
    lagging.write('one\n')
    expect([shown(), lagging.isBehind(), vi.getTimerCount()]).toEqual(['one\n', false, 0])
  })

  it('is bounded: of more the first and the last are kept, and a sentence counts the lines that are not', () => {
    const { lagging, give, shown } = slow(200_000)
    const lines = Array.from({ length: 50_000 }, (_, i) => `line ${i}`)
    for (const line of lines) lagging.write(`${line}\n`)
    give(everything)
    const all = shown().split('\n')
    const at = all.findIndex(line => line.startsWith('…'))
    const left = Number(/^… (\d+) lines are not shown/.exec(all[at] ?? '')?.[1])
    expect(shown().length).toBeLessThan(210_000)
    const kept = all.filter(line => line.startsWith('line'))
    expect(kept.length + left).toBe(50_000)
    expect(all.slice(0, at - 1)).toEqual(lines.slice(0, at - 1))
    expect(all.slice(at + 1, -1)).toEqual(lines.slice(at - 1 + left))
    expect(at).toBeGreaterThan(1000)
    lagging.write('and on\n')
    expect(shown()).toMatch(/line 49999\nand on\n$/)
  })

  it('is given up silently once the terminal is gone', async () => {
    const { terminal, lagging } = slow()
    lagging.write('log\n')
    const flushed = lagging.flushed()
    terminal.isGone = true
    vi.advanceTimersByTime(100)
    await flushed
    lagging.write('more\n')
    expect([lagging.isBehind(), vi.getTimerCount()]).toEqual([false, 0])
  })

  it('can be waited for, and for a bounded time also without any event', async () => {
    const { terminal, lagging, give } = slow()
    lagging.write('log\n')
    let isOut = false
    const flushed = lagging.flushed().then(() => {
      isOut = true
    })
    give(2)
    await Promise.resolve()
    expect(isOut).toBe(false)
    lagging.flushNow(20)
    expect(lagging.isBehind()).toBe(true)
    terminal.room = everything
    lagging.flushNow(60_000)
    await flushed
    expect(lagging.isBehind()).toBe(false)
  })
})
