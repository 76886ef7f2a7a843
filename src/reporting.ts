/**
 * Everything that reports about a run, around the command that is carried out: the log as it comes, summary, outputs and report.json at
 * each server's end, so that a run that is killed leaves them complete on disk; and where an error becomes an exit code.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import * as core from '@actions/core'
import { systemClock } from './clock.ts'
import type { Bare } from './commands/context.ts'
import { type Following, followersOf } from './commands/followers.ts'
import { shardOf, tellNotBegun } from './commands/not-begun.ts'
import { EventRefused } from './commands/trust.ts'
import { DeployError, ManifestError } from './errors.ts'
import type { Request } from './inputs.ts'
import type { Manifest } from './manifest/manifest.ts'
import { formatProblem } from './manifest/problems.ts'
import { stderr, stdout } from './output.ts'
import type { Plan } from './plan/plan.ts'
import type { Sharding } from './plan/shards.ts'
import { annotations } from './report/annotations.ts'
import { createBus } from './report/bus.ts'
import { endingWords } from './report/ending-words.ts'
import type { Emit, Event, Result } from './report/events.ts'
import { createLog } from './report/log.ts'
import { looksOf } from './report/looks.ts'
import { outputs } from './report/outputs.ts'
import { planMarkdown, planText } from './report/plan-text.ts'
import { progressLine } from './report/progress.ts'
import { createRedactor } from './report/redact.ts'
import { createRecorder, reportJson } from './report/report-json.ts'
import { linesForLog } from './report/sanitise.ts'
import { createFold, emptyState, type ReportState } from './report/state.ts'
import { type ServerStatus, statusMarkdown, statusText } from './report/status.ts'
import { summary } from './report/summary.ts'
import { createTerminal, type Terminal } from './report/terminal.ts'

/** What is carried out, and what it is called. */
export interface Carried {
  readonly name: string
  readonly run: (context: Bare) => Promise<Result>
  /** The client that GitHub was asked with before it began. */
  readonly gitHub?: NonNullable<Following['gitHub']> | null
  /** It brings to an end what main could not. */
  readonly post?: true
  /** What it brings to an end was cancelled, and so the whole run was, however well it ends. */
  readonly cancelled?: true
  /** Told where `post` finds what it needs, also where there is no post step. */
  readonly runFile?: (path: string) => void
}

/** Errors before there is anything to report about: printed, annotated, and the outputs still say `failure`. */
export function refuse(error: unknown, onGitHub: boolean): number {
  const shown = error instanceof ManifestError ? error.problems : []
  // What stands in a manifest may come from a pull request: it prints no workflow command.
  const plain = onGitHub ? linesForLog : (text: string) => text
  for (const problem of shown) stdout.write(`${plain(formatProblem(problem))}\n\n`)
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
  } else if (shown.length === 0) stderr.write(`${message}\n`)
  return 1
}

const escapeHtml = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
const stackOf = (error: unknown) => (error instanceof Error ? (error.stack ?? error.message) : String(error))

function writeSummary(markdown: string): void {
  const file = process.env['GITHUB_STEP_SUMMARY']
  if (file) writeFileSync(file, markdown)
}

