/**
 * inputs → command → outputs, and the one place where an error becomes an exit code. What is reported is written here: the log as it
 * comes, summary, outputs and report.json at each server's end, so that a run that is killed leaves them complete on disk.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as core from '@actions/core'
import { early } from './begin.ts'
import { systemClock } from './clock.ts'
import type { Command, Context } from './commands/context.ts'
import { deploy } from './commands/deploy.ts'
import { tellNotBegun } from './commands/not-begun.ts'
import { plan } from './commands/plan.ts'
import { recover, recoverAs } from './commands/recover.ts'
import { rollback } from './commands/rollback.ts'
import { readRunFile } from './commands/run-file.ts'
import { secretsOf } from './commands/secrets.ts'
import { status } from './commands/status.ts'
import { checkEvent, EventRefused, forkOrNull } from './commands/trust.ts'
import { validate } from './commands/validate.ts'
import { workspaceReader } from './commands/workspace.ts'
import { CancelledError, DeployError, InputError, ManifestError } from './errors.ts'
import { type Request, readRequest, usage } from './inputs.ts'
import type { Manifest } from './manifest/manifest.ts'
import { formatProblem } from './manifest/problems.ts'
import { readManifest } from './manifest/read.ts'
import type { Plan } from './plan/plan.ts'
import { annotations } from './report/annotations.ts'
import { createBus } from './report/bus.ts'
import type { Emit, Event, Result } from './report/events.ts'
import { createLog } from './report/log.ts'
import { outputs } from './report/outputs.ts'
import { planMarkdown, planText } from './report/plan-text.ts'
import { createRedactor } from './report/redact.ts'
import { createRecorder, reportJson } from './report/report-json.ts'
import { linesForLog } from './report/sanitise.ts'
import { createFold, emptyState, type ReportState } from './report/state.ts'
import { type ServerStatus, statusMarkdown, statusText } from './report/status.ts'
import { summary } from './report/summary.ts'

const commands: Readonly<Partial<Record<Request['command'], Command>>> = { deploy, plan, recover, rollback, status }

/** Runs what was asked for; returns the exit code: 0 only for `success` and `skipped`. */
export async function main(): Promise<number> {
  const cancel = onSignals()
  if (process.argv.slice(2).some(word => word === '--help' || word === 'help')) {
    process.stdout.write(`${usage()}\n`)
    return 0
  }
  let request: Request
  try {
    request = readRequest(process.env, process.argv.slice(2), process.cwd())
  } catch (error) {
    return refuse(error, process.env['GITHUB_ACTIONS'] === 'true')
  }
  const secrets = secretsOf(request, null)
  mask(request, secrets)
  if (request.command === 'validate') return report(request, secrets, null, cancel)
  let manifest: Manifest
  try {
    manifest = openManifest(request)
  } catch (error) {
    return refuse(error, request.onGitHub)
  }
  const all = secretsOf(request, manifest)
  mask(request, all.slice(secrets.length))
  return report(request, all, manifest, cancel)
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
  const file = readRunFile(process.env['STATE_runFile'] ?? '')
  if (file === null || file.finished) return 0
  const request = {
    ...readRequest(process.env, [], process.cwd()),
    command: 'recover' as const,
    sshKnownHosts: file.knownHosts,
    servers: JSON.stringify(file.servers),
  }
  const late = new AbortController()
  setTimeout(() => late.abort(tooLate), postSeconds * 1000).unref()
  const cancel = AbortSignal.any([onSignals(), late.signal])
  const secrets = secretsOf(request, file.manifest)
  mask(request, secrets)
  process.stdout.write('The run ended before it could decide about every server; what it left is brought to an end.\n')
  return report(request, secrets, file.manifest, cancel, {
    name: 'post',
    run: context => recoverAs(context, file.token, false),
  })
}

/** A reader that goes away is no reason to leave servers half deployed. */
function ignoreBrokenPipes(): void {
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})
}

