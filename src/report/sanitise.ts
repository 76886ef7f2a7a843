/**
 * The one sanitiser for bytes that come from servers (promise 8). Whatever it is given, what it returns is no workflow command, no
 * Markdown, no HTML and no terminal control. Invalid UTF-8 has become U+FFFD before, where bytes were decoded.
 */

/** Characters of a line that are kept, its note included. */
const longestLine = 8192

/** Strings that a terminal takes as a title, a link or a device command: ECMA-48 8.3.27, 8.3.89, 8.3.94, 8.3.95, 8.3.128, 8.3.143. */
const controlString = /(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x00-\x08\x0a-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)/g
/** Control sequences (colours, cursor) and other escapes: ECMA-48 5.4 and ECMA-35 13.2. */
const controlSequence = /(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-Z\\^-~]/g
/** All controls but tab, and what is invisible or turns the direction of text: each is shown by its number. */
const invisible = /[\p{Cf}\p{Zl}\p{Zp}\x00-\x08\x0a-\x1f\x7f-\x9f]/gu

const byNumber = (character: string) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`

/** What a terminal would show in the end of a line that was written over again and again: a progress bar's last state. */
function lastState(line: string): string {
  if (!line.includes('\r')) return line
  return line.split('\r').findLast(state => state.trim() !== '') ?? ''
}

function cut(line: string): string {
  if (line.length <= longestLine) return line
  const note = ` … (cut: the line has ${line.length} characters)`
  return line.slice(0, longestLine - note.length).toWellFormed() + note
}

/** Most text, and of a large report nearly all: there is nothing in it to take out. */
const isPlain = (text: string) => /^[\x20-\x7e]*$/.test(text)

const visible = (line: string) =>
  isPlain(line)
    ? line
    : lastState(
        line.toWellFormed().replace(controlString, '').replace(controlSequence, '').replace(/\n+$/, ''),
      ).replace(invisible, byNumber)

/**
 * The runner takes `##[name]` anywhere in a line, and `::name::` after leading white space
 * (actions/runner, ActionCommand.cs, TryParse and TryParseV2). A backslash in between ends both.
 */
const noCommand = (line: string) =>
  line.includes('##[') || line.includes('::') ? line.replaceAll('##[', '##\\[').replace(/^(\s*)::/, '$1\\::') : line

/** One line for a terminal: no control but tab, at most 8,192 characters. Doing it twice changes nothing. */
export const forTerminal = (line: string): string => cut(visible(line))

/** One line for GitHub's log: as for a terminal, and never a workflow command. Doing it twice changes nothing. */
export const forLog = (line: string): string => cut(noCommand(visible(line)))

const lines = (text: string) => (text.includes('\n') ? text.replace(/\r\n/g, '\n').split('\n') : [text])

/** Several lines as they may stand in a file someone prints in a job: each line is safe for the log. */
export const linesForLog = (text: string): string => lines(text).map(forLog).join('\n')

const entity = (character: string) => `&#${character.codePointAt(0) ?? 0};`

/**
 * Text for HTML, also inside `<pre>`: every character with a meaning is a reference; line breaks stay. Not for a second time: it
 * escapes what it is given.
 */
export const forHtml = (text: string): string =>
  lines(text)
    .map(forTerminal)
    .join('\n')
    .replace(/[&<>"'`]/g, entity)

/**
 * Text for Markdown, also for a table cell. A numeric reference never has a meaning in Markdown (CommonMark 2.5), so all ASCII
 * punctuation that could start something becomes one. A zero-width space keeps `@name` and `#1` from calling people and issues where
 * this is a comment, and an empty HTML comment keeps addresses from becoming links. Line breaks become `<br>`. Not for a second time: it escapes what it is given.
 */
export const forMarkdown = (text: string): string =>
  lines(text)
    .map(line =>
      forTerminal(line)
        .trim()
        .replace(/[!"#$&'*+<=>@[\\\]^_`{|}~]|^[-+\d]|:(?=\/\/)|\.(?=\w)/g, entity)
        .replace(/(?<!\w)(&#(?:64|35);)(?=\w)/g, '$1&#8203;')
        .replaceAll('&#64;', '&#64;<!-- -->'),
    )
    .join('<br>')
