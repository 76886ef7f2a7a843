/**
 * A user's script as POSIX sh text for `Connection.run`. Script, variables and secrets travel in a here-document on the shell's
 * stdin: nothing of them is ever an argument, which every user of the machine could read, or a file of ours.
 */
import { InputError } from '../errors.ts'
import type { Shell } from '../manifest/schema.ts'
import { hereDocument, quote } from './quote.ts'

export interface StepScript {
  /** The script as written; CRLF line ends are mended. */
  readonly script: string
  readonly shell: Shell
  readonly env: Readonly<Record<string, string>>
  /** As `env`, and last, so that they win. */
  readonly secrets: Readonly<Record<string, string>>
  /** Where the script starts: a path, `~` or `~/path`. */
  readonly directory: string
  /** Another user, by `sudo -n -u`. */
  readonly become?: string | undefined
}

/** Exit code of a step whose directory is missing or closed to it, a line on stderr says so. Far from what programs use. */
export const directoryMissing = 251

interface Start {
  readonly command: string
  /** Options that are set once the shell is up: a login shell would read its profile under -eu, and few profiles survive that. */
  readonly first: string
}

const starts: Readonly<Record<Shell, Start>> = {
  // bash takes a command under sshd for a remote shell and would read ~/.bashrc, under -u and a second time: the login shell had it.
  bash: { command: 'bash --norc -eu -o pipefail -c', first: '' },
  sh: { command: 'sh -eu -c', first: '' },
  'bash -l': { command: 'bash --norc -l -c', first: 'set -eu -o pipefail' },
}

/** What the user's shell does: go to the directory, read the text whole from fd 3, and only then run it, with empty stdin. */
const enter = (first: string) =>
  [
    ...(first === '' ? [] : [first]),
    `case $1 in "~") set -- "$HOME";; "~/"*) set -- "$HOME/\${1#??}";; esac`,
    `cd -- "$1" >/dev/null 2>&1 || { echo "the directory $1 does not exist, or this user may not enter it" >&2; exit ${directoryMissing}; }`,
    '_text=$(cat <&3)',
    'exec 3<&-',
    'set --',
    'eval "$_text"',
  ].join('\n')

function exports(variables: Readonly<Record<string, string>>): string[] {
  return Object.entries(variables).map(([name, value]) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
      throw new InputError(`"${name}" cannot be the name of a variable`, {
        hint: 'a variable is named with letters, digits and "_"',
      })
    return `export ${name}=${quote(value)}`
  })
}

/**
 * The POSIX sh text that runs a step. Its exit code is the script's, or `directoryMissing`. Throws InputError for a name that is
 * none, and for NUL in a value.
 */
export function stepScript({ script, shell, env, secrets, directory, become }: StepScript): string {
  const { command, first } = starts[shell]
  // The script is one quoted word: an open quote, a stray brace or a here-document without end stays within it.
  const text = [
    'unset _text',
    ...exports({ ...env, ...secrets }),
    `eval ${quote(script.replaceAll(/\r+\n/g, '\n').replace(/\r+$/, ''))}`,
    '',
  ].join('\n')
  // stdin moves to fd 3 before the shell starts, so that a profile that reads stdin gets nothing. Not sooner: sudo closes fd 3.
  const open = `exec 3<&0 </dev/null; exec ${command} "$1" "$2" "$3"`
  const user = become === undefined ? '' : `sudo -n -u ${quote(become)} -- `
  const name = shell === 'sh' ? 'sh' : 'bash'
  const words = [open, 'sh', enter(first), name, directory].map(quote).join(' ')
  return hereDocument(`exec ${user}sh -c ${words}`, text)
}
