/** The known word a person most likely meant. */

/** Optimal string alignment: one insertion, deletion, replacement or swap of neighbours counts 1. */
export function editDistance(a: string, b: string): number {
  let before: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1)
      row.push(cost)
    }
    before = last
    last = row
  }
  return last[b.length] ?? 0
}

/** undefined: none is near enough to be meant. Case and the choice of "-" or "_" do not count. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.slice(0, 80).toLowerCase().replaceAll('-', '_')
  const ranked = known
    .map(candidate => ({ candidate, distance: editDistance(plain(word), plain(candidate)) }))
    .sort((a, b) => a.distance - b.distance)
  const [best] = ranked
  return best !== undefined && best.distance <= Math.max(1, Math.floor(word.length / 3)) ? best.candidate : undefined
}

/** "did you mean …? known: …" */
export function suggestion(word: string, known: readonly string[]): string {
  const meant = nearest(word, known)
  return `${meant === undefined ? '' : `did you mean "${meant}"? `}known: ${known.join(', ')}`
}
