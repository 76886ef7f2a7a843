/** inputs → command → exit code; and what the runner's post step does. */
import * as core from '@actions/core'
import { early } from './begin.ts'
import type { Bare, BareCommand, Command, Context } from './commands/context.ts'
import { deploy } from './commands/deploy.ts'
import { openManifest } from './commands/open-manifest.ts'
import { plan } from './commands/plan.ts'
import { recover, recoverAs } from './commands/recover.ts'
import { rollback } from './commands/rollback.ts'
import { readRunFile } from './commands/run-file.ts'
import { secretsOf } from './commands/secrets.ts'
import { status } from './commands/status.ts'
import { checkEvent, forkOrNull } from './commands/trust.ts'
import { validate } from './commands/validate.ts'
import { CancelledError, InputError } from './errors.ts'
import { type Request, readRequest, usage } from './inputs.ts'
import type { Manifest } from './manifest/manifest.ts'
import type { Result } from './report/events.ts'
import { refuse, report } from './reporting.ts'

type Named<C> = Readonly<Partial<Record<Request['command'], C>>>
const commands: Named<Command> = { deploy, plan, recover, rollback, status }
/** Commands that need no manifest of one environment. */
const bareCommands: Named<BareCommand> = { validate }

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
  const bare = bareCommands[request.command]
  const name = request.command
  if (bare !== undefined) return report(request, secrets, null, cancel, { name, run: bare })
  let manifest: Manifest
  try {
    manifest = openManifest(request)
  } catch (error) {
    return refuse(error, request.onGitHub)
  }
  const all = secretsOf(request, manifest)
  mask(request, all.slice(secrets.length))
  const command = (c: Context): Promise<Result> => {
    const found = commands[name]
    if (found === undefined) throw new InputError(`command ${name} is not known`)
    return found(c)
  }
  return report(request, all, manifest, cancel, { name, run: c => run(request, () => command({ ...c, manifest }), c) })
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
    run: c => recoverAs({ ...c, manifest: file.manifest }, file.token, false),
    post: true,
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
