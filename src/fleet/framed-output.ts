/**
 * The script's own output out of what a stream carries: what a login shell prints before the loader starts, and what a daemon left
 * behind prints after the script ended, are not the script's.
 */
import { endMark, startMark } from './loader.ts'

export interface FramedOutput {
  push(chunk: Buffer): void
  /** Nothing more comes: what was held back is given out. */
  end(): void
  /** The process group, once the loader has said that it starts the script. */
  group(): number | null
  /** The script has ended and all of its output was seen. */
  complete(): boolean
  /** What came before the loader: the last 2 KiB. For saying why nothing started. */
  before(): Buffer
}

const keptBefore = 2048
const nothing = Buffer.alloc(0)

/** Length of the longest end of `bytes` that `mark` begins with. */
function overlap(bytes: Buffer, mark: Buffer): number {
  for (let n = Math.min(mark.length - 1, bytes.length); n > 0; n--)
    if (bytes.subarray(bytes.length - n).equals(mark.subarray(0, n))) return n
  return 0
}

/** Hands the script's bytes to `take` as they come, without the marks. */
export function framedOutput(token: string, take: (bytes: Buffer) => void): FramedOutput {
  const start = Buffer.from(startMark(token))
  const stop = Buffer.from(endMark(token))
  let state: 'before' | 'within' | 'after' = 'before'
  let pending: Buffer = nothing
  let group: number | null = null

  function begin(): void {
    const at = pending.indexOf(start)
    const end = at < 0 ? -1 : pending.indexOf('\n', at)
    if (end < 0) {
      pending = pending.subarray(-keptBefore)
      return
    }
    const [, digits] = /^ ([1-9]\d{1,9})$/.exec(pending.toString('latin1', at + start.length, end)) ?? []
    group = digits === undefined ? null : Number(digits) // what a server says is data: 1 and -1 would be everybody
    pending = pending.subarray(end + 1)
    state = 'within'
  }

  function pass(): void {
    const at = pending.indexOf(stop)
    const ready = at < 0 ? pending.length - overlap(pending, stop) : at
    const own = pending.subarray(0, ready)
    pending = pending.subarray(ready)
    if (at >= 0) state = 'after'
    if (own.length > 0) take(own)
  }

  return {
    push(chunk) {
      if (state === 'after') return
      pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk])
      if (state === 'before') begin()
      if (state === 'within') pass()
    },
    end() {
      if (state === 'within' && pending.length > 0) take(pending)
      if (state === 'within') pending = nothing
    },
    group: () => group,
    complete: () => state === 'after',
    before: () => (state === 'before' ? pending : nothing),
  }
}
