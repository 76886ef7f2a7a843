/** Text into shell source: the only two ways this program does it. */
import { InputError } from '../errors.ts'

/** A word in single quotes, in which a POSIX shell changes nothing (XCU 2.2.2). Throws InputError on NUL, which no shell can hold. */
export function quote(word: string): string {
  if (word.includes('\0'))
    throw new InputError('a text for a server holds a NUL byte, which no shell can take', {
      hint: 'look for a binary value among scripts, variables and secrets',
    })
  return `'${word.replaceAll("'", "'\\''")}'`
}

/** Words in quotes, with a space between. */
export const quoteAll = (words: readonly string[]): string => words.map(quote).join(' ')

/** A line that `text` does not have. */
function delimiterFor(text: string): string {
  const lines = new Set(text.split('\n'))
  for (let i = 0; ; i++) {
    const delimiter = `END_OF_TEXT_${i}`
    if (!lines.has(delimiter)) return delimiter
  }
}

/** `command` with `text` as its stdin; nothing in the text is expanded, and it arrives with a newline at its end. */
export function hereDocument(command: string, text: string): string {
  const delimiter = delimiterFor(text)
  return `${command} <<'${delimiter}'\n${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${delimiter}\n`
}