/** The first signal cancels; the runner kills what is still there ten seconds later. A second one ends at once. */
function onSignals(): AbortSignal {
  ignoreBrokenPipes()
  const cancel = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      // GitHub sends SIGTERM 7.5 s after SIGINT to a run that is still ending well; a person sends the same signal twice.
      if (cancel.signal.aborted && signal === 'SIGINT') process.exit(130)
      cancel.abort(new CancelledError(`the run was cancelled (${signal})`))
    })
  }
  // What came while the bundle was loading counts too.
  if (early.signal !== null) cancel.abort(new CancelledError(`the run was cancelled (${early.signal})`))
  return cancel.signal
}

function mask(request: Request, secrets: readonly string[]): void {
  if (request.onGitHub) for (const secret of secrets) if (secret.trim() !== '') core.setSecret(secret)
}

/** Reads the workspace's manifest. Throws InputError, ManifestError. */
function openManifest(request: Request): Manifest {
  const readFile = workspaceReader(request.workspace)
  return readManifest({
    file: request.manifest,
    text: readFile(request.manifest),
    environment: request.environment,
    readFile,
    ...(request.onGitHub
      ? { names: { 'github.run_id': request.run.runId ?? '', 'github.repository': request.run.repository ?? '' } }
      : {}),
  })
}

/** Errors before there is anything to report about: printed, annotated, and the outputs still say `failure`. */
function refuse(error: unknown, onGitHub: boolean): number {
  const shown = error instanceof ManifestError ? error.problems : []
  // What stands in a manifest may come from a pull request: it prints no workflow command.
  const plain = onGitHub ? linesForLog : (text: string) => text
  for (const problem of shown) process.stdout.write(`${plain(formatProblem(problem))}\n\n`)
  const message = error instanceof DeployError ? [error.message, error.hint].filter(Boolean).join('\n') : stackOf(error)
  if (onGitHub) {
    for (const p of shown.slice(0, 8))
      core.error(p.hint ? `${p.message}\n${p.hint}` : p.message, {
        file: p.file,
        startLine: p.line,
        startColumn: p.column,
        title: 'deploy-action',
      })
    if (shown.length === 0) core.error(message)
    for (const [name, value] of Object.entries({ ...outputs(emptyState), result: 'failure' }))
      core.setOutput(name, value)
    writeSummary(
      `## ❌ Refused\n\n${[...shown.map(formatProblem), ...(shown.length === 0 ? [message] : [])].map(text => `<pre>${escapeHtml(text)}</pre>`).join('\n\n')}\n`,
    )
  } else if (shown.length === 0) process.stderr.write(`${message}\n`)
  return 1
}

const escapeHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const stackOf = (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error))

function writeSummary(markdown: string): void {
  const file = process.env['GITHUB_STEP_SUMMARY']
  if (file) writeFileSync(file, markdown)
}

