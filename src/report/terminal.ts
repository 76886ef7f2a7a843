/**
 * Writes a log with a line below it that is always drawn anew: the progress line. The cursor is parked at that line's start, so that a
 * terminal that was made narrower, and may have broken it into several, is cleared from there to its end. The cursor is never hidden, nor any
 * other mode of the terminal changed: whatever ends this program, there is nothing to restore.
 */

export interface TerminalOptions {
  /** stdout, or what stands in for it. */
  readonly out: {
    columns(): number | undefined
    write(text: string): unknown
    /** It does not keep up: drawings would only wait, and be old when they are shown. */
    isBehind(): boolean
    on(event: 'resize', listener: () => void): unknown
    off(event: 'resize', listener: () => void): unknown
  }
  /** What the line says, in at most so many columns. */
  readonly line: (columns: number) => string
  /** Milliseconds that never go back. */
  readonly now: () => number
}

export interface Terminal {
  /** Lines of the log, without the end of the last. */
  print(text: string): void
  /** Takes the line away for good; what is printed after it stands alone. */
  close(): void
}

/** Milliseconds between two drawings, at least; and at most, for the times in it. */
const soonest = 100
const latest = 1000
const clear = '\r\x1b[J'
const usualColumns = 80

export function createTerminal({ out, line, now }: TerminalOptions): Terminal {
  let drawnAt = Number.NEGATIVE_INFINITY
  let isClosed = false
  let soon: NodeJS.Timeout | null = null

  /** The line and what clears it, if it may be drawn now; else it will be. */
  const drawing = (): string => {
    const wait = drawnAt + soonest - now()
    if (isClosed || out.isBehind()) return ''
    if (wait > 0) {
      soon ??= setTimeout(later, wait).unref()
      return ''
    }
    if (soon !== null) clearTimeout(soon)
    soon = null
    drawnAt = now()
    return `${line(out.columns() || usualColumns)}\r`
  }
  const later = () => {
    soon = null
    draw()
  }
  const draw = () => {
    const text = drawing()
    if (text !== '') out.write(`${clear}${text}`)
  }
  const ticks = setInterval(draw, latest).unref()
  out.on('resize', draw)

  return {
    print: text => {
      if (isClosed) return void out.write(`${text}\n`)
      // Also where nothing is drawn: what was typed (^C) may stand there.
      out.write(`${clear}${text}\n${drawing()}`)
    },
    close() {
      if (isClosed) return
      isClosed = true
      clearInterval(ticks)
      if (soon !== null) clearTimeout(soon)
      out.off('resize', draw)
      out.write(clear)
    },
  }
}
