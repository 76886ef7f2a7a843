/** inputs → command → exit code; and what the runner's post step does. */
import { mkdtempSync, rmSync } from 'node:fs'
import { join, relative } from 'node:path'
import * as core from '@actions/core'
import type { Bare, BareCommand, Command, Context } from './commands/context.ts'
import { deploy } from './commands/deploy.ts'
import { openManifest } from './commands/open-manifest.ts'
import { plan } from './commands/plan.ts'
import { afterTeardown, type Settled, settlePreview } from './commands/preview.ts'
import { leaveNothing } from './commands/preview-deploy.ts'
import { closeLeftRecord, hasLeftRecord } from './commands/recording.ts'
import { recover, recoverAs } from './commands/recover.ts'
import { mergeReports } from './commands/report.ts'
import { rollback } from './commands/rollback.ts'
import { type RunFile, readRunFile } from './commands/run-file.ts'
import { secretsOf } from './commands/secrets.ts'
import { status } from './commands/status.ts'
import { checkEvent, forkOrNull } from './commands/trust.ts'
import { validate } from './commands/validate.ts'
import { CancelledError, InputError, messageOf } from './errors.ts'
import { commands, type Request, readRequest } from './inputs.ts'
import { stderr, stdout } from './output.ts'
import { askPassphrase } from './passphrase.ts'
import type { Result } from './report/events.ts'
import { linesForLog } from './report/sanitise.ts'
import { refuse, report } from './reporting.ts'
import { checkNode, keyFileWarning, wishOf } from './shell.ts'
import { onSignals, type Signals } from './signals.ts'
import { checkOptions, recoverLine, typable, usage } from './usage.ts'
import { versionOf } from './version.ts'

type Named<C> = Readonly<Partial<Record<Request['command'], C>>>
const withManifest: Named<Command> = { deploy, plan, recover, rollback, status }
/** Commands that need no manifest of one environment. */
const bareCommands: Named<BareCommand> = { report: mergeReports, validate }

/** Exit code for a command line that cannot be used, as shells have it. */
const misused = 2

/**
 * Runs what was asked for; returns the exit code: 0 only for `success` and `skipped`; outside GitHub 2 for a command line that cannot be
 * used, and 128 + the signal's number for a run that was cancelled.
 */
export async function main(): Promise<number> {
  const argv = process.argv.slice(2)
  const onGitHub = process.env['GITHUB_ACTIONS'] === 'true'
  ignoreBrokenPipes()
  const signals = onSignals(onGitHub)
  let request: Request
  try {
    const told = tellAbout(argv, onGitHub)
    if (told !== null) return told
    checkNode(process.versions.node)
    request = readRequest(process.env, argv, process.cwd())
    checkOptions(request.command, argv)
  } catch (error) {
    const code = refuse(error, onGitHub)
    return onGitHub ? code : misused
  }
  if (onGitHub) return carryOut(request, signals.cancel)
  const warning = keyFileWarning(argv, process.cwd())
  if (warning !== null) stderr.write(`${warning}\n`)
  const passphrase = await passphraseFor(request, signals.cancel)
  if (passphrase === 'cancelled') return signals.exitCode() ?? 130
  return fromShell({ ...request, sshKeyPassphrase: passphrase }, signals)
}

/** Help and version, which carry nothing out; null: something else was asked for. Throws InputError. */
function tellAbout(argv: readonly string[], onGitHub: boolean): number | null {
  const wish = wishOf(argv, { commands })
  if (wish?.show === 'version') {
    stdout.write(`deploy-action ${versionOf(process.argv[1] ?? '')}\n`)
    return 0
  }
  if (wish?.show === 'help') {
    stdout.write(`${usage(program(), wish.about)}\n`)
    return 0
  }
  // The runner hands over no arguments. Who types none must not have deployed something by it.
  if (argv.length > 0 || onGitHub || process.env['INPUT_COMMAND']) return null
  stderr.write(`${usage(program())}\n`)
  return misused
}

/** How it was called, for lines that a person types again. */
const program = () => `node ${typable(relative(process.cwd(), process.argv[1] ?? '') || 'dist/index.js')}`

const passphraseFor = async ({ command, sshKey, sshKeyPassphrase }: Request, cancel: AbortSignal) =>
  sshKey === null || sshKeyPassphrase !== null || command === 'validate' || command === 'report'
    ? sshKeyPassphrase
    : askPassphrase(sshKey, cancel)

/**
 * From a shell there is no post step and nobody who kills: after a cancel this process itself brings to an end what is undecided, for as long
 * as it takes, or until a second Ctrl-C.
 */