/** Carries a command out with everything that reports about it. */
async function report(
  request: Request,
  secrets: readonly string[],
  manifest: Manifest | null,
  cancel: AbortSignal,
  command: { readonly name: string; readonly run: (context: Context) => Promise<Result> } = {
    name: request.command,
    run: context => run(request, context),
  },
): Promise<number> {
  const redactor = createRedactor(secrets)
  const fold = createFold()
  const recorder = createRecorder()
  const log = createLog({
    // Once more: a secret with colour codes in its middle is whole only after the sanitiser has been at it.
    write: line => process.stdout.write(`${redactor.redact(line)}\n`),
    github: request.onGitHub,
    colour: !request.onGitHub && process.stdout.isTTY === true,
  })
  const reportPath = join(request.temp, `deploy-action-${request.run.runId ?? 'run'}-${process.pid}.json`)
  const shown: Shown = { plan: null, status: null }
  const files = () => writeFiles(request, fold.state(), recorder.events(), reportPath, shown, redactor.redact)
  let written = 0
  const checkpoint = () => {
    if (systemClock.now() - written < checkpointMs) return
    files()
    written = systemClock.now()
  }
  const emit: Emit = createBus(systemClock, redactor, [
    fold.listener,
    recorder.listener,
    log,
    event => {
      if (event.type === 'server-ended') checkpoint()
    },
  ])
  if (redactor.tooShort > 0)
    emit({
      type: 'message',
      level: 'warning',
      text: `${redactor.tooShort} secret(s) are shorter than 4 characters and cannot be taken out of logs`,
    })
  emit({
    type: 'run-started',
    command: command.name,
    manifest: request.manifest,
    runUrl: request.run.url,
    ...(manifest === null ? {} : { subject: subjectOf(manifest) }),
  })
  const showPlan = (value: Plan) => {
    shown.plan = value
    emit({ type: 'planned', plan: value })
    for (const line of planText(value).split('\n')) process.stdout.write(`${redactor.redact(line)}\n`)
  }
  const showStatus = (rows: readonly ServerStatus[]) => {
    shown.status = rows
    process.stdout.write(`${redactor.redact(statusText(rows))}\n`)
  }
  const saveRunFile = (path: string) => {
    if (process.env['GITHUB_STATE']) core.saveState('runFile', path)
  }
  const context = { request, emit, clock: systemClock, cancel, showPlan, showStatus, saveRunFile }
  let result: Result
  try {
    result = await (manifest === null ? validate(context) : command.run({ ...context, manifest }))
    emit({ type: 'run-ended', result })
  } catch (error) {
    if (error instanceof ManifestError) return refuse(error, request.onGitHub)
    result = cancel.aborted ? 'cancelled' : 'failure'
    if (manifest !== null && !(error instanceof EventRefused))
      tellNotBegun({ ...context, manifest }, name => Boolean(fold.server(name)?.ended))
    const known = error instanceof DeployError
    emit({
      type: 'run-ended',
      result,
      error: {
        message: known ? error.message : `a fault of this program: ${stackOf(error)}`,
        ...(known && error.hint ? { hint: error.hint } : {}),
      },
    })
  }
  writeOutputs(request, fold.state(), reportPath, shown, redactor.redact)
  try {
    files()
  } catch (error) {
    process.stdout.write(`The report could not be written: ${stackOf(error)}\n`)
  }
  if (request.onGitHub) for (const line of annotations(fold.state())) process.stdout.write(`${redactor.redact(line)}\n`)
  return result === 'success' || result === 'skipped' ? 0 : 1
}

const subjectOf = ({ application, environment }: Manifest) =>
  environment === null ? application : `${application} → ${environment}`

async function run(request: Request, context: Context): Promise<Result> {
  const why = forkOrNull(request)
  if (why !== null) {
    context.emit({ type: 'message', level: 'notice', text: why })
    return 'skipped'
  }
  await checkEvent(request)
  const command = commands[request.command]
  if (command === undefined) throw new InputError(`command ${request.command} is not known`)
  return command(context)
}

/** What a command found only to show it. */
interface Shown {
  plan: Plan | null
  status: readonly ServerStatus[] | null
}

const shownMarkdown = ({ plan: made, status: rows }: Shown): string | null =>
  made !== null ? planMarkdown(made) : rows !== null ? statusMarkdown(rows) : null

/** A run that is killed leaves a summary at most this old, in milliseconds; one of 5,000 servers takes 170 ms to make (measured). */
const checkpointMs = 2000

function writeFiles(
  request: Request,
  state: ReportState,
  events: readonly Event[],
  path: string,
  shown: Shown,
  redact: (text: string) => string,
): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, reportJson(state, events))
  if (request.onGitHub) writeSummary(redact(shownMarkdown(shown) ?? summary(state)))
}

function writeOutputs(
  request: Request,
  state: ReportState,
  path: string,
  shown: Shown,
  redact: (text: string) => string,
): void {
  if (!request.onGitHub) return
  const values: Record<string, string> = { ...outputs(state), 'report-path': path }
  if (shown.plan !== null) values['plan'] = redact(JSON.stringify(shown.plan))
  if (shown.status !== null) values['status'] = redact(JSON.stringify(shown.status))
  for (const [name, value] of Object.entries(values)) core.setOutput(name, value)
}
