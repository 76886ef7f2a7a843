/** The one reader of the action's inputs, of arguments and of GitHub's variables: all of it becomes one Request. */
import { InputError } from './errors.ts'
import { type Run, readRun } from './event.ts'
import { type Strategy, strategies } from './manifest/schema.ts'
import { type Place, placeIn, readArguments, shellVariable, whoTypes } from './shell.ts'

export const commands = ['deploy', 'plan', 'validate', 'rollback', 'recover', 'status', 'preview', 'report'] as const
export type Command = (typeof commands)[number]

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
  /** For `preview`; null: the event's. */
  readonly pullRequest: number | null
  readonly sshKey: string | null
  readonly sshKeyPassphrase: string | null
  readonly sshAgent: string | null
  readonly sshKnownHosts: string | null
  readonly sshStrict: boolean
  readonly githubToken: string | null
  /** One part of a fan-out, from 1; null: all of it. */
  readonly shard: { readonly index: number; readonly of: number } | null
  /** `plan`: how many shards there may be; null: as many as the limits allow. */
  readonly mostShards: number | null
  /** null: for previews only, since a job with `environment:` has a record already. */
  readonly githubDeployment: boolean | null
  /** Previews: whether one comment is kept up to date. */
  readonly comment: boolean
  /** For `report`: the directory with the shards' reports. */
  readonly reports: string
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
  'reports',
] as const
type Flag = (typeof flags)[number]
type Values = Partial<Record<Flag, string>>

/**
 * Values of INPUT_*; the runner keeps hyphens and upper-cases (actions/toolkit, core.ts getInput), and a shell can set only names without
 * them. Surrounding white space does not count.
 */
const fromInputs = (env: Env, fromShell: boolean): Values =>
  Object.fromEntries(
    flags.flatMap(flag => {
      const given = env[`INPUT_${flag.toUpperCase()}`] ?? (fromShell ? env[shellVariable(flag)] : undefined)
      const value = given?.trim()
      return value ? [[flag, value]] : []
    }),
  )

const secrets = ['ssh-key', 'ssh-key-passphrase', 'github-token'] as const satisfies readonly Flag[]

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

/** Digits only: nothing else of it could reach a path. */
function pullRequest(value: string | undefined): number | null {
  if (value === undefined) return null
  if (!/^[1-9]\d{0,8}$/.test(value))
    throw new InputError(`input pull-request: "${value}" is not the number of a pull request`, {
      hint: 'write its number alone, for example 12',
    })
  return Number(value)
}

/** What may be one part of a fan-out. */
const divisible: readonly Command[] = ['deploy', 'rollback', 'plan']
/** A matrix has at most 256 jobs (GitHub's limit). */
const mostJobs = 256

function sharding(command: Command, value: string | undefined): Pick<Request, 'shard' | 'mostShards'> {
  if (value === undefined) return { shard: null, mostShards: null }
  if (!divisible.includes(command))
    throw new InputError(`input shard is for ${divisible.join(', ')}; the command here is ${command}`, {
      hint: 'leave it out: one run does it for all servers',
    })
  const [, index = '', of = ''] = /^(?:(\d{1,3})\s*\/)?\s*(\d{1,3})$/.exec(value) ?? []
  const good = (text: string, most: number) => Number(text) >= 1 && Number(text) <= most
  if (!good(of, mostJobs) || (index !== '' && !good(index, Number(of))))
    throw new InputError(`input shard: "${value}" is no part of a fan-out`, {
      hint: `write 2/8 for the second of eight, at most ${mostJobs}; with the command plan also 8, for at most eight`,
    })
  if (index !== '') return { shard: { index: Number(index), of: Number(of) }, mostShards: null }
  if (command !== 'plan')
    throw new InputError(`input shard: "${value}" does not say which part`, {
      hint: `write 1/${of}; only the command plan takes a number alone, for how many there may be`,
    })
  return { shard: null, mostShards: Number(of) }
}

/**
 * Reads what was asked for. Inside GitHub (or without arguments) inputs count; from a shell the first argument is the command and
 * the inputs are flags. Throws InputError.
 */
export function readRequest(env: Env, argv: readonly string[], cwd: string): Request {
  const fromShell = argv.length > 0
  const onGitHub = env['GITHUB_ACTIONS'] === 'true'
  const typed: Values = fromShell ? readArguments(argv, { commands, inputs: flags, secrets }, cwd) : {}
  const values: Values = { ...fromInputs(env, fromShell), ...typed }
  const command = oneOf('command', values.command, commands, 'deploy')
  if (values['pull-request'] !== undefined && command !== 'preview' && command !== 'plan')
    throw new InputError(`input pull-request is for the commands preview and plan; the command here is ${command}`, {
      hint: 'leave it out, or set command: preview',
    })
  if (values.release !== undefined && command !== 'rollback')
    throw new InputError(`input release is for the command rollback; the command here is ${command}`, {
      hint: 'leave it out, or set command: rollback',
    })
  const run = readRun(env)
  const strategy = oneOf('strategy', values.strategy, ['auto', ...strategies], 'auto')
  const servers = fromShell ? values.servers : env['INPUT_SERVERS']?.trim()
  if (servers === '')
    throw new InputError('input servers is empty', {
      hint: 'write all, names, role:NAME, !name or a JSON array; [] means nothing to do',
    })
  return {
    command,
    environment: values.environment ?? null,
    strategy: strategy === 'auto' ? null : strategy,
    maxParallelism: parallelism(values['max-parallelism']),
    migrate: tristate('migrate', values.migrate),
    servers: servers ?? 'all',
    release: values.release ?? null,
    pullRequest: pullRequest(values['pull-request']),
    sshKey: values['ssh-key'] ?? null,
    sshKeyPassphrase: values['ssh-key-passphrase'] ?? null,
    sshAgent: env['SSH_AUTH_SOCK'] || null,
    sshKnownHosts: values['ssh-known-hosts'] ?? null,
    sshStrict: oneOf('ssh-strict', values['ssh-strict'], ['true', 'false'], 'true') === 'true',
    githubToken: values['github-token'] ?? null,
    ...sharding(command, values.shard),
    githubDeployment: tristate('github-deployment', values['github-deployment']),
    comment: oneOf('comment', values.comment, ['true', 'false'], 'true') === 'true',
    ...(fromShell && !onGitHub ? placeIn(cwd, values) : placeOfJob(env, cwd, values)),
    temp: env['RUNNER_TEMP'] || env['TMPDIR'] || '/tmp',
    run: onGitHub ? run : { ...run, actor: run.actor ?? whoTypes() },
    env: Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('INPUT_'))),
    onGitHub,
  }
}

const placeOfJob = (env: Env, cwd: string, values: Values): Place => ({
  workspace: env['GITHUB_WORKSPACE'] || cwd,
  manifest: values.manifest ?? 'deploy.yml',
  source: values.source ?? null,
  reports: values.reports ?? 'reports',
})