async function fromShell(asked: Request, { cancel, exitCode, atOnce }: Signals): Promise<number> {
  let request: Request
  try {
    // Reports may be read by others in a directory that all share, and a name there can be guessed.
    request = { ...asked, temp: mkdtempSync(join(asked.temp, 'deploy-action-')) }
  } catch (cause) {
    const hint = 'set TMPDIR to a directory that is there and can be written'
    return refuse(new InputError(`no directory for temporary files: ${messageOf(cause)}`, { cause, hint }), false)
  }
  let runFile = ''
  const left = () => {
    const file = readRunFile(runFile)
    return file === null || file.finished ? null : file
  }
  const goOn = `What is undecided stays so until the next deployment, or:\n  ${recoverLine(program(), process.argv.slice(2))}`
  atOnce(() => (left() === null ? '' : `Ended at once. ${goOn}`))
  const code = await carryOut(request, cancel, path => {
    runFile = path
  })
  const file = left()
  if (file !== null) {
    const isOpen = !cancel.aborted || (await bringToEnd(request, file, new AbortController().signal)) !== 0
    // Nothing comes after it that a second Ctrl-C could cut off.
    atOnce(() => '')
    // Of a preview that goes, nothing is recovered: the run has said what becomes of it.
    if (isOpen && !file.teardown) stdout.write(`${goOn}\n`)
  }
  if (runFile === '' && request.command !== 'report') rmSync(request.temp, { recursive: true, force: true })
  // Who pressed Ctrl-C as it ended well has a success.
  return code === 0 ? 0 : (exitCode() ?? code)
}

/** `runFile` is told where the run keeps what brings it to an end, for who has no post step. */
async function carryOut(request: Request, cancel: AbortSignal, runFile?: (path: string) => void): Promise<number> {
  const secrets = secretsOf(request, null)
  mask(request, secrets)
  const bare = bareCommands[request.command]
  const name = request.command
  const rest = runFile === undefined ? {} : { runFile }
  if (bare !== undefined) return report(request, secrets, null, cancel, { name, run: bare, ...rest })
  let settled: Settled
  try {
    settled = name === 'preview' ? await settlePreview(request, cancel) : settle(request)
  } catch (error) {
    return refuse(error, request.onGitHub)
  }
  const { request: own, manifest, gitHub } = settled
  const all = secretsOf(own, manifest)
  mask(request, all.slice(secrets.length))
  const ran = (c: Bare) => run(own, () => settled.run(c), c)
  const asked = gitHub === undefined ? {} : { gitHub }
  return report(own, all, manifest, cancel, { name: settled.name ?? name, run: ran, ...asked, ...rest })
}

/** Throws InputError, ManifestError. */
function settle(request: Request): Settled {
  const manifest = openManifest(request)
  return {
    request,
    manifest,
    run(c) {
      const command = withManifest[request.command]
      if (command === undefined) throw new InputError(`command ${request.command} is not known`)
      return command({ ...c, manifest })
    },
  }
}

/** Seconds that `post` may take: the job ends five minutes after it was cancelled. */
const postSeconds = 240

const tooLate = new CancelledError(
  `the time of post is over (${postSeconds / 60} minutes); what is not decided yet stays open`,
  {
    hint: 'the next deployment brings it to an end, or the command recover',
  },
)

/**
 * After main, however it ended. Without a run file, or with a finished one, it connects to nothing; else it brings to an end what main
 * could not, from that file and the servers' journals, never from the workspace.
 */
export async function post(): Promise<number> {
  ignoreBrokenPipes()
  const file = readRunFile(process.env['STATE_runFile'] ?? '')
  if (file === null || file.finished) {
    if (!hasLeftRecord(process.env)) return 0
    const request = readRequest(process.env, [], process.cwd())
    mask(request, secretsOf(request, null))
    const warn = (text: string) => core.warning(linesForLog(text))
    await closeLeftRecord(request, file !== null, onSignals(true).cancel, warn)
    return 0
  }
  const late = new AbortController()
  setTimeout(() => late.abort(tooLate), postSeconds * 1000).unref()
  const cancel = AbortSignal.any([onSignals(true).cancel, late.signal])
  return bringToEnd(readRequest(process.env, [], process.cwd()), file, cancel)
}

/** What a run that has ended left undecided: from its file and the servers' journals, as the owner of its locks. */
function bringToEnd(asked: Request, file: RunFile, cancel: AbortSignal): Promise<number> {
  const request = {
    ...asked,
    command: 'recover' as const,
    sshKnownHosts: file.knownHosts,
    // Of a shard its own.
    servers: JSON.stringify(file.servers),
    shard: null,
  }
  const secrets = secretsOf(request, file.manifest)
  mask(request, secrets)
  stdout.write('The run ended before it could decide about every server; what it left is brought to an end.\n')
  return report(request, secrets, file.manifest, cancel, {
    name: request.onGitHub ? 'post' : 'recover',
    run: c => endOf({ ...c, manifest: file.manifest }, file),
    post: true,
    ...(request.onGitHub ? {} : { cancelled: true as const }),
  })
}

/** A preview that was being removed stays as it is; one whose first deployment had not begun goes again. */
async function endOf(c: Context, { manifest, token, teardown, fanOut }: RunFile): Promise<Result> {
  if (teardown) return afterTeardown(c, token)
  try {
    return await recoverAs(c, token, false, fanOut)
  } finally {
    if (manifest.preview !== undefined) await leaveNothing(c)
  }
}

/** A reader that goes away, or a terminal that is closed, is no reason to leave servers half deployed. */
function ignoreBrokenPipes(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
}

function mask(request: Request, secrets: readonly string[]): void {
  if (request.onGitHub) for (const secret of secrets) if (secret.trim() !== '') core.setSecret(secret)
}

/** Throws EventRefused for what the event that started the run may not do. */
async function run(request: Request, command: () => Promise<Result>, { emit }: Bare): Promise<Result> {
  const why = forkOrNull(request)
  if (why !== null) {
    emit({ type: 'message', level: 'notice', text: why })
    return 'skipped'
  }
  await checkEvent(request)
  return command()
}
