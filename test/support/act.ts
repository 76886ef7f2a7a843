/**
 * Runs a workflow under nektos/act on this machine, without containers: a second program, made by others, that reads workflows as
 * GitHub does. It starts `node` from PATH, gives steps a terminal, and knows neither environments nor concurrency. The action is the bundle of
 * this project; those of others, for the checkout and for artifacts, have stand-ins (test/workflows/stand-ins).
 */
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
// @ts-expect-error: a script of the project, without types
import { goTool } from '../../scripts/go-tools.mjs'
import { bundle } from './runner.ts'
import type { Site } from './site.ts'
import { clientKey } from './ssh-keys.ts'

export interface ActOptions {
  /** A file of this repository, put into the workspace as it is. */
  readonly workflow: string
  readonly event: string
  /** The event's payload. */
  readonly payload?: Readonly<Record<string, unknown>>
  /** Of workflow_dispatch. */
  readonly inputs?: Readonly<Record<string, string>>
  readonly vars?: Readonly<Record<string, string>>
  /** Variables of the runner, such as GITHUB_API_URL. */
  readonly env?: Readonly<Record<string, string>>
  readonly secrets?: Readonly<Record<string, string>>
  /** What act does not know in the workflow, and what stands in its place. */
  readonly instead?: Readonly<Record<string, string>>
}

export interface ActResult {
  readonly code: number | null
  /** What a reader of the log sees, line by line, with the job's name before it. */
  readonly log: string
  /** Outputs of every step of every job that set some: `job/step/output`. */
  readonly outputs: Readonly<Record<string, string>>
  /** Jobs that were begun, with their results. */
  readonly jobs: Readonly<Record<string, string>>
  /** The directory that stands for GitHub's artifact store. */
  readonly artifacts: string
}

const here = fileURLToPath(new URL('../..', import.meta.url))
const standIns = join(here, 'test/workflows/stand-ins')

/** `owner/name@ref` of every action that a workflow of ours uses, to the folder that has it. */
function localRepositories(text: string, own: string): readonly string[] {
  const used = [...text.matchAll(/uses: *(?<repository>[\w-]+\/[\w-]+)(?:\/[\w./-]+)?@(?<ref>[\w.]+)/g)]
  return used.flatMap(({ groups }) => {
    const { repository = '', ref = '' } = groups ?? {}
    if (repository === 'org/deploy-action') return [`${repository}@${ref}=${own}`]
    const standIn = /^actions\/(checkout|(?:up|down)load-artifact)$/.exec(repository)?.[1]
    return standIn === undefined ? [] : [`${repository}@${ref}=${join(standIns, standIn)}`]
  })
}

