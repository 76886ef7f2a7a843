/** Workflow commands as the runner reads them (actions/runner, ActionCommand.cs: UnescapeData, UnescapeProperty). */

/** Data of a command: everything after the second `::`. */
export const escapeData = (text: string): string =>
  text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')

/** A property of a command: `title=…`. */
export const escapeProperty = (text: string): string => escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C')
