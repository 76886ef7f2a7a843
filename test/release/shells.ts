/** Runs the scripts of src/release/ on this machine, in every shell a server may have. */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import type { Owner } from '../../src/release/prelude.ts'
import type { Site } from '../../src/release/site.ts'
import { signal } from '../support/processes.ts'

export interface Shell {
  readonly name: string
  readonly words: readonly [string, ...string[]]
  readonly path: string
}

const made: string[] = []
/** Process groups of scripts that have not ended. */
const groups = new Set<number>()
afterAll(() => {
  for (const group of groups) signal(-group, 'SIGKILL')
  for (const directory of made.splice(0)) rmSync(directory, { recursive: true, force: true })
})

export function temporary(name = 'release-'): string {
  const directory = mkdtempSync(join(tmpdir(), name))
  made.push(directory)
  return directory
}

/** A PATH on which every program is BusyBox's; Debian's lacks cksum, which Alpine's has. */
function busyboxPath(): string {
  const directory = temporary('busybox-')
  chmodSync(directory, 0o755)
  execFileSync('busybox', ['--install', '-s', directory])
  if (!existsSync(join(directory, 'cksum'))) symlinkSync('/usr/bin/cksum', join(directory, 'cksum'))
  return directory
}

const usual = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export const shells: readonly Shell[] = [
  { name: 'dash', words: ['dash'], path: usual },
  { name: 'bash', words: ['bash'], path: usual },
  { name: 'bash --posix', words: ['bash', '--posix'], path: usual },
  { name: 'busybox', words: ['sh'], path: busyboxPath() },
]
export const [dash] = shells as readonly [Shell]

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly pid: number
  readonly ended: Promise<Ran>
}

export interface RunWith {
  readonly env?: Readonly<Record<string, string>>
  readonly input?: Uint8Array
  /** As another user, for root, who may do everything. */
  readonly uid?: number
}

/** Starts a script as the executor does: in a session of its own, so that the shell leads its process group. */
export function start(shell: Shell, script: string, { env = {}, input, uid }: RunWith = {}): Running {
  const [program, ...words] = shell.words
  const child = spawn(program, [...words, '-c', script], {
    detached: true,
    ...(uid === undefined ? {} : { uid }),
    env: { PATH: shell.path, HOME: env['HOME'] ?? '/nonexistent', ...env },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  child.stdin?.on('error', () => {})
  if (input !== undefined) child.stdin?.end(input)
  const { pid = 0 } = child
  if (pid > 0) groups.add(pid)
  const ended = new Promise<Ran>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', code => {
      groups.delete(pid)
      resolve({ code, stdout, stderr })
    })
  })
  return { pid, ended }
}

export const run = (shell: Shell, script: string, more: RunWith = {}): Promise<Ran> => start(shell, script, more).ended

/** Runs a script that has to succeed; gives what it printed. */
export async function ok(shell: Shell, script: string, more: RunWith = {}): Promise<string> {
  const { code, stdout, stderr } = await run(shell, script, more)
  if (code !== 0) throw new Error(`${shell.name}: exit code ${code}\n${stdout}\n${stderr}`)
  return stdout
}

export const siteAt = (releasePath: string): Site => ({ application: 'shop', environment: null, releasePath })
export const newSite = (): Site & { readonly releasePath: string } => {
  const releasePath = join(temporary(), 'shop')
  mkdirSync(releasePath)
  return { application: 'shop', environment: null, releasePath }
}

/** Processes of a group that are more than a line in the process table. */
export const livingOf = (group: number): readonly string[] =>
  readdirSync('/proc').filter(pid => {
    if (!/^\d+$/.test(pid)) return false
    try {
      const [state, , own] = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')
      return Number(own) === group && state !== 'Z'
    } catch {
      return false
    }
  })

let owners = 0
export const newOwner = () => {
  const token = `token-${String(++owners).padStart(12, '0')}`
  return {
    token,
    info: { run: `https://example.com/runs/${owners}`, actor: 'octo cat', startedAt: '2026-01-01T00:00:00Z' },
  } satisfies Owner & { info: unknown }
}

export const stateOf = (site: Site): string => join(site.releasePath ?? '', '.deploy-action')
export const lockEntries = (site: Site): readonly string[] => readdirSync(join(stateOf(site), 'lock')).sort()