/** Keys that GitHub knows since 2026 and act's schema does not: it would refuse the file. It would do nothing with them either. */
const withoutNewKeys = (text: string) => text.replace(/^ *(?:queue: max|deployment: false)(?: *#.*)?\n/gm, '')

interface Line {
  readonly msg?: string
  readonly jobID?: string
  readonly stepID?: readonly string[]
  readonly command?: string
  readonly name?: string
  readonly arg?: string
  readonly jobResult?: string
  readonly matrix?: Readonly<Record<string, string>>
}

const parsed = (line: string): Line => {
  try {
    return JSON.parse(line) as Line
  } catch {
    return { msg: line }
  }
}

/** Puts the workflow into the site's workspace, commits it, and runs it. */
export async function runAct(site: Site, options: ActOptions): Promise<ActResult> {
  const directory = mkdtempSync(join(site.temp, 'act-'))
  const [own, artifacts, home] = ['action', 'artifacts', 'home'].map(name => join(directory, name)) as [
    string,
    string,
    string,
  ]
  for (const path of [own, artifacts, home]) mkdirSync(path)
  copyFileSync(join(here, 'action.yml'), join(own, 'action.yml'))
  cpSync(dirname(bundle), join(own, 'dist'), { recursive: true })
  const ready = '.github/workflows/deploy.yml'
  const called = readFileSync(join(here, ready), 'utf8')
  mkdirSync(join(own, dirname(ready)), { recursive: true })
  writeFileSync(join(own, ready), withoutNewKeys(called))
  const written = readFileSync(join(here, options.workflow), 'utf8')
  const text = Object.entries(options.instead ?? {}).reduce((t, [from, to]) => t.replaceAll(from, to), written)
  const file = join('.github/workflows', options.workflow.replaceAll('/', '-'))
  mkdirSync(join(site.workspace, '.github/workflows'), { recursive: true })
  writeFileSync(join(site.workspace, file), withoutNewKeys(text))
  site.commit('a workflow')
  const remotes = execFileSync('git', ['remote'], { cwd: site.workspace, encoding: 'utf8' })
  if (remotes === '')
    execFileSync('git', ['remote', 'add', 'origin', 'https://github.com/octo/shop.git'], { cwd: site.workspace })
  const payload = join(directory, 'event.json')
  writeFileSync(payload, JSON.stringify({ ...options.payload, ...(options.inputs ? { inputs: options.inputs } : {}) }))
  const secrets = { SSH_KEY: clientKey().privateKey, GITHUB_TOKEN: 'a-token-of-the-job', ...options.secrets }
  const env = {
    STAND_IN_ARTIFACTS: artifacts,
    STAND_IN_REPOSITORY: site.workspace,
    GITHUB_API_URL: 'http://127.0.0.1:9',
    GITHUB_RUN_ID: '4711',
    GITHUB_RUN_ATTEMPT: '1',
    ...options.env,
  }
  const each = (flag: string, values: Readonly<Record<string, string>>) =>
    Object.entries(values).flatMap(([name, value]) => [flag, `${name}=${value}`])
  const words = [
    ...[options.event, '--json', '-W', file, '-e', payload, '-P', 'ubuntu-latest=-self-hosted'],
    ...[
      '--no-skip-checkout',
      '--no-cache-server',
      '--action-cache-path',
      join(directory, 'cache'),
      '--concurrent-jobs',
      '2',
    ],
    ...['--container-daemon-socket', '-'],
    ...[...new Set(localRepositories(text + called, own))].flatMap(mapped => ['--local-repository', mapped]),
    ...[...each('--var', options.vars ?? {}), ...each('--env', env)],
    ...Object.keys(secrets).flatMap(name => ['-s', name]),
  ]
  // Host mode hands its own environment on: PATH with Node 24 first, and nothing of the job that runs the tests.
  const child = spawn(goTool('act'), words, {
    cwd: site.workspace,
    env: { PATH: `${dirname(process.execPath)}:${process.env['PATH']}`, HOME: home, ...secrets },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 600_000,
    killSignal: 'SIGKILL',
  })
  // Each by itself: a piece of one may come in the middle of a line of the other.
  const streams = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8')
    child[name].on('data', (more: string) => {
      streams[name] += more
    })
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  const out = `${streams.stdout}\n${streams.stderr}`
  const lines = out.split('\n').filter(Boolean).map(parsed)
  writeFileSync(join(directory, 'raw.log'), out)
  const jobOf = (line: Line) => [line.jobID, ...Object.values(line.matrix ?? {})].join(' ')
  return {
    code,
    log: lines.map(line => `${line.jobID ? `[${jobOf(line)}] ` : ''}${(line.msg ?? '').trimEnd()}`).join('\n'),
    outputs: Object.fromEntries(
      lines
        .filter(line => line.command === 'set-output')
        .map(line => [`${jobOf(line)}/${line.stepID?.join('/')}/${line.name}`, line.arg ?? '']),
    ),
    jobs: Object.fromEntries(lines.filter(line => line.jobResult).map(line => [jobOf(line), line.jobResult ?? ''])),
    artifacts,
  }
}
