/** The runner's own reading of a line, for tests: actions/runner, src/Runner.Common/ActionCommand.cs, TryParseV2 and TryParse. */

const registered = new Set([
  'set-output',
  'save-state',
  'add-mask',
  'add-matcher',
  'remove-matcher',
  'error',
  'warning',
  'notice',
  'group',
  'endgroup',
  'echo',
  'debug',
  'stop-commands',
  'internal-set-repo-path',
  'set-env',
  'add-path',
])

export interface Command {
  readonly name: string
  readonly properties: Readonly<Record<string, string>>
  readonly data: string
}

const unescapeData = (text: string) => text.replaceAll('%0D', '\r').replaceAll('%0A', '\n').replaceAll('%25', '%')
const unescapeProperty = (text: string) =>
  text
    .replaceAll('%0D', '\r')
    .replaceAll('%0A', '\n')
    .replaceAll('%3A', ':')
    .replaceAll('%2C', ',')
    .replaceAll('%25', '%')

/** .NET's char.IsWhiteSpace: JavaScript's, and U+0085. */
const trimStart = (line: string) => line.replace(/^[\s\u0085]+/, '')

function build(info: string, separator: string, data: string): Command | null {
  const space = info.indexOf(' ')
  const name = space < 0 ? info : info.slice(0, space)
  if (!registered.has(name.toLowerCase())) return null
  const properties = (space < 0 ? '' : info.slice(space + 1))
    .trim()
    .split(separator)
    .filter(Boolean)
    .map(pair => /^([^=]+)=(.+)$/s.exec(pair))
    .flatMap(found => (found?.[1] && found[2] ? [[found[1], unescapeProperty(found[2])] as const] : []))
  return { name: name.toLowerCase(), properties: Object.fromEntries(properties), data: unescapeData(data) }
}

/** The command in one line of output; null: it is text. */
export function commandIn(line: string): Command | null {
  const message = trimStart(line)
  if (message.startsWith('::')) {
    const end = message.indexOf('::', 2)
    const found = end < 0 ? null : build(message.slice(2, end), ',', message.slice(end + 2))
    if (found) return found
  }
  const from = line.indexOf('##[')
  const to = from < 0 ? -1 : line.indexOf(']', from)
  return to < 0 ? null : build(line.slice(from + 3, to), ';', line.slice(to + 1))
}

/** What is written, as lines: the runner reads with StreamReader.ReadLine, which splits at \n, \r and \r\n. */
export const commandsIn = (written: string): readonly Command[] =>
  written.split(/\r\n|\r|\n/).flatMap(line => commandIn(line) ?? [])
