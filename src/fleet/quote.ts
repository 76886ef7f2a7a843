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

const beginnings = [...'ENDOFTXabcdefghijklmnopqrstuvwxyzABCGHIJKLMPQRSUVWYZ0123456789_']

/**
 * Whether `line` begins as `delimiter` does and goes on with a character that is not ASCII: dash 0.5.12, Debian's sh, loses that one's
 * first byte.
 */
function confuses(delimiter: string, line: string): boolean {
  let same = 0
  while (same < delimiter.length && line[same] === delimiter[same]) same++
  return same > 0 && line.charCodeAt(same) > 127
}

/** A line that `text` does not have. */
function delimiterFor(text: string): string {
  const lines = [...new Set(text.split('\n'))]
  for (const beginning of beginnings)
    for (let i = 0; i <= lines.length; i++) {
      const delimiter = `${beginning}ND_OF_TEXT_${i}`
      if (!lines.some(line => line === delimiter || confuses(delimiter, line))) return delimiter
      if (lines.some(line => confuses(beginning, line))) break
    }
  throw new InputError('a text for a server has lines that begin with every letter followed by one that is not ASCII', {
    hint: 'put it into a file of the release',
  })
}

/** `command` with `text` as its stdin; nothing in the text is expanded, and it arrives with a newline at its end. */
export function hereDocument(command: string, text: string): string {
  const delimiter = delimiterFor(text)
  return `${command} <<'${delimiter}'\n${text}${text === '' || text.endsWith('\n') ? '' : '\n'}${delimiter}\n`
}
