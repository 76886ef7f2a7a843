/** Plain text in columns and in lines of bounded length, for logs. */

/**
 * Rows with their columns padded to the same width; the last column is not padded. Two spaces stand between columns; a column with
 * nothing in it is not there.
 */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths: number[] = []
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length)
  return rows.map(row =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0)))
      .filter((_, i) => widths[i] !== 0)
      .join('  ')
      .trimEnd(),
  )
}

/** Breaks at spaces into lines of at most `width` characters; a word that is longer stays whole. */
export function wrap(text: string, width: number): readonly string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/).filter(Boolean)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return line === '' ? lines : [...lines, line]
}

/** A label and its text, which goes on under itself: lines of at most 100 characters. */
export function labelled(label: string, text: string, labelWidth: number): readonly string[] {
  const lines = wrap(text, 100 - labelWidth)
  return (lines.length === 0 ? [''] : lines).map((line, i) =>
    `${(i === 0 ? label : '').padEnd(labelWidth)}${line}`.trimEnd(),
  )
}
