/** How this program is started from a shell, for people. */
import { InputError } from './errors.ts'
import { quote } from './fleet/quote.ts'
import type { Command } from './inputs.ts'
import { shellVariable, typedOptions } from './shell.ts'

const commands: Readonly<Record<Command, string>> = {
  plan: 'shows what a deployment would do, and why; changes nothing',
  deploy: 'deploys the release to the servers',
  validate: 'reads the manifest alone; connects to nothing',
  rollback: 'puts the release before in place again, or the one of --release',
  recover: 'brings to an end what runs that were cut off left, puts left-out servers back',
  status: 'shows what each server runs, its rotation, its lock; changes nothing',
  preview: "deploys a pull request's preview, or removes it once the pull request is closed",
  report: "merges the reports of a fan-out's shards; connects to nothing",
}

interface Option {
  readonly name: string
  readonly value: string
  readonly text: string
  /** Whom it concerns. */
  readonly of: readonly Command[]
}

/** Those that are of one environment; a preview makes its own, with all its servers. */
const ofEnvironment = ['plan', 'status', 'deploy', 'rollback', 'recover'] as const
const connecting = [...ofEnvironment, 'preview'] as const
const dividing = ['plan', 'deploy', 'rollback'] as const
const choosing = [...dividing, 'preview'] as const

const options: readonly Option[] = [
  { name: 'environment', value: 'NAME', text: 'the environment of the manifest', of: ['validate', ...ofEnvironment] },
  {
    name: 'manifest',
    value: 'PATH',
    text: 'the manifest; default deploy.yml here, else at the root of the repository',
    of: ['validate', ...connecting],
  },
  {
    name: 'servers',
    value: 'LIST',
    text: "names, globs, role:NAME, '!name', or a JSON array; default all",
    of: ofEnvironment,
  },
  { name: 'strategy', value: 'NAME', text: 'serial, parallel or rolling, for this once', of: choosing },
  { name: 'max-parallelism', value: 'N', text: 'how many steps run at any one time, for this once', of: choosing },
  { name: 'migrate', value: 'true|false', text: 'whether migrations run, for this once', of: ['plan', 'deploy'] },
  {
    name: 'source',
    value: 'PATH',
    text: 'what is deployed, for this once',
    of: choosing.filter(c => c !== 'rollback'),
  },
  { name: 'release', value: 'ID', text: 'the release to go back to', of: ['rollback'] },
  { name: 'shard', value: 'I/N', text: 'one part of a fan-out, 2/8', of: dividing },
  { name: 'pull-request', value: 'N', text: 'the number of the pull request', of: ['preview', 'plan'] },
  {
    name: 'comment',
    value: 'true|false',
    text: "whether the pull request's comment is kept up to date",
    of: ['preview'],
  },
  {
    name: 'github-deployment',
    value: 'true|false',
    text: "whether GitHub's record of deployments is kept",
    of: ['deploy', 'rollback', 'preview', 'report'],
  },
  { name: 'reports', value: 'PATH', text: 'the directory with the reports; default reports', of: ['report'] },
  { name: 'ssh-key-file', value: 'PATH', text: 'private key; default: the agent of SSH_AUTH_SOCK', of: connecting },
  {
    name: 'ssh-known-hosts-file',
    value: 'PATH',
    text: 'known hosts in place of the file that the manifest names',
    of: connecting,
  },
  { name: 'ssh-known-hosts', value: 'LINES', text: 'the same as text', of: connecting },
  {
    name: 'ssh-strict',
    value: 'true|false',
    text: 'false: unknown host keys are accepted, with a warning each',
    of: connecting,
  },
]

const aligned = (rows: readonly (readonly [string, string])[]): readonly string[] => {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`)
}

const isCommand = (word: string | null): word is Command => word !== null && word in commands

/** `program`: how it is called, `node dist/index.js`. `about`: one command; null: all of them. */
export function usage(program: string, about: string | null = null): string {
  const one = isCommand(about) ? about : null
  const rows = options
    .filter(o => one === null || o.of.includes(one))
    .map(o => [`--${o.name} ${o.value}`, o.text] as const)
  const keyed = one === null || connecting.some(c => c === one)
  return [
    `${program} ${one ?? 'COMMAND'}${rows.length > 0 ? ' [--OPTION VALUE]…' : ''}`,
    '',
    ...(one === null
      ? ['Commands', ...aligned(Object.entries(commands)), '', `${program} help COMMAND shows the options of one.`]
      : [`${one} ${commands[one]}.`]),
    ...(rows.length === 0 ? [] : ['', 'Options', ...aligned(rows)]),
    ...(keyed
      ? [
          '',
          `No secret comes by argument. The passphrase of a key is asked for on a terminal, or comes as ${shellVariable('ssh-key-passphrase')};`,
          `a token of GitHub as ${shellVariable('github-token')}; what the manifest lists under secrets: as a variable of its name.`,
        ]
      : []),
    '',
    'Exit codes',
    ...aligned([
      ['0', 'success'],
      ['1', 'failure'],
      ['2', 'the command line cannot be used; nothing was begun'],
      ['130', 'cancelled by Ctrl-C (143 by SIGTERM, 129 by SIGHUP)'],
    ]),
  ].join('\n')
}

/**
 * Throws InputError for an option that the command has no use for: who typed it believes that it has. Those about the key are taken by all, so
 * that one list of them serves several commands.
 */
export function checkOptions(command: Command, argv: readonly string[]): void {
  for (const [name] of typedOptions(argv)) {
    const option = options.find(o => o.name === name)
    if (option === undefined || name.startsWith('ssh-') || option.of.includes(command)) continue
    throw new InputError(`--${name} is for ${option.of.join(', ')}; the command here is ${command}`, {
      hint: 'leave it out',
    })
  }
}

/** What of a command line also says where and how to recover. */
const kept = new Set([
  'environment',
  'manifest',
  'ssh-key-file',
  'ssh-known-hosts',
  'ssh-known-hosts-file',
  'ssh-strict',
])

/** A word as a shell takes it. */
export const typable = (text: string): string => (/^[\w./@:+=~-]+$/.test(text) ? text : quote(text))

/** The line that brings to an end what a run left that was started with these arguments. Of a preview that is its next deployment, or removal. */
export function recoverLine(program: string, argv: readonly string[]): string {
  if (argv[0] === 'preview') return [program, ...argv.map(typable)].join(' ')
  const words: string[] = []
  for (let i = 1; i < argv.length; i++) {
    const word = argv[i] ?? ''
    const both = word.includes('=') ? [word] : [word, argv[++i] ?? '']
    if (kept.has(/^--([^=]*)/.exec(word)?.[1] ?? '')) words.push(...both)
  }
  return [program, 'recover', ...words.map(typable)].join(' ')
}
