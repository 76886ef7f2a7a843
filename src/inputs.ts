/** The one reader of the action's inputs, of arguments and of GitHub's variables: all of it becomes one Request. */
import { readFileSync } from 'node:fs'
import { InputError, NotSupportedError } from './errors.ts'
import { type Strategy, strategies } from './manifest/schema.ts'

export const commands = ['deploy', 'plan', 'validate', 'rollback', 'recover', 'status', 'preview'] as const
export type Command = (typeof commands)[number]

/** Who runs this, from GitHub's variables; empty outside GitHub. */
export interface Run {
  readonly repository: string | null
  readonly runId: string | null
  readonly url: string | null
  readonly actor: string | null
  readonly sha: string | null
  readonly ref: string | null
  readonly event: string | null
  readonly apiUrl: string
  /** The pull request's head, on `pull_request`: there GITHUB_SHA is a merge that nobody made. */
  readonly headSha: string | null
  /** The event is about a pull request from another repository. */
  readonly fork: boolean
}

export interface Request {
  readonly command: Command
  readonly manifest: string
  readonly environment: string | null
  /** null: the manifest's. */
  readonly strategy: Strategy | null
  readonly maxParallelism: number | null
  readonly migrate: boolean | null
  /** As given: `all`, patterns, or a JSON array. */
  readonly servers: string
  readonly source: string | null
  /** What `rollback` goes back to; null: it finds out. */
  readonly release: string | null
  readonly sshKey: string | null
  readonly sshKeyPassphrase: string | null
  readonly sshAgent: string | null
  readonly sshKnownHosts: string | null
  readonly sshStrict: boolean
  readonly githubToken: string | null
  readonly workspace: string
  /** Scratch directory of the job. */
  readonly temp: string
  readonly run: Run
  /** The action step's own environment, for `env` without a value and `secrets`. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Inside GitHub Actions: workflow commands, outputs and summary are written. */
  readonly onGitHub: boolean
}

type Env = Readonly<Record<string, string | undefined>>

const flags = [
  'manifest',
  'command',
  'environment',
  'strategy',
  'max-parallelism',
  'migrate',
  'servers',
  'source',
  'release',
  'pull-request',
  'ssh-key',
  'ssh-key-passphrase',
  'ssh-known-hosts',
  'ssh-strict',
  'shard',
  'github-token',
  'github-deployment',
  'comment',
] as const
type Flag = (typeof flags)[number]
/** How it is started from a shell. */
export const usage = (): string =>
  [
    'node dist/index.js COMMAND [--INPUT VALUE]…',
    `  commands: ${commands.filter(c => !commandsNotYet.includes(c)).join(', ')}`,
    `  inputs:   ${flags
      .filter(f => f !== 'command' && !notAnArgument.has(f))
      .map(f => `--${f}`)
      .join(' ')}`,
    '  the key:  --ssh-key-file PATH, or an agent (SSH_AUTH_SOCK)',
  ].join('\n')

type Values = Partial<Record<Flag, string>>

/** Values of INPUT_*; the runner keeps hyphens and upper-cases (actions/toolkit, core.ts getInput). Surrounding white space does not count. */
const fromInputs = (env: Env): Values =>
  Object.fromEntries(
    flags.flatMap(flag => {
      const value = env[`INPUT_${flag.toUpperCase()}`]?.trim()
      return value ? [[flag, value]] : []
    }),
  )

/** Secrets never come by argument: a process list shows them. */
const notAnArgument = new Set<string>(['ssh-key', 'ssh-key-passphrase', 'github-token'])

function fromArguments(argv: readonly string[]): { values: Values; keyFile: string | null } {
  const values: Values = {}
  let keyFile: string | null = null
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i] ?? ''
    if (!word.startsWith('--')) {
      if (i > 0)
        throw new InputError(`unexpected argument "${word}"`, { hint: 'the command comes first, then --name value' })
      values.command = word
      continue
    }
    const [name = '', inline] = word.slice(2).split(/=(.*)/s)
    const value = inline ?? argv[++i]
    if (value === undefined) throw new InputError(`--${name} needs a value`)
    if (name === 'ssh-key-file') keyFile = value
    else if (notAnArgument.has(name))
      throw new InputError(`--${name} is not taken as an argument: other users of this machine could read it`, {
        hint: name === 'ssh-key' ? 'use --ssh-key-file, or the agent' : `set the variable INPUT_${name.toUpperCase()}`,
      })
    else if ((flags as readonly string[]).includes(name)) values[name as Flag] = value
    else
      throw new InputError(`unknown option --${name}`, {
        hint: `known: ${flags
          .filter(f => !notAnArgument.has(f))
          .map(f => `--${f}`)
          .join(', ')}, --ssh-key-file`,
      })
  }
  return { values, keyFile }
}

function oneOf<T extends string>(name: Flag, value: string | undefined, allowed: readonly T[], fallback: T): T {
  if (value === undefined) return fallback
  const found = allowed.find(a => a === value.toLowerCase())
  if (found === undefined)
    throw new InputError(`input ${name}: "${value}" is not known`, { hint: `write one of: ${allowed.join(', ')}` })
  return found
}

const tristate = (name: Flag, value: string | undefined): boolean | null => {
  const word = oneOf(name, value, ['auto', 'true', 'false'], 'auto')
  return word === 'auto' ? null : word === 'true'
}

