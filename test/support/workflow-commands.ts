/**
 * What GitHub's runner would take for a command in the lines a step prints, on either stream (actions/runner
 * src/Runner.Common/ActionCommand.cs, src/Runner.Worker/ActionCommandManager.cs): `::name …::data` at the start of a trimmed line,
 * `##[name …]data` anywhere in a line.
 */
export interface WorkflowCommand {
  readonly name: string
  readonly properties: string
  readonly data: string
  readonly line: string
}

/** The runner's registered commands; anything else is plain text to it. */
const registered = new Set(
  'internal-set-repo-path set-env set-output save-state add-path add-mask add-matcher remove-matcher error warning notice debug group endgroup echo stop-commands'.split(
    ' ',
  ),
)

const plain = (text: string) => text.replace(/%0D/g, '\r').replace(/%0A/g, '\n').replace(/%25/g, '%')

function split(info: string, data: string, line: string): WorkflowCommand | null {
  const [, name = '', properties = ''] = /^(\S*)\s*(.*)$/s.exec(info) ?? []
  return registered.has(name.toLowerCase()) ? { name: name.toLowerCase(), properties, data: plain(data), line } : null
}

function parseLine(line: string): WorkflowCommand | null {
  const trimmed = line.trimStart()
  const end = trimmed.indexOf('::', 2)
  if (trimmed.startsWith('::') && end > 0) {
    const found = split(trimmed.slice(2, end), trimmed.slice(end + 2), line)
    if (found) return found
  }
  const start = line.indexOf('##[')
  const close = line.indexOf(']', start)
  return start >= 0 && close > 0 ? split(line.slice(start + 3, close), line.slice(close + 1), line) : null
}

/** The commands in a stream's text. A carriage return alone ends a line too: the runner reads with .NET's ReadLine. */
export function workflowCommands(text: string): WorkflowCommand[] {
  const found: WorkflowCommand[] = []
  let resumeAt: string | null = null
  for (const line of text.split(/\r\n|\n|\r/)) {
    if (resumeAt !== null) {
      if (line.trim() === `::${resumeAt}::` || line.includes(`##[${resumeAt}]`)) resumeAt = null
      continue
    }
    const command = parseLine(line)
    if (command === null) continue
    if (command.name === 'stop-commands') resumeAt = command.data
    found.push(command)
  }
  return found
}
