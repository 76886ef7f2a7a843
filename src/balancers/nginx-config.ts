/**
 * The members in a file of nginx: each `server …;` of an upstream, and how its line reads when it is marked down. Pure.
 * Syntax: ngx_conf_file.c (ngx_conf_read_token): words, quotes, `;`, `{`, `}`, comments from `#` at the start of a word.
 */

/** One `server` directive of an upstream. */
export interface NginxMember {
  /** As written: `10.0.0.1:3000`, `unix:/run/app.sock`. */
  readonly address: string
  /** The upstream's name; null where the file holds only the lines within one. */
  readonly upstream: string | null
  readonly down: 'no' | 'ours' | 'operator'
  /** Of the line with its last word, from 0. */
  readonly line: number
  /** Where that word ends in its line. */
  readonly end: number
}

/**
 * What marks a server as down by us. To nginx a word in quotes is the same word; a person types it without. So ours and an operator's
 * can be told apart, in the file itself, whoever reads it next.
 */
export const ourMark = ' "down"'

interface Word {
  readonly text: string
  readonly source: string
  readonly line: number
  readonly end: number
}

/** Throws SyntaxError for quotes and braces that do not close. */
function* directives(text: string): Generator<{ words: Word[]; ends: ';' | '{' | '}' }> {
  let words: Word[] = []
  let line = 0
  let lineStart = 0
  let at = 0
  const newline = () => {
    line++
    lineStart = at + 1
  }
  while (at < text.length) {
    const char = text[at] ?? ''
    if (char === '\n') newline()
    if (/\s/.test(char)) at++
    else if (char === '#') while (at < text.length && text[at] !== '\n') at++
    else if (char === ';' || char === '{' || char === '}') {
      yield { words, ends: char }
      words = []
      at++
    } else {
      const start = at
      let word = ''
      if (char === '"' || char === "'") {
        for (at++; at < text.length && text[at] !== char; at++) {
          if (text[at] === '\n') newline()
          if (text[at] === '\\' && at + 1 < text.length && text[at + 1] !== '\n') at++
          word += text[at]
        }
        if (at >= text.length) throw new SyntaxError(`line ${line + 1}: a quote is not closed`)
        at++
      } else
        for (; at < text.length && !/[\s;{]/.test(text[at] ?? ''); at++) {
          // `${name}` is part of a word
          if (text.startsWith('${', at)) {
            const close = text.indexOf('}', at)
            if (close < 0) throw new SyntaxError(`line ${line + 1}: a variable is not closed`)
            word += text.slice(at, close)
            at = close
          } else if (text[at] === '\\' && at + 1 < text.length && !/\s/.test(text[at + 1] ?? '')) word += text[at++]
          word += text[at]
        }
      words.push({ text: word, source: text.slice(start, at), line, end: at - lineStart })
    }
  }
  if (words.length > 0) throw new SyntaxError(`line ${line + 1}: the last directive is not ended by ";"`)
}

/** The members in their order. Throws SyntaxError where it is no file of nginx. */
export function membersOfFile(text: string): NginxMember[] {
  const members: NginxMember[] = []
  const blocks: Word[][] = []
  for (const { words, ends } of directives(text)) {
    const [name, address, ...parameters] = words
    if (ends === '{') blocks.push(words)
    else if (ends === '}') {
      if (blocks.pop() === undefined) throw new SyntaxError('a "}" closes nothing')
    } else if (name?.text === 'server' && address !== undefined) {
      const last = parameters.at(-1) ?? address
      const downs = parameters.filter(p => p.text === 'down')
      const ours = downs.length === 1 && last === downs[0] && last.source === ourMark.trim()
      members.push({
        address: address.text,
        upstream: blocks.findLast(b => b[0]?.text === 'upstream')?.[1]?.text ?? null,
        down: downs.length === 0 ? 'no' : ours ? 'ours' : 'operator',
        line: last.line,
        end: last.end,
      })
    }
  }
  if (blocks.length > 0) throw new SyntaxError('a "{" is not closed')
  return members
}

/** A line of the file, and what it becomes. */
export interface LineEdit {
  readonly from: string
  readonly to: string
}

/** Edits of lines that make these members down, or take our mark away; all else stays as it is. Throws SyntaxError. */
export function editsFor(text: string, members: readonly NginxMember[], to: 'down' | 'up'): LineEdit[] {
  const lines = text.split('\n')
  const changed = new Map<number, string>()
  const wanted = members.filter(m => m.down === (to === 'down' ? 'no' : 'ours'))
  // From the end of each line, so that what stands before keeps its place.
  for (const { line, end } of wanted.toSorted((a, b) => b.end - a.end)) {
    const now = changed.get(line) ?? lines[line] ?? ''
    const start = to === 'down' ? end : end - ourMark.length
    // The word alone, where it does not stand behind one space, as when someone has set the file in columns.
    const cut = to === 'down' || now.slice(start, end) === ourMark ? start : end - ourMark.trim().length
    changed.set(line, now.slice(0, cut) + (to === 'down' ? ourMark : '') + now.slice(end))
  }
  // Lines are found again by their text: another line of the same text must not be changed along.
  for (const [line, after] of changed)
    if (lines.some((other, i) => other === lines[line] && changed.get(i) !== after))
      throw new SyntaxError(
        `line ${line + 1} stands in the file more than once: write each server in one line of its own`,
      )
  return [...new Map([...changed].map(([line, after]) => [lines[line] ?? '', after]))].map(([from, after]) => ({
    from,
    to: after,
  }))
}
