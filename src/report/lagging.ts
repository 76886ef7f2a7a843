/**
 * Text for a reader that may take nothing for hours: a terminal stopped by Ctrl-S, an SSH session that stalls. It waits here, and the run goes
 * on. What waits is bounded: of more, the first and the last are kept, and a sentence says that the middle is not shown.
 */

export interface LaggingOptions {
  /** How many bytes were taken; 0: none now. Never waits. Throws once the reader is gone for good. */
  readonly take: (bytes: Uint8Array) => number
  /** Bytes that may wait: half of them the first, half the last. */
  readonly most?: number
}

export interface Lagging {
  readonly write: (text: string) => void
  /** Something waits: the reader does not keep up. */
  readonly isBehind: () => boolean
  /** Once all of it is taken, or the reader is gone. */
  readonly flushed: () => Promise<void>
  /** For a process that ends at once: waits without any event, at most so many milliseconds. */
  readonly flushNow: (ms: number) => void
}

const usualMost = 16 * 1024 * 1024
/** Milliseconds until it is tried again: soon for a terminal that is only slow. */
const [soonest, latest] = [5, 100]

const newLine = 10
const linesIn = (bytes: Uint8Array) => bytes.reduce((count, byte) => count + (byte === newLine ? 1 : 0), 0)

/** Bytes up to which pieces become one, so that there are few. */
const longestPiece = 16 * 1024

function join(pieces: Uint8Array[], bytes: Uint8Array): void {
  const before = pieces.at(-1)
  if (before !== undefined && before.length + bytes.length <= longestPiece)
    pieces[pieces.length - 1] = Buffer.concat([before, bytes])
  else pieces.push(bytes)
}

export function createLagging({ take, most = usualMost }: LaggingOptions): Lagging {
  let first: Uint8Array[] = []
  let last: Uint8Array[] = []
  let [firstBytes, lastBytes, leftOut] = [0, 0, 0]
  let isGone = false
  let isTrying = false
  let wait = soonest
  const waiting: (() => void)[] = []

  const isBehind = () => first.length > 0
  const add = (bytes: Uint8Array) => {
    if (last.length === 0 && firstBytes < most / 2) {
      join(first, bytes)
      firstBytes += bytes.length
      return
    }
    join(last, bytes)
    lastBytes += bytes.length
    while (lastBytes > most / 2 && last.length > 1) {
      const oldest = last.shift() ?? bytes
      lastBytes -= oldest.length
      leftOut += linesIn(oldest)
    }
  }
  /** The end follows the beginning, once that is out. */
  const moveUp = () => {
    const said =
      leftOut === 0 ? [] : [Buffer.from(`\n… ${leftOut} lines are not shown here: the terminal did not take them\n`)]
    first = [...said, ...last]
    firstBytes = first.reduce((sum, bytes) => sum + bytes.length, 0)
    last = []
    lastBytes = leftOut = 0
  }
  const end = () => {
    first = []
    last = []
    firstBytes = lastBytes = 0
    for (const resolve of waiting.splice(0)) resolve()
  }
  /** Whether anything was taken. */
  const push = (): boolean => {
    let any = false
    try {
      for (;;) {
        const [next] = first
        if (next === undefined) break
        const bytes = take(next)
        any ||= bytes > 0
        firstBytes -= bytes
        if (bytes < next.length) {
          first[0] = next.subarray(bytes)
          // What takes a part may take more.
          if (bytes === 0) return any
          continue
        }
        first.shift()
        if (first.length === 0 && last.length > 0) moveUp()
      }
    } catch {
      isGone = true
    }
    end()
    return any
  }
  const tryIn = (ms: number) => {
    isTrying = true
    setTimeout(again, ms)
  }
  const again = () => {
    isTrying = false
    wait = push() ? soonest : Math.min(latest, wait * 2)
    if (isBehind()) tryIn(wait)
  }
  return {
    isBehind,
    write(text) {
      if (isGone || text === '') return
      const wasBehind = isBehind()
      add(Buffer.from(text))
      if (wasBehind) return
      push()
      if (isBehind() && !isTrying) tryIn(soonest)
    },
    flushed: () =>
      new Promise(resolve => {
        if (isBehind()) waiting.push(resolve)
        else resolve()
      }),
    flushNow(ms) {
      const until = performance.now() + ms
      const cell = new Int32Array(new SharedArrayBuffer(4))
      while (isBehind() && performance.now() < until) {
        push()
        if (isBehind()) Atomics.wait(cell, 0, 0, soonest)
      }
    },
  }
}
