/** The POSIX shells of this machine, and a way to run text in one with given stdin. */
import { spawn, spawnSync } from 'node:child_process'

export interface LocalShell {
  readonly name: string
  readonly argv: readonly [string, ...string[]]
}

const candidates: readonly LocalShell[] = [
  { name: 'dash', argv: ['dash'] },
  { name: 'bash --posix', argv: ['bash', '--posix'] },
  { name: 'bash', argv: ['bash'] },
  { name: 'busybox sh', argv: ['busybox', 'sh'] },
]

/** Those that are installed; dash and bash always are on the machines the tests are made for. */
export const shells = candidates.filter(s => spawnSync(s.argv[0], [...s.argv.slice(1), '-c', 'exit 0']).status === 0)

export interface Ran {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `text` by `sh -c`. */
export const runIn = (shell: LocalShell, text: string, options: { env?: NodeJS.ProcessEnv; stdin?: string } = {}) =>
  runWords([...shell.argv, '-c', text], options)

export const runWords = (words: readonly string[], options: { env?: NodeJS.ProcessEnv; stdin?: string } = {}) =>
  new Promise<Ran>((resolve, reject) => {
    const child = spawn(words[0]!, words.slice(1), {
      // Another home: bash whose stdin is a socket, as here, takes itself for run by sshd and reads .bashrc, which may do anything.
      env: options.env ?? { PATH: process.env['PATH'], HOME: '/nonexistent' },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.stdin.on('error', () => undefined) // it may end before it has read everything
    child.stdin.end(options.stdin ?? '')
    child.once('error', reject)
    child.once('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
