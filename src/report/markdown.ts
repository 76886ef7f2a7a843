/** The few pieces of Markdown that summaries are made of. What comes in is any text; what comes out is safe Markdown. */
import { forHtml, forMarkdown } from './sanitise.ts'

/** A table; cells are Markdown already. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

/** Text in a fixed-width face, on one line. */
export const code = (text: string): string => `<code>${forMarkdown(text)}</code>`

/** Text in a fixed-width face as it stands. `<pre>` and not a fence: what is inside cannot end it (CommonMark 4.6). */
export const block = (text: string): string => `<pre>${forHtml(text.replace(/\n+$/, ''))}\n</pre>`

/** Something to open; `body` is Markdown already. */
export const details = (title: string, body: string): string =>
  `<details><summary>${forHtml(title).replaceAll('\n', ' ')}</summary>\n\n${body}\n\n</details>`

/** Lines of text by their end, at most so many characters; says what is missing. */
export function tailOf(text: string, most: number): string {
  if (text.length <= most) return text
  return `… (${text.length - most} characters before)\n${text.slice(-most).toWellFormed()}`
}

/** Text by its start, at most so many characters, the note included. */
export function headOf(text: string, most: number): string {
  if (text.length <= most) return text
  const note = ` … (cut: ${text.length} characters)`
  return text.slice(0, most - note.length).toWellFormed() + note
}

export const bytes = (text: string): number => Buffer.byteLength(text)

export interface Fitting {
  readonly kept: readonly string[]
  /** How many do not go in. */
  readonly left: number
}

/** As many of the pieces, in order, as go into so many bytes (a line break counted for each). */
export const fitting = (pieces: readonly string[], budget: number): Fitting => fittingOf(pieces, piece => piece, budget)

/** The same of what has still to be written: no more is than goes in, for a summary is made again and again while servers wait. */
export function fittingOf<T>(
  items: readonly T[],
  pieceOf: (item: T, place: number) => string,
  budget: number,
): Fitting {
  const kept: string[] = []
  let room = budget
  for (const [place, item] of items.entries()) {
    const piece = pieceOf(item, place)
    room -= bytes(piece) + 2
    if (room < 0) break
    kept.push(piece)
  }
  return { kept, left: items.length - kept.length }
}
