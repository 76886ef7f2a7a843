/** A file's text, and places in it. */
import type { Problem } from '../errors.ts'

export interface Source {
  readonly file: string
  readonly text: string
  /** Offset of each line's first character. */
  readonly lineStarts: readonly number[]
}

export interface Place {
  readonly source: Source
  readonly offset: number
}

export function sourceOf(file: string, text: string): Source {
  const lineStarts = [0]
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lineStarts.push(at + 1)
  return { file, text, lineStarts }
}

/** Line and column of a place, from 1, and the line as it stands in the file. */
export function pointTo({ source, offset }: Place): Pick<Problem, 'file' | 'line' | 'column' | 'source'> {
  let low = 0
  let high = source.lineStarts.length - 1
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if ((source.lineStarts[middle] ?? 0) <= offset) low = middle
    else high = middle - 1
  }
  const start = source.lineStarts[low] ?? 0
  const end = source.lineStarts[low + 1] ?? source.text.length + 1
  const line = source.text.slice(start, end - 1).replace(/\r$/, '')
  return { file: source.file, line: low + 1, column: Math.min(offset - start, line.length) + 1, source: line }
}

/** Where some words stand between two offsets; null: they do not (escapes, folded lines). */
export function offsetOf(source: Source, words: string, from: number, to: number): number | null {
  const at = source.text.indexOf(words, from)
  return at === -1 || at + words.length > to ? null : at
}
