/**
 * Starts the bundle as GitHub's runner starts a JavaScript action (actions/runner: NodeScriptActionHandler.cs, ActionRunner.cs,
 * FileCommandManager.cs, ProcessInvoker.cs): inputs as INPUT_*, command files, closed stdin, few variables, and its way to cancel.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type WorkflowCommand, workflowCommands } from './workflow-commands.ts'

export const bundle = fileURLToPath(new URL('../../dist/index.js', import.meta.url))

export interface ActionOptions {
  readonly inputs: Readonly<Record<string, string>>
  /** GITHUB_WORKSPACE and the working directory. */
  readonly workspace: string
  /** Directory for RUNNER_TEMP and the command files; each start makes a new one in it. */
  readonly temp: string
  /** The step's env, and anything that stands in for the runner's own. */
  readonly env?: Readonly<Record<string, string>>
  /** Run the post step as the job does at its end; default true. */
  readonly post?: boolean
}

export interface ActionResult {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly outputs: Readonly<Record<string, string>>
  readonly summary: string
  readonly state: Readonly<Record<string, string>>
  /** What the runner would have taken for commands, of both streams. */
  readonly commands: readonly WorkflowCommand[]
  /** Both streams without the lines that tell the runner what to mask: what a reader of the log sees. */
  readonly log: string
  readonly seconds: number
  readonly runnerTemp: string
  /** What the post step did; null where it was not run. */
  readonly post: ActionResult | null
}

export interface RunningAction {
  readonly pid: number
  stdout(): string
  stderr(): string
  kill(signal: NodeJS.Signals): void
  /**
   * The runner's way: SIGINT, 7.5 s later SIGTERM, 2.5 s later SIGKILL, to the process alone; then post. Where more processes want to run
   * than there are cores, these times are as much longer, up to six times: a runner has its machine for itself.
   */
  cancel(): Promise<ActionResult>
  /** When it and its post step have ended. */
  readonly ended: Promise<ActionResult>
}

/** name=value and name<<DELIMITER lines of GITHUB_OUTPUT and GITHUB_STATE. Throws on what the runner refuses. */
export function parseCommandFile(text: string): Record<string, string> {
  const values: Record<string, string> = {}
  const lines = text.split(/\r?\n/)
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i] ?? ''
    if (line === '') continue
    const heredoc = /^([^=<]+)<<(.+)$/.exec(line)
    if (heredoc) {
      const [, name = '', delimiter = ''] = heredoc
      const end = lines.indexOf(delimiter, i + 1)
      if (end < 0) throw new Error(`no "${delimiter}" closes the value of ${name}`)
      values[name] = lines.slice(i + 1, end).join('\n')
      i = end
      continue
    }
    const at = line.indexOf('=')
    if (at < 1) throw new Error(`invalid format: ${line}`)
    values[line.slice(0, at)] = line.slice(at + 1)
  }
  return values
}

const fileNames = ['OUTPUT', 'STATE', 'STEP_SUMMARY', 'ENV', 'PATH'] as const

function variables(options: ActionOptions, directory: string): Record<string, string> {
  const files = fileNames.map(name => {
    const path = join(directory, name.toLowerCase())
    writeFileSync(path, '')
    return [`GITHUB_${name}`, path] as const
  })
  const inputs = Object.entries(options.inputs).map(([name, value]) => [
    `INPUT_${name.replaceAll(' ', '_').toUpperCase()}`,
    value,
  ])
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: directory,
    CI: 'true',
    GITHUB_ACTIONS: 'true',
    GITHUB_ACTOR: 'octocat',
    GITHUB_API_URL: 'http://127.0.0.1:9', // nobody answers there
    GITHUB_EVENT_NAME: 'workflow_dispatch',
    GITHUB_JOB: 'deploy',
    GITHUB_REF: 'refs/heads/main',
    GITHUB_REPOSITORY: 'octo/shop',
    GITHUB_RUN_ATTEMPT: '1',
    GITHUB_RUN_ID: '4711',
    GITHUB_SERVER_URL: 'https://github.com',
    GITHUB_WORKFLOW: 'deploy',
    GITHUB_WORKSPACE: options.workspace,
    RUNNER_ARCH: 'X64',
    RUNNER_OS: 'Linux',
    RUNNER_TEMP: join(directory, 'temp'),
    ...Object.fromEntries(files),
    ...Object.fromEntries(inputs),
    ...options.env,
  }
}

