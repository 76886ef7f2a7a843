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

/** As many of the pieces, in order, as go into so many bytes (a line break counted for each), and how many do not. */
export function fitting(
  pieces: readonly string[],
  budget: number,
): { readonly kept: readonly string[]; readonly left: number } {
  let room = budget
  const end = pieces.findIndex(piece => {
    room -= bytes(piece) + 2
    return room < 0
  })
  return end < 0 ? { kept: pieces, left: 0 } : { kept: pieces.slice(0, end), left: pieces.length - end }
}
