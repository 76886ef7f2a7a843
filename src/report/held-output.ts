/** Output that is shown later, as one piece: whole lines of each server, bounded, with the middle dropped first. */

/** Characters kept of the start and, again, of the end of what one server prints between two showings. */
const most = 256 * 1024
/** The same for all servers together is kept to about 64 MiB of characters: past it each server has this much. */
const mostOfAll = 64 * 1024 * 1024
const mostWhenFull = 16 * 1024

interface Held {
  readonly head: string[]
  headSize: number
  tail: string[]
  /** Where the tail begins: lines before it are dropped. */
  from: number
  tailSize: number
  dropped: number
}

export interface HeldOutput {
  add(server: string, lines: readonly string[]): void
  /** What is held for the server, with a line for what was dropped; forgets it. */
  take(server: string): readonly string[]
  servers(): readonly string[]
}

export function createHeldOutput(): HeldOutput {
  const all = new Map<string, Held>()
  let size = 0

  const addLine = (held: Held, line: string) => {
    const room = size < mostOfAll ? most : mostWhenFull
    size += line.length
    if (held.tail.length === 0 && held.headSize + line.length <= room) {
      held.head.push(line)
      held.headSize += line.length
      return
    }
    held.tail.push(line)
    held.tailSize += line.length
    while (held.tailSize > room) {
      const first = held.tail[held.from++] ?? ''
      held.tailSize -= first.length
      size -= first.length
      held.dropped++
    }
    // Not one by one: each shift moves the whole rest (measured: 12 s for 500,000 short lines).
    if (held.from > 1000 && held.from * 2 > held.tail.length) {
      held.tail = held.tail.slice(held.from)
      held.from = 0
    }
  }

  return {
    add(server, lines) {
      const held = all.get(server) ?? { head: [], headSize: 0, tail: [], from: 0, tailSize: 0, dropped: 0 }
      if (lines.length > 0) all.set(server, held)
      for (const line of lines) addLine(held, line)
    },
    take(server) {
      const held = all.get(server)
      if (!held) return []
      all.delete(server)
      size -= held.headSize + held.tailSize
      const note = held.dropped > 0 ? [`… (${held.dropped} lines left out here)`] : []
      return [...held.head, ...note, ...held.tail.slice(held.from)]
    },
    servers: () => [...all.keys()],
  }
}
