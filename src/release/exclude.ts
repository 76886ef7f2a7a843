/** Which files of the source stay behind: `.git`, and the globs of `release.exclude`. */
import picomatch from 'picomatch'
import { InputError } from '../errors.ts'

/** Whether a path relative to the source is left out; what lies below a directory that is left out is not asked for. */
export type Excluded = (path: string, directory: boolean) => boolean

interface Rule {
  readonly directoriesOnly: boolean
  readonly atAnyDepth: boolean
  readonly matches: (text: string) => boolean
}

function rule(pattern: string): Rule {
  if (pattern.startsWith('!'))
    throw new InputError(`release.exclude: "${pattern}" would leave out everything else`, {
      hint: 'write the patterns of what is left out; there are no exceptions',
    })
  const bare = pattern.replace(/\/+$/, '').replace(/^(\.?\/)+/, '')
  if (bare === '' || bare === '.')
    throw new InputError(`release.exclude: "${pattern}" names nothing`, { hint: 'a glob is expected: *.map' })
  return {
    directoriesOnly: pattern.endsWith('/'),
    atAnyDepth: !bare.includes('/') && !/^\.?\//.test(pattern),
    matches: picomatch(bare, { dot: true }),
  }
}

/**
 * As .gitignore: a glob without "/" matches a name at any depth, one with "/" a path from the source on, one that ends in "/"
 * directories alone. Throws InputError for a glob that cannot be meant.
 */
export function excluding(patterns: readonly string[]): Excluded {
  const rules = patterns.map(rule)
  return (path, directory) => {
    const name = path.slice(path.lastIndexOf('/') + 1)
    if (name === '.git') return true
    return rules.some(r => (directory || !r.directoriesOnly) && r.matches(r.atAnyDepth ? name : path))
  }
}
