/** Chunks as they come from a server → whole lines, for each server and stream on its own. */

export interface Lines {
  /** Whole lines that this chunk completed, without their ends. */
  push(server: string, stream: 'out' | 'err', text: string): readonly string[]
  /** What stands without a line end, for each stream of the server, and forgets it. */
  end(server: string): readonly string[]
}

/** A line without an end is handed on in pieces of this many characters, so that a server cannot fill our memory. */
const longestHeld = 16_384

/** Line ends are `\n` and `\r\n`. Of a line that is written over after a lone `\r`, only what came last is kept. */
export function createLines(): Lines {
  const held = new Map<string, string>()
  const key = (server: string, stream: string) => `${stream} ${server}`
  return {
    push(server, stream, text) {
      const parts = ((held.get(key(server, stream)) ?? '') + text).split('\n')
      let rest = parts.pop() ?? ''
      const whole = parts.map(line => line.replace(/\r$/, ''))
      // The last character may be the first half of \r\n: it stays.
      const overwritten = rest.lastIndexOf('\r', rest.length - 2)
      if (overwritten > 0) rest = rest.slice(overwritten)
      while (rest.length > longestHeld) {
        whole.push(rest.slice(0, longestHeld))
        rest = rest.slice(longestHeld)
      }
      held.set(key(server, stream), rest)
      return whole
    },
    end(server) {
      return (['out', 'err'] as const).flatMap(stream => {
        const rest = held.get(key(server, stream)) ?? ''
        held.delete(key(server, stream))
        return rest.trim() === '' ? [] : [rest]
      })
    },
  }
}
