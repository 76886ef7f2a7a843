/** A person's own machine: a shell with its few variables, a key in a file, a terminal or a pipe; nothing of GitHub. */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { journalState, parseJournal } from '../../src/release/journal.ts'
import { bundle } from './runner.ts'
import type { Site } from './site.ts'
import { clientKey } from './ssh-keys.ts'
import { type Pty, type PtyOptions, startOnTerminal } from './terminal/pty.ts'

/** What a person's shell has, and where the key lies. */
export function laptop(at: Site) {
  const home = join(at.temp, 'home')
  mkdirSync(join(home, 'tmp'), { recursive: true })
  writeFileSync(join(home, 'key'), clientKey().privateKey, { mode: 0o600 })
  const env: Record<string, string> = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: home,
    TMPDIR: join(home, 'tmp'),
    TERM: 'xterm-256color',
  }
  return { env, keyFile: ['--ssh-key-file', join(home, 'key')] as const, temp: join(home, 'tmp') }
}

/** Starts the program on a terminal, with the key's file. */
export function onTerminal(at: Site, words: readonly string[], more: Partial<PtyOptions> = {}, key?: string): Pty {
  const { env, keyFile: usual } = laptop(at)
  const keyFile = key === undefined ? usual : ['--ssh-key-file', key]
  const own = { cwd: at.workspace, ...more, env: { ...env, ...more.env } }
  return startOnTerminal([process.execPath, bundle, ...words, ...keyFile], own)
}

export interface Piped {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the program with its output in pipes. */
export function piped(cwd: string, env: Readonly<Record<string, string>>, words: readonly string[]): Promise<Piped> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [bundle, ...words], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr] = ['', '']
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.once('error', reject)
    child.once('close', code => resolve({ code, stdout, stderr }))
  })
}

/** A deployment ended on this server before it could decide about it. */
export const undecided = (at: Site, name: string): boolean =>
  journalState(parseJournal(readFileSync(join(at.server(name).root, '.deploy-action/journal'), 'utf8')).entries).open
