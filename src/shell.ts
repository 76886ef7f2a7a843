/** What a shell hands over: arguments, the files they name, the directory it stands in, and who types. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { homedir, hostname, userInfo } from 'node:os'
import { dirname, join, relative, resolve } from 'node:path'
import { InputError, messageOf } from './errors.ts'
import { nearest } from './manifest/nearest.ts'

/** Names of the inputs that are taken as options, of those that are secrets, and of the commands. */
export interface Known {
  readonly commands: readonly string[]
  readonly inputs: readonly string[]
  /** A process list shows arguments to everybody, so these never come by one. */
  readonly secrets: readonly string[]
}

/** Options that take a file in place of an input's text. */
export const fileOptions = { 'ssh-key-file': 'ssh-key', 'ssh-known-hosts-file': 'ssh-known-hosts' } as const
type FileOption = keyof typeof fileOptions
const isFileOption = (name: string): name is FileOption => name in fileOptions

/** The variable for an input whose name a shell takes: it knows no hyphen there. */
export const shellVariable = (input: string): string => `INPUT_${input.toUpperCase().replaceAll('-', '_')}`

/** What is wished for instead of a run. */
export type Wish = { readonly show: 'help'; readonly about: string | null } | { readonly show: 'version' } | null

const refuse = (message: string, hint: string): never => {
  throw new InputError(message, { hint })
}
const meant = (word: string, known: readonly string[], before = '') => {
  const found = nearest(word, known)
  return found === undefined ? '' : `did you mean ${before}${found}? `
}

/** `-h` and `--help` anywhere, `help`, `help COMMAND`, `--version` anywhere. Throws InputError for help about no command. */
export function wishOf(argv: readonly string[], { commands }: Pick<Known, 'commands'>): Wish {
  const [first, second] = argv
  const isHelp = first === 'help'
  if (isHelp || argv.includes('--help') || argv.includes('-h')) {
    const subject = isHelp ? second : first
    if (subject !== undefined && subject !== 'help' && !subject.startsWith('-')) checkCommand(subject, commands)
    return { show: 'help', about: argv.find(word => commands.includes(word)) ?? null }
  }
  return first === 'version' || argv.includes('--version') ? { show: 'version' } : null
}

function checkCommand(word: string, commands: readonly string[]): void {
  if (!commands.includes(word))
    refuse(`unknown command "${word}"`, `${meant(word, commands)}known: ${commands.join(', ')}`)
}

/** The value of an option: after `=`, or the next word. */
function optionValue(name: string, inline: string | undefined, next: string | undefined): string {
  if (inline !== undefined) return inline
  if (next === undefined) return refuse(`--${name} needs a value`, `write --${name} VALUE, or --${name}=VALUE`)
  if (next.startsWith('--'))
    return refuse(`--${name} needs a value; ${next} is the next option`, `write --${name}=${next} if that is its value`)
  return next
}

function checkName(name: string, { inputs, secrets }: Known): void {
  if (secrets.includes(name))
    refuse(
      `--${name} is not taken as an argument: other users of this machine could read it`,
      name === 'ssh-key' ? 'use --ssh-key-file, or the agent' : `set the variable ${shellVariable(name)}`,
    )
  if (inputs.includes(name) || isFileOption(name)) return
  const all = [...inputs.filter(i => !secrets.includes(i)), ...Object.keys(fileOptions)].sort()
  refuse(`unknown option --${name}`, `${meant(name, all, '--')}known: ${all.map(i => `--${i}`).join(', ')}`)
}

/**
 * Inputs by name. The command comes first, then `--name value` or `--name=value`, each once. An empty value is none, as in a workflow; only
 * `servers` keeps it, for it means something there. Throws InputError.
 */
