/**
 * An upload that leaves room for others on its connection. SSH lets up to a window of bytes be under way (2 MiB with OpenSSH), and
 * whatever is sent beside them waits behind: on a line of 50 kB/s a renewal of the lock came 41 s late. So only as much is under way as
 * the line takes in a few seconds, and renewals, keepalives and a cancel get through.
 */
import { type Readable, Transform } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ClientChannel } from 'ssh2'

/** Bytes under way at first, and at least: OpenSSH says what it took after each 96 KiB. */
const least = 128 * 1024
/** Seconds that so many bytes may take before more, or fewer, are put under way. */
const quick = 1
const slow = 4
/** Seconds without a word of what was taken: a server that speaks only when half the window is used is given that much. */
const mute = 20
/** Milliseconds between two looks at the window: the library tells of no change. */
const look = 5

/** How many bytes may be under way; pure but for the times it is told. */
export function pace(window: number) {
  let floor = least
  let limit = least
  let since: number | null = null
  let before = 0
  let heard = 0
  return {
    /** Whether more may be sent. `sent`, `open`: bytes so far, and what the window has left for others; `now` in seconds. */
    mayGo(sent: number, open: number, now: number): boolean {
      const taken = sent - (window - open)
      if (since === null) since = heard = now
      if (taken > before) {
        heard = now
        if (taken - before >= limit) {
          const took = now - since
          if (took < quick) limit *= 2
          else if (took > slow) limit = Math.max(floor, limit / 2)
          since = now
          before = taken
        }
      }
      if (window - open < limit) return true
      if (now - heard > mute && limit < window / 2) {
        floor = window / 2 + 1
        limit = floor
      }
      return window - open < limit
    },
  }
}

const windowOf = (channel: ClientChannel): number | null => {
  const { outgoing } = channel
  return typeof outgoing === 'object' &&
    outgoing !== null &&
    'window' in outgoing &&
    typeof outgoing.window === 'number'
    ? outgoing.window
    : null
}

/** Sends `input` to a channel to which nothing else is written any more. Gives what ends the sending. */
export function pacedPipe(input: Readable, channel: ClientChannel): () => void {
  const window = windowOf(channel)
  const pacing = pace(window ?? 0)
  let stopped = false
  let sent = 0
  const mayGo = () => {
    const open = windowOf(channel)
    if (stopped || window === null || open === null) return true
    return pacing.mayGo(sent, open - channel.writableLength - gate.readableLength, performance.now() / 1000)
  }
  const gate = new Transform({
    async transform(chunk: Buffer, _encoding, done) {
      while (!mayGo()) await sleep(look)
      sent += chunk.length
      done(null, chunk)
    },
  })
  input.pipe(gate).pipe(channel)
  return () => {
    stopped = true
    input.unpipe(gate)
    gate.unpipe(channel)
    gate.destroy()
  }
}
