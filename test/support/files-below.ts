/** What lies below a directory: names, contents, and a footprint by which any change shows. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

export const filesBelow = (directory: string): string[] =>
  existsSync(directory) ? readdirSync(directory, { recursive: true, encoding: 'utf8' }).sort() : []

/** The contents of every file, for tests that look for what should not be there. */
export const everythingBelow = (directory: string): string =>
  filesBelow(directory)
    .map(path => join(directory, path))
    .filter(path => statSync(path, { throwIfNoEntry: false })?.isFile())
    .map(path => readFileSync(path, 'latin1'))
    .join('\n')

/** Every entry with mode, size and time of change. */
export const footprint = (directory: string): string[] =>
  filesBelow(directory).map(path => {
    const found = statSync(join(directory, path), { throwIfNoEntry: false })
    return found ? `${path} ${found.mode.toString(8)} ${found.size} ${found.mtimeMs}` : `${path} leads nowhere`
  })