interface Process {
  readonly pid: number
  /** To this process alone: once it has ended, its number may be another's. */
  kill(signal: NodeJS.Signals): void
  stdout(): string
  stderr(): string
  readonly ended: Promise<ActionResult>
}

function start(workspace: string, env: Readonly<Record<string, string>>): Process {
  if (!existsSync(bundle)) throw new Error('dist/index.js is missing: npm run build')
  const began = performance.now()
  const child = spawn(process.execPath, [bundle], { cwd: workspace, env, stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.end()
  const streams = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8')
    child[name].on('data', (text: string) => {
      streams[name] += text
    })
  }
  const ended = new Promise<ActionResult>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, killedBy) => {
      const { stdout, stderr } = streams
      const read = (name: (typeof fileNames)[number]) => readFileSync(env[`GITHUB_${name}`] ?? '', 'utf8')
      const isMask = (line: string) => workflowCommands(line)[0]?.name === 'add-mask'
      try {
        resolve({
          code,
          signal: killedBy,
          stdout,
          stderr,
          outputs: parseCommandFile(read('OUTPUT')),
          summary: read('STEP_SUMMARY'),
          state: parseCommandFile(read('STATE')),
          commands: [...workflowCommands(stdout), ...workflowCommands(stderr)],
          log: [...stdout.split('\n'), ...stderr.split('\n')].filter(line => !isMask(line)).join('\n'),
          seconds: (performance.now() - began) / 1000,
          runnerTemp: env['RUNNER_TEMP'] ?? '',
          post: null,
        })
      } catch (error) {
        reject(error)
      }
    })
  })
  const kill = (name: NodeJS.Signals) => void child.kill(name)
  return { pid: child.pid ?? 0, kill, stdout: () => streams.stdout, stderr: () => streams.stderr, ended }
}

/** Starts the action and gives it back running. */
export function startAction(options: ActionOptions): RunningAction {
  const directory = mkdtempSync(join(options.temp, 'step-'))
  mkdirSync(join(directory, 'temp'))
  const main = start(options.workspace, variables(options, directory))
  return running(main, async result =>
    options.post === false ? result : { ...result, post: await startPost(options, result).ended },
  )
}

/** Starts the post step of a main that has ended: the same inputs, and what main saved. */
export function startPost(options: ActionOptions, main: ActionResult): RunningAction {
  const state = Object.entries(main.state).map(([name, value]) => [`STATE_${name}`, value])
  const own = variables(options, mkdtempSync(join(options.temp, 'post-')))
  const env = { ...own, RUNNER_TEMP: main.runnerTemp, ...Object.fromEntries(state) }
  return running(start(options.workspace, env), async result => result)
}

function running(main: Process, then: (result: ActionResult) => Promise<ActionResult>): RunningAction {
  const ended = main.ended.then(then)
  ended.catch(() => undefined)
  return {
    pid: main.pid,
    stdout: main.stdout,
    stderr: main.stderr,
    kill: main.kill,
    cancel: async () => {
      main.kill('SIGINT')
      const slowness = Math.min(6, Math.max(1, (loadavg()[0] ?? 1) / availableParallelism()))
      const timers = [
        setTimeout(() => main.kill('SIGTERM'), 7_500 * slowness),
        setTimeout(() => main.kill('SIGKILL'), 10_000 * slowness),
      ]
      await main.ended.finally(() => timers.forEach(clearTimeout))
      return ended
    },
    ended,
  }
}

/** Runs the action, and its post step, to the end. */
export const runAction = (options: ActionOptions): Promise<ActionResult> => startAction(options).ended
