/** Output of any length in bounded memory: its beginning and its end. */

export interface KeptOutput {
  add(bytes: Buffer): void
  /** What was kept, as UTF-8, with a line in the middle that says how much was dropped. */
  text(): string
}

const isContinuation = (byte: number | undefined) => byte !== undefined && (byte & 0xc0) === 0x80

/** Without the bytes of a character that was cut at the beginning. */
function fromCharacter(bytes: Buffer): Buffer {
  let from = 0
  while (from < 3 && isContinuation(bytes[from])) from++
  return bytes.subarray(from)
}

/** Without the bytes of a character that was cut at the end. */
function toCharacter(bytes: Buffer): Buffer {
  let lead = bytes.length - 1
  while (lead > bytes.length - 4 && isContinuation(bytes[lead])) lead--
  const first = bytes[lead] ?? 0
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1
  return lead >= 0 && lead + length > bytes.length ? bytes.subarray(0, lead) : bytes
}

/** Keeps at most `limit` bytes: half of them from the beginning, half from the end. */
export function keptOutput(limit: number): KeptOutput {
  const headLimit = Math.ceil(limit / 2)
  const tailLimit = limit - headLimit
  const head: Buffer[] = []
  let headSize = 0
  let tail: Buffer[] = []
  let tailSize = 0
  let dropped = 0

  function trim(): void {
    while (tailSize > tailLimit) {
      const [first] = tail
      if (first === undefined) return
      const excess = Math.min(tailSize - tailLimit, first.length)
      if (excess === first.length) tail.shift()
      else tail[0] = first.subarray(excess)
      tailSize -= excess
      dropped += excess
    }
  }

  return {
    add(bytes) {
      const room = Math.min(headLimit - headSize, bytes.length)
      // Copied: a chunk is a view of a larger buffer, which it would keep alive.
      if (room > 0) head.push(Buffer.from(bytes.subarray(0, room)))
      headSize += room
      if (room === bytes.length) return
      tail.push(Buffer.from(bytes.subarray(room)))
      tailSize += bytes.length - room
      if (tail.length > 1024) tail = [Buffer.concat(tail)]
      trim()
    },
    text() {
      const first = Buffer.concat(head)
      const last = Buffer.concat(tail)
      if (dropped === 0) return Buffer.concat([first, last]).toString('utf8')
      return `${toCharacter(first).toString('utf8')}\n[${dropped} bytes left out]\n${fromCharacter(last).toString('utf8')}`
    },
  }
}
