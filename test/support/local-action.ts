/**
 * Runs the action's sources under @github/local-action: its own loader, its own stand-ins for the toolkit. It knows no workflow, no bundle
 * and no post step; what it shows is that inputs and outputs go through the toolkit's functions as they should.
 */
import { spawn } from 'node:child_process'
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
// @ts-expect-error: a script of the project, without types
import { localAction } from '../../scripts/local-action.mjs'
import type { Site } from './site.ts'
import { clientKey } from './ssh-keys.ts'

const here = fileURLToPath(new URL('../..', import.meta.url))

export interface LocalActionResult {
  readonly code: number | null
  readonly log: string
  readonly outputs: Readonly<Record<string, string>>
  readonly summary: string
}

/** What it starts has to export `run`; its own arguments are none of the action's. */
const entry = `import { main } from './src/main.ts'
export const run = async () => {
  process.argv.splice(2)
  process.exitCode = await main()
}
`

export async function runLocalAction(site: Site, inputs: Readonly<Record<string, string>>): Promise<LocalActionResult> {
  const directory = mkdtempSync(join(site.temp, 'local-action-'))
  // It takes the kind of modules from package.json, where this project says nothing: the bundle is CommonJS.
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }')
  writeFileSync(join(directory, 'entry.ts'), entry)
  copyFileSync(join(here, 'action.yml'), join(directory, 'action.yml'))
  cpSync(join(here, 'src'), join(directory, 'src'), { recursive: true })
  symlinkSync(join(here, 'node_modules'), join(directory, 'node_modules'))
  mkdirSync(join(directory, 'temp'))
  const summary = join(directory, 'summary.md')
  writeFileSync(summary, '')
  const all = { 'ssh-key': clientKey().privateKey, ...inputs }
  writeFileSync(join(directory, '.env'), '')
  const child = spawn(
    process.execPath,
    [
      join(localAction as string, '../../tsx/dist/cli.mjs'),
      join(localAction as string, 'src/index.ts'),
      ...[directory, 'entry.ts', join(directory, '.env')],
    ],
    {
      // `npm ls` is asked here for the packages that are to be stood in for.
      cwd: here,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: directory,
        NODE_NO_WARNINGS: '1',
        NODE_PACKAGE_MANAGER: 'npm',
        TARGET_ACTION_PATH: directory,
        GITHUB_ACTIONS: 'true',
        GITHUB_REPOSITORY: 'octo/shop',
        GITHUB_STEP_SUMMARY: summary,
        GITHUB_WORKSPACE: site.workspace,
        RUNNER_TEMP: join(directory, 'temp'),
        ...Object.fromEntries(Object.entries(all).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value])),
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
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
  const log = `${streams.stdout}\n${streams.stderr}`
  return {
    code,
    log,
    outputs: Object.fromEntries(
      [...log.matchAll(/::set-output name=([\w-]+)::(.*)$/gm)].map(m => [m[1] ?? '', m[2] ?? '']),
    ),
    summary: readFileSync(summary, 'utf8'),
  }
}