export function readArguments(argv: readonly string[], known: Known, cwd: string): Readonly<Record<string, string>> {
  const values = new Map<string, string>()
  const set = (name: string, value: string, said: string) => {
    if (values.has(name)) refuse(`${said} is given twice`, 'give it once')
    values.set(name, value)
  }
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ''
    if (!word.startsWith('-')) {
      if (i > 0) refuse(`unexpected argument "${word}"`, 'the command comes first, then --name value')
      checkCommand(word, known.commands)
      set('command', word, 'the command')
      continue
    }
    const [, dashes = '', name = '', inline] = /^(-{1,2})([^=]*)(?:=(.*))?$/s.exec(word) ?? []
    if (dashes === '-')
      refuse(`unknown option ${word}`, 'options are written in full, with two hyphens: --environment NAME')
    checkName(name, known)
    const value = optionValue(name, inline, argv[i + 1]).trim()
    if (inline === undefined) i++
    if (isFileOption(name)) set(fileOptions[name], readNamed(name, value, cwd), `--${name}`)
    else set(name, value, `--${name}`)
  }
  if (!values.has('command') && argv.length > 0)
    refuse('the command is missing', `it comes first, for example: plan ${argv.join(' ')}`)
  return Object.fromEntries([...values].filter(([name, value]) => value !== '' || name === 'servers'))
}

/** `~/` is the shell's to replace, but not after `=`. */
const fullPath = (path: string, cwd: string) =>
  path === '~' || path.startsWith('~/') ? join(homedir(), path.slice(1)) : resolve(cwd, path)

/** Names of the options in arguments that `readArguments` takes, and their values. */
export const typedOptions = (argv: readonly string[]): readonly (readonly [name: string, value: string])[] =>
  argv.flatMap((word, i) => {
    const [, name, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(word) ?? []
    return name === undefined ? [] : [[name, inline ?? argv[i + 1] ?? ''] as const]
  })

/** null: nobody else can read the key's file, or none is named. ssh refuses such a key; the one that a test made is no reason to stop. */
export function keyFileWarning(argv: readonly string[], cwd: string): string | null {
  const path = typedOptions(argv)
    .find(([name]) => name === 'ssh-key-file')?.[1]
    .trim()
  if (!path || process.platform === 'win32') return null
  const mode = statSync(fullPath(path, cwd), { throwIfNoEntry: false })?.mode ?? 0
  // As ssh looks at it; a pipe (`<(…)`) is nobody else's.
  if ((mode & 0o077) === 0 || (mode & 0o170000) !== 0o100000) return null
  return `warning: others on this machine may read the key ${path} (mode ${(mode & 0o777).toString(8).padStart(4, '0')}): chmod 600 ${path}`
}

function readNamed(option: string, path: string, cwd: string): string {
  const hint = `write --${option} PATH`
  if (path === '') return refuse(`--${option} names no file`, hint)
  try {
    return readFileSync(fullPath(path, cwd), 'utf8')
  } catch (cause) {
    throw new InputError(`--${option} ${path} cannot be read: ${messageOf(cause)}`, { cause, hint })
  }
}

/** The oldest Node that has all of what is used: `Map.groupBy` came with 21, and odd versions are not kept. */
const oldestNode = 22

/** `version` as `process.versions.node` has it. A job's is the runner's; a shell may find any. Throws InputError. */
export function checkNode(version: string): void {
  if (Number.parseInt(version, 10) < oldestNode)
    throw new InputError(`Node ${oldestNode} or newer is needed; this is ${version}`, {
      hint: `start it with a newer one: \`node --version\` says which is found first`,
    })
}

/** Paths of a request, relative to the workspace. */
export interface Place {
  readonly workspace: string
  readonly manifest: string
  readonly source: string | null
  readonly reports: string
}

/**
 * The workspace is the repository around `cwd`, as a job has it checked out; without one, `cwd`. Paths that were typed are relative to
 * `cwd`; a manifest that was not named is looked for there, then at the repository's root.
 */
export function placeIn(cwd: string, typed: Partial<Omit<Place, 'workspace'>>): Place {
  const workspace = repositoryAround(cwd) ?? cwd
  const here = (path: string) => relative(workspace, fullPath(path, cwd)) || '.'
  const usual = 'deploy.yml'
  return {
    workspace,
    manifest: typed.manifest ? here(typed.manifest) : existsSync(join(cwd, usual)) ? here(usual) : usual,
    source: typed.source ? here(typed.source) : null,
    reports: here(typed.reports || 'reports'),
  }
}

function repositoryAround(directory: string): string | null {
  if (existsSync(join(directory, '.git'))) return directory
  const above = dirname(directory)
  return above === directory ? null : repositoryAround(above)
}

/** `anna@laptop`: whom a lock and the servers' history name. */
export function whoTypes(): string {
  try {
    return `${userInfo().username}@${hostname()}`
  } catch {
    // A user id without an entry in the password file.
    return `${process.getuid?.() ?? 'somebody'}@${hostname()}`
  }
}
