/** YAML's own errors in words that say what to write instead. */
import type { Source } from './source.ts'
import { pointTo } from './source.ts'

export interface Trap {
  readonly message: string
  readonly hint: string
}

/** `key:value`, in YAML a text and no key. */
const gluedKey = /^[\s-]*(["']?[A-Za-z_][\w.-]*["']?):([^\s:/].*)$/

export const gluedHint = (text: string): string => {
  const [, name = '', value = ''] = gluedKey.exec(text) ?? []
  return `write a space after the colon: ${name}: ${value}`.trimEnd()
}
export const looksGlued = (text: string): boolean => gluedKey.test(text)

const quoted = (text: string) => `write it in quotes: '${text.replaceAll("'", "''")}'`

export const unquotedAlias = (text: string): Trap => ({
  message: `${text}: text that begins with "*" is an alias in YAML, and there is no anchor of that name`,
  hint: quoted(text),
})
export const unquotedTag = (text: string): Trap => ({
  message: `${text}: text that begins with "!" is a tag in YAML`,
  hint: quoted(text),
})
export const unquotedAnchor = (text: string): Trap => ({
  message: `${text}: text that begins with "&" is an anchor in YAML`,
  hint: quoted(text),
})

export const tooDeep: Trap = { message: 'lists and maps are nested too deeply', hint: 'no manifest needs 50 levels' }

/** Of a plain text over several lines, the line that was meant as the next item of the list. */
export const foldedItem = (written: string): string | null => /\n[ \t]*(- .*)/.exec(written)?.[1]?.trim() ?? null

/** The plain text that begins at an offset, as far as the line (or the flow list) goes. */
export function wordAt(source: Source, offset: number): string {
  const rest = /^[^\n\r]*/.exec(source.text.slice(offset, offset + 200))?.[0] ?? ''
  return (/^(?:\$\{\{[^}]*\}\}|[^\s,\]}#])*/.exec(rest)?.[0] ?? rest).trim() || rest.trim()
}

/** A YAML error by its code in the library `yaml`, where it was found. */
export function trapOf(code: string, message: string, source: Source, offset: number): Trap {
  const { source: line } = pointTo({ source, offset })
  const tail = line.trim()
  // The parser's own recursion ends there.
  if (/call stack/i.test(message)) return tooDeep
  // A tab in the white space at a line's start is behind several different codes.
  if (code === 'TAB_AS_INDENT' || /^ *\t/.test(line))
    return { message: 'a tab stands in the indentation', hint: 'YAML is indented with spaces' }
  if (looksGlued(line) && (code === 'MISSING_CHAR' || code === 'MULTILINE_IMPLICIT_KEY' || code === 'BAD_INDENT'))
    return { message: `"${tail}" is a text, no key and value`, hint: gluedHint(line) }
  const lookup = /\$\{\{/.test(line) && (/[[{].*\$\{\{/.test(line) || code === 'BLOCK_AS_IMPLICIT_KEY')
  if (lookup && code !== 'TAB_AS_INDENT')
    return {
      message: 'a look-up inside [ ] or { }, or before a colon, has to be quoted',
      hint: `write '\${{ … }}' in quotes`,
    }
  switch (code) {
    case 'BAD_SCALAR_START': {
      const word = wordAt(source, offset)
      return { message: `${word}: text cannot begin with "${word.slice(0, 1)}" in YAML`, hint: quoted(word) }
    }
    case 'BAD_ALIAS': {
      const word = wordAt(source, offset)
      return word.startsWith('&') ? unquotedAnchor(word) : unquotedAlias(word)
    }
    case 'BLOCK_AS_IMPLICIT_KEY':
      return {
        message: 'a second "key: value" stands in one line, or a line is indented too far',
        hint: 'write a text with ": " in quotes; keys of one map begin in the same column',
      }
    case 'BAD_INDENT':
      return { message: sentence(message), hint: 'items and keys of one list or map begin in the same column' }
    case 'UNEXPECTED_TOKEN':
      return /block-seq-ind/.test(message)
        ? { message: 'a list cannot begin on the line of its key', hint: 'put "- …" on the next line, or write [a, b]' }
        : {
            message: 'something stands here that does not belong to what is before it',
            hint: 'write text with quotes, "*", "!", "&" or ": " in it wholly in quotes; keys of one map begin in the same column',
          }
    case 'BAD_DQ_ESCAPE':
      return { message: sentence(message), hint: "write the text in single quotes: there '\\' is itself" }
    case 'MISSING_CHAR':
      return {
        message: sentence(message),
        hint: 'close the quote or bracket, or write "key: value" with a colon and a space',
      }
    default:
      return { message: sentence(message), hint: 'write it in quotes if it is meant as text' }
  }
}

const sentence = (text: string) => `this is not YAML: ${text.charAt(0).toLowerCase()}${text.slice(1)}`
