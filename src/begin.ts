/**
 * Runs before anything else of the bundle is evaluated. The runner starts the same file for main and for post and tells them apart only
 * by what main saved: a main that is killed while it loads must not come back as a second main in its post step.
 */
import { appendFileSync, readFileSync, readlinkSync } from 'node:fs'

/** Signals that came while the rest was loading; main looks at them first. */
export const early: { signal: NodeJS.Signals | null } = { signal: null }

export const isPost = process.env['STATE_isPost'] === 'true'

if (!isPost) {
  const state = process.env['GITHUB_STATE']
  if (state) appendFileSync(state, 'isPost=true\n')
}

const textOf = (read: () => string) => {
  try {
    return read()
  } catch {
    return ''
  }
}

/** What tells of a SIGHUP that is to be ignored; '' where it cannot be read. */
export interface Traces {
  /** Of the environment, `_`: bash and zsh set it to the program that they started. */
  readonly started: string
  /** /proc/PID/status of the parent. */
  readonly parent: string
  /** /proc/self/fdinfo/0, and what that is. */
  readonly input: string
  readonly inputPath: string
}

/**
 * Whether this process was started so that it outlives its terminal: by nohup, or by a shell that itself ignores SIGHUP. Node makes every
 * inherited SIG_IGN a SIG_DFL before any of this runs (node.cc, ResetSignalHandlers), so the process's own SigIgn does not tell.
 */
export function outlivesTerminal({ started, parent, input, inputPath }: Traces): boolean {
  if (/(^|\/)nohup$/.test(started)) return true
  const ignoredByParent = Number.parseInt(/^SigIgn:\s*[0-9a-f]*([0-9a-f])$/m.exec(parent)?.[1] ?? '0', 16)
  // The lowest bit is signal 1, SIGHUP.
  if (ignoredByParent % 2 === 1) return true
  // GNU nohup puts a /dev/null that cannot be read in the place of a terminal.
  return inputPath === '/dev/null' && /^flags:\s*[0-7]*[15]$/m.test(input)
}

/** SIGHUP does nothing. In a job nobody starts it by nohup. */
export const ignoresHangUp =
  process.env['GITHUB_ACTIONS'] !== 'true' &&
  outlivesTerminal({
    started: process.env['_'] ?? '',
    parent: textOf(() => readFileSync(`/proc/${process.ppid}/status`, 'utf8')),
    input: textOf(() => readFileSync('/proc/self/fdinfo/0', 'utf8')),
    inputPath: textOf(() => readlinkSync('/proc/self/fd/0')),
  })

/** Those that cancel. */
export const cancelling: readonly NodeJS.Signals[] = ignoresHangUp
  ? ['SIGINT', 'SIGTERM']
  : ['SIGINT', 'SIGTERM', 'SIGHUP']

// Without a listener Node would end by it.
if (ignoresHangUp) process.on('SIGHUP', () => {})
for (const signal of cancelling)
  process.once(signal, () => {
    early.signal ??= signal
  })
