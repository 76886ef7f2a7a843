/**
 * Finds any of many words in one pass over a text: the automaton of Aho and Corasick (CACM 18(6), 1975). A regular expression of as many
 * alternatives takes words × text in the worst case, and a server may choose the text.
 */
export interface Automaton {
  /** The state after one more UTF-16 unit. State 0 is the start. */
  next(state: number, unit: number): number
  /** Length of the longest word that ends here; 0: none does. */
  wordAt(state: number): number
  /** Length of the longest text ending here that some word starts with. */
  depthOf(state: number): number
}

/** Builds the automaton; empty words are ignored. */
export function automatonOf(words: Iterable<string>): Automaton {
  const edges = new Map<number, number>()
  const edge = (state: number, unit: number) => edges.get(state * 0x10000 + unit)
  const depth = [0]
  const word = [0]
  /** States in the order they were made, with the edge that led there: parents come before children only within one word. */
  const made: { readonly parent: number; readonly unit: number; readonly state: number }[] = []

  for (const text of words) {
    let state = 0
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i)
      let to = edge(state, unit)
      if (to === undefined) {
        to = depth.length
        edges.set(state * 0x10000 + unit, to)
        depth.push(i + 1)
        word.push(0)
        made.push({ parent: state, unit, state: to })
      }
      state = to
    }
    if (state !== 0) word[state] = text.length
  }

  const fallback = new Int32Array(depth.length)
  const next = (from: number, unit: number): number => {
    for (let state = from; ; state = fallback[state] ?? 0) {
      const to = edge(state, unit)
      if (to !== undefined) return to
      if (state === 0) return 0
    }
  }
  // Shallow states first: a state's fallback is found by way of its parent's.
  made.sort((a, b) => (depth[a.state] ?? 0) - (depth[b.state] ?? 0))
  for (const { parent, unit, state } of made) {
    const to = parent === 0 ? 0 : next(fallback[parent] ?? 0, unit)
    fallback[state] = to
    word[state] = Math.max(word[state] ?? 0, word[to] ?? 0)
  }
  return { next, wordAt: state => word[state] ?? 0, depthOf: state => depth[state] ?? 0 }
}
