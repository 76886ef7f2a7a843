import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createTerminal } from '../../src/report/terminal.ts'
import { screenOf } from '../support/terminal/screen.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
})
afterEach(() => {
  vi.useRealTimers()
})

/** A terminal whose time passes when it is told to. */
function fake(columns = 40) {
  const out = {
    width: columns,
    columns: () => out.width,
    isSlow: false,
    isBehind: () => out.isSlow,
    written: '',
    resized: null as (() => void) | null,
    write(text: string) {
      out.written += text.replaceAll('\n', '\r\n') // as a terminal's driver does (termios(3), ONLCR)
    },
    on(_: 'resize', listener: () => void) {
      out.resized = listener
    },
    off() {
      out.resized = null
    },
  }
  let [now, drawings] = [0, 0]
  const line = (width: number) => `line ${++drawings} of ${width}`
  const terminal = createTerminal({ out, line, now: () => now })
  const pass = (ms: number) => {
    for (let i = 0; i < ms; i++) {
      now++
      vi.advanceTimersByTime(1)
    }
  }
  return { out, terminal, pass, drawings: () => drawings, screen: () => screenOf(out.written, columns) }
}

describe('the log on a terminal', () => {
  it('has the line below it, and each piece of log in its place', () => {
    const t = fake()
    t.terminal.print('first')
    t.pass(200)
    t.terminal.print('second\nthird')
    expect(t.screen()).toEqual(['first', 'second', 'third', 'line 2 of 40'])
  })

  it('draws the line at most ten times a second, and at least once', () => {
    const t = fake()
    for (let i = 0; i < 2000; i++) {
      t.terminal.print('x')
      t.pass(1)
    }
    expect(t.drawings()).toBeGreaterThan(15)
    expect(t.drawings()).toBeLessThanOrEqual(21)
    const before = t.drawings()
    t.pass(5000)
    expect(t.drawings() - before).toBeGreaterThanOrEqual(5)
    expect(t.screen().at(-1)).toBe(`line ${t.drawings()} of 40`)
  })

  it('draws anew for another width', () => {
    const t = fake()
    t.terminal.print('log')
    t.pass(200)
    t.out.width = 20
    t.out.resized?.()
    expect(t.screen()).toEqual(['log', 'line 2 of 20'])
  })

  it('draws nothing for a terminal that does not keep up, and goes on when it does', () => {
    const t = fake()
    t.out.isSlow = true
    t.terminal.print('log')
    t.pass(60_000)
    t.out.resized?.()
    expect(t.screen()).toEqual(['log', ''])
    t.out.isSlow = false
    t.pass(1000)
    expect(t.screen()).toEqual(['log', 'line 1 of 40'])
  })

  it('is alone once it is closed, and has no timer left', () => {
    const t = fake()
    t.terminal.print('log')
    t.terminal.close()
    t.terminal.print('after')
    t.pass(3000)
    expect(t.screen()).toEqual(['log', 'after', ''])
    expect([t.out.resized, vi.getTimerCount()]).toEqual([null, 0])
  })

  it('takes away what was typed in between', () => {
    const t = fake()
    t.terminal.print('log')
    t.out.write('^C')
    t.terminal.print('ending')
    expect(t.screen().slice(0, 2)).toEqual(['log', 'ending'])
  })
})