function parallelism(value: string | undefined): number | null {
  if (value === undefined) return null
  if (!/^\d+$/.test(value) || Number(value) < 1 || Number(value) > 10_000)
    throw new InputError(`input max-parallelism: "${value}" is not a number from 1 to 10000`, {
      hint: 'leave it empty for the manifest’s',
    })
  return Number(value)
}

const readOrNull = (path: string | undefined): unknown => {
  if (!path) return null
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}

const field = (value: unknown, ...path: readonly string[]): unknown =>
  path.reduce<unknown>(
    (v, k) => (typeof v === 'object' && v !== null ? (v as Record<string, unknown>)[k] : undefined),
    value,
  )

/** A head repository that is gone was a fork, too. */
function isFork(event: unknown, head: unknown, base: unknown): boolean {
  if (field(event, 'pull_request') === undefined) return false
  return field(event, 'pull_request', 'head', 'repo', 'fork') === true || (base !== undefined && head !== base)
}

function readRun(env: Env): Run {
  const repository = env['GITHUB_REPOSITORY'] || null
  const runId = env['GITHUB_RUN_ID'] || null
  const server = env['GITHUB_SERVER_URL'] || 'https://github.com'
  const event = readOrNull(env['GITHUB_EVENT_PATH'])
  const head = env['GITHUB_EVENT_NAME'] === 'pull_request' ? field(event, 'pull_request', 'head', 'sha') : null
  const repositoryOf = (side: string) => field(event, 'pull_request', side, 'repo', 'full_name')
  return {
    repository,
    runId,
    url: repository && runId ? `${server}/${repository}/actions/runs/${runId}` : null,
    actor: env['GITHUB_ACTOR'] || null,
    sha: env['GITHUB_SHA'] || null,
    ref: env['GITHUB_REF'] || null,
    event: env['GITHUB_EVENT_NAME'] || null,
    apiUrl: env['GITHUB_API_URL'] || 'https://api.github.com',
    headSha: typeof head === 'string' && /^[0-9a-f]{40}$/.test(head) ? head : null,
    fork: isFork(event, repositoryOf('head'), repositoryOf('base')),
  }
}

/** Inputs whose behaviour is not there yet: given a value, they are refused. */
const notYet: readonly { readonly flag: Flag; readonly harmless: readonly string[] }[] = [
  { flag: 'pull-request', harmless: [] },
  { flag: 'shard', harmless: [] },
  { flag: 'github-deployment', harmless: ['auto', 'false'] },
]
const commandsNotYet: readonly Command[] = ['preview']

/**
 * Reads what was asked for. Inside GitHub (or without arguments) inputs count; from a shell the first argument is the command and
 * the inputs are flags. Throws InputError, and NotSupportedError for what the spec names and this version does not do.
 */
export function readRequest(env: Env, argv: readonly string[], cwd: string): Request {
  const fromShell = argv.length > 0
  const given = fromShell ? fromArguments(argv) : { values: {}, keyFile: null }
  const values: Values = { ...fromInputs(env), ...given.values }
  const command = oneOf('command', values.command, commands, 'deploy')
  if (commandsNotYet.includes(command))
    throw new NotSupportedError(`command ${command}: not supported yet`, {
      hint: 'this version has deploy, plan, validate, rollback, recover and status',
    })
  for (const { flag, harmless } of notYet) {
    const value = values[flag]
    if (value !== undefined && !harmless.includes(value))
      throw new NotSupportedError(`input ${flag}: not supported yet`, { hint: 'leave it out' })
  }
  if (values.release !== undefined && command !== 'rollback')
    throw new InputError(`input release is for the command rollback; the command here is ${command}`, {
      hint: 'leave it out, or set command: rollback',
    })
  const strategy = oneOf('strategy', values.strategy, ['auto', ...strategies], 'auto')
  const servers = fromShell ? values.servers : env['INPUT_SERVERS']?.trim()
  if (servers === '')
    throw new InputError('input servers is empty', {
      hint: 'write all, names, role:NAME, !name or a JSON array; [] means nothing to do',
    })
  oneOf('comment', values.comment, ['true', 'false'], 'true')
  return {
    command,
    manifest: values.manifest ?? 'deploy.yml',
    environment: values.environment ?? null,
    strategy: strategy === 'auto' ? null : strategy,
    maxParallelism: parallelism(values['max-parallelism']),
    migrate: tristate('migrate', values.migrate),
    servers: servers ?? 'all',
    source: values.source ?? null,
    release: values.release ?? null,
    sshKey: given.keyFile === null ? (values['ssh-key'] ?? null) : readKeyFile(given.keyFile),
    sshKeyPassphrase: values['ssh-key-passphrase'] ?? null,
    sshAgent: env['SSH_AUTH_SOCK'] || null,
    sshKnownHosts: values['ssh-known-hosts'] ?? null,
    sshStrict: oneOf('ssh-strict', values['ssh-strict'], ['true', 'false'], 'true') === 'true',
    githubToken: values['github-token'] ?? null,
    workspace: env['GITHUB_WORKSPACE'] || cwd,
    temp: env['RUNNER_TEMP'] || env['TMPDIR'] || '/tmp',
    run: readRun(env),
    env: Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('INPUT_'))),
    onGitHub: env['GITHUB_ACTIONS'] === 'true',
  }
}

function readKeyFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new InputError(`--ssh-key-file ${path} cannot be read`, { cause })
  }
}
