/**
 * What a terminal of so many columns shows after all of `written`, line by line from its first: carriage returns, line feeds, automatic
 * breaks and "erase to the end" (ECMA-48 8.3.39) as a VT100 has them. Colours are passed over. Throws for any other control: the
 * program is to send none.
 */
export function screenOf(written: string, columns: number): readonly string[] {
  const rows: string[][] = [[]]
  let [row, column] = [0, 0]
  const controls = /\x1b\[([0-9;]*)([A-Za-z])|[\s\S]/gu
  for (const [found, , letter] of written.matchAll(controls)) {
    if (letter === 'm') continue
    if (letter === 'J') {
      rows.length = row + 1
      rows[row] = (rows[row] ?? []).slice(0, column)
    } else if (found === '\r') column = 0
    else if (found === '\n') {
      row++
      rows[row] ??= []
    } else if (found < ' ' || letter !== undefined) throw new Error(`an unexpected control: ${JSON.stringify(found)}`)
    else {
      if (column === columns) {
        row++
        column = 0
        rows[row] ??= []
      }
      const line = rows[row] ?? []
      while (line.length < column) line.push(' ')
      line[column++] = found
    }
  }
  return rows.map(line => line.join('').trimEnd())
}