/** Carries a command out with everything that reports about it. */
export async function report(
  request: Request,
  secrets: readonly string[],
  manifest: Manifest | null,
  cancel: AbortSignal,
  command: Carried,
): Promise<number> {
  const redactor = createRedactor(secrets)
  const fold = createFold()
  const recorder = createRecorder()
  const looks = request.onGitHub ? null : looksOf(request.env, stdout.isTerminal())
  const screen = looks?.progress ? progressOn(redactor.redact, fold.state) : null
  // Once more: a secret with colour codes in its middle is whole only after the sanitiser has been at it.
  const print = (text: string) => {
    if (screen === null) stdout.write(`${redactor.redact(text)}\n`)
    else screen.print(redactor.redact(text))
  }
  const log = createLog({
    write: print,
    github: request.onGitHub,
    colour: looks?.colour === true,
    cancelled: command.cancelled === true,
  })
  const reportPath = join(request.temp, reportName(request, command))
  const shown: Shown = { plan: null, sharding: null, status: null }
  const files = () => writeFiles(request, fold.state(), recorder.events(), reportPath, shown, redactor.redact)
  let isTold = false
  const save = () => {
    try {
      files()
    } catch (error) {
      if (!isTold) stdout.write(`The report could not be written: ${stackOf(error)}\n`)
      isTold = true
    }
  }
  let written = 0
  const checkpoint = () => {
    if (systemClock.now() - written < checkpointMs) return
    save()
    written = systemClock.now()
  }
  const saveState = (name: string, value: string) => {
    if (process.env['GITHUB_STATE']) core.saveState(name, value)
  }
  const followers = followersOf({
    request,
    manifest,
    emit: body => emit(body),
    cancel,
    post: command.post === true,
    saveState,
    ...(command.gitHub === undefined ? {} : { gitHub: command.gitHub }),
  })
  const emit: Emit = createBus(systemClock, redactor, [
    fold.listener,
    recorder.listener,
    log,
    event => {
      if (event.type === 'server-ended') checkpoint()
    },
    ...followers.map(f => f.listener),
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
    // The command report reads no manifest.
    manifest: command.name === 'report' ? request.reports : request.manifest,
    runUrl: request.run.url,
    ...(manifest === null ? {} : { subject: subjectOf(manifest) }),
    ...(request.run.attempt === null ? {} : { attempt: request.run.attempt }),
    ...(manifest === null ? {} : shardOf(request, manifest)),
  })
  // A shard that is killed can still hand in what it came to.
  if (request.onGitHub && request.shard !== null && command.post !== true) {
    core.setOutput('report-path', reportPath)
    save()
  }
  const showSharding = (value: Sharding) => {
    shown.sharding = value
  }
  const showPlan = (value: Plan) => {
    shown.plan = value
    emit({ type: 'planned', plan: value })
    for (const line of planText(withSharding(value, shown.sharding)).split('\n')) print(line)
  }
  const showStatus = (rows: readonly ServerStatus[]) => {
    shown.status = rows
    print(statusText(rows))
  }
  const saveRunFile = (path: string) => {
    saveState('runFile', path)
    command.runFile?.(path)
  }
  const tellEnding = () => {
    const text = endingWords(fold.state())
    if (text !== null) emit({ type: 'message', level: 'notice', text: `${text}; Ctrl-C again ends at once` })
  }
  if (!request.onGitHub) cancel.addEventListener('abort', tellEnding, { once: true })
  const context = { request, emit, clock: systemClock, cancel, showPlan, showSharding, showStatus, saveRunFile }
  let result: Result
  try {
    result = await command.run(context)
    emit({ type: 'run-ended', result })
  } catch (error) {
    // With problems it is the manifest's text; without, a value that a server's way did not have.
    if (error instanceof ManifestError && error.problems.length > 0) {
      screen?.close()
      return refuse(error, request.onGitHub)
    }
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
  cancel.removeEventListener('abort', tellEnding)
  screen?.close()
  const more = () => Object.assign({}, ...followers.map(f => f.outputs())) as Readonly<Record<string, string>>
  writeOutputs(request, fold.state(), reportPath, shown, redactor.redact, more())
  save()
  if (followers.length > 0) {
    await Promise.all(followers.map(f => f.end(fold.state())))
    writeOutputs(request, fold.state(), reportPath, shown, redactor.redact, more())
    save()
  }
  if (request.onGitHub) for (const line of annotations(fold.state())) stdout.write(`${redactor.redact(line)}\n`)
  return result === 'success' || result === 'skipped' ? 0 : 1
}

/** The progress line below the log. It is gone before anything else is written by a process that ends. */
function progressOn(redact: (text: string) => string, state: () => ReportState): Terminal {
  const line = (columns: number) => redact(progressLine(state(), { now: systemClock.wall(), columns }))
  const screen = createTerminal({ out: stdout, line, now: systemClock.now })
  process.prependOnceListener('exit', screen.close)
  return screen
}

/** Shards' reports come together in one directory, and two runners may well give out the same process number. */
function reportName({ run, shard }: Request, { post }: Carried): string {
  const ofRun = run.runId ?? (post === true ? 'end' : 'run')
  const part = shard === null ? '' : `-shard-${shard.index}-of-${shard.of}`
  return `deploy-action-${ofRun}${part}-${process.pid}.json`
}

const subjectOf = ({ application, environment }: Manifest) =>
  environment === null ? application : `${application} → ${environment}`

/** What a command found only to show it. */
interface Shown {
  plan: Plan | null
  sharding: Sharding | null
  status: readonly ServerStatus[] | null
}

/** For people only: the plan as a value is the one that `deploy` carries out. */
const withSharding = (made: Plan, sharding: Sharding | null): Plan =>
  sharding === null || !sharding.told ? made : { ...made, notices: [...made.notices, sharding.text] }

const shownMarkdown = ({ plan: made, sharding, status: rows }: Shown): string | null =>
  made !== null ? planMarkdown(withSharding(made, sharding)) : rows !== null ? statusMarkdown(rows) : null

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
  // Whole at every moment: a run that is killed while it writes leaves the one before.
  writeFileSync(`${path}.new`, reportJson(state, events))
  renameSync(`${path}.new`, path)
  if (request.onGitHub) writeSummary(redact(shownMarkdown(shown) ?? summary(state)))
}

function writeOutputs(
  request: Request,
  state: ReportState,
  path: string,
  shown: Shown,
  redact: (text: string) => string,
  more: Readonly<Record<string, string>>,
): void {
  if (!request.onGitHub) return
  const values: Record<string, string> = { ...outputs(state), ...more, 'report-path': path }
  if (shown.plan !== null) values['plan'] = redact(JSON.stringify(shown.plan))
  if (shown.sharding !== null) values['matrix'] = JSON.stringify(shown.sharding.matrix)
  if (shown.status !== null) values['status'] = redact(JSON.stringify(shown.status))
  for (const [name, value] of Object.entries(values)) core.setOutput(name, value)
}
