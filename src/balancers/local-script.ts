/** Runs a person's script on the runner: own process group, no stdin, ended with its group. */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Output } from '../fleet/connection.ts'

export type LocalResult =
  | { readonly ended: 'exit'; readonly code: number; readonly tail: string }
  | { readonly ended: 'signal'; readonly name: string; readonly tail: string }
  | { readonly ended: 'timeout'; readonly tail: string }

export interface LocalOptions {
  readonly env: Readonly<Record<string, string>>
  /** Seconds. */
  readonly timeout: number
  readonly signal: AbortSignal
  readonly onOutput?: (output: Output) => void
}

const tailLength = 2000

const onPath = (program: string, path: string | undefined): boolean =>
  (path ?? '').split(delimiter).some(directory => directory !== '' && existsSync(join(directory, program)))

/** `bash -eu -o pipefail`, or `sh -eu` where there is no bash. Throws the signal's reason, and what spawn throws. */
export function runLocally(script: string, options: LocalOptions): Promise<LocalResult> {
  const { env, signal, timeout, onOutput } = options
  const [program, flags] = onPath('bash', env['PATH']) ? ['bash', ['-eu', '-o', 'pipefail']] : ['sh', ['-eu']]
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason)
    const child = spawn(program, [...flags, '-c', script], {
      env,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let tail = ''
    let timedOut = false
    const killGroup = () => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // The group has ended by itself.
      }
    }
    const timer = setTimeout(() => {
      timedOut = true
      killGroup()
    }, timeout * 1000)
    signal.addEventListener('abort', killGroup, { once: true })
    for (const [name, stream] of [
      ['out', child.stdout],
      ['err', child.stderr],
    ] as const)
      stream.setEncoding('utf8').on('data', (text: string) => {
        tail = (tail + text).slice(-tailLength)
        onOutput?.({ stream: name, text })
      })
    const stopListening = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', killGroup)
    }
    child.once('error', error => {
      stopListening()
      reject(error)
    })
    // 'close' is the end of the output too; a background process that keeps it open is waited for no longer than this.
    child.once('exit', (code, name) => {
      stopListening()
      const finish = () => {
        clearTimeout(grace)
        child.stdout.destroy()
        child.stderr.destroy()
        if (signal.aborted) reject(signal.reason)
        else if (timedOut) resolve({ ended: 'timeout', tail })
        else if (code === null) resolve({ ended: 'signal', name: name ?? 'unknown', tail })
        else resolve({ ended: 'exit', code, tail })
      }
      const grace = setTimeout(finish, 250)
      child.once('close', finish)
    })
  })
}
