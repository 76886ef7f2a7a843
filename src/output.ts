/**
 * stdout and stderr. Node writes to a terminal synchronously, so one that takes nothing (Ctrl-S, a stalled SSH session) would stop
 * the whole run until its locks are lost: a terminal is written to without waiting, and may lag. Pipes and files are Node's, as ever.
 */
import { constants, fstatSync, openSync, readdirSync, readFileSync, statSync, writeSync } from 'node:fs'
import { createLagging, type Lagging } from './report/lagging.ts'

export interface Output {
  readonly isTerminal: () => boolean
  readonly columns: () => number | undefined
  readonly write: (text: string) => void
  /** A terminal does not keep up. */
  readonly isBehind: () => boolean
  /** Once what was written is out, or its reader is gone. */
  readonly flushed: () => Promise<void>
  /** The same for a process that ends at once. */
  readonly flushNow: () => void
  readonly on: (event: 'resize', listener: () => void) => unknown
  readonly off: (event: 'resize', listener: () => void) => unknown
}

/** Milliseconds that a process which ends at once has for its last words. */
const longestGoodbye = 500

/** One for each terminal, by its device: what goes to stdout and what to stderr stays in order. */
const queues = new Map<number, Lagging | null>()

function queueOf(fd: 1 | 2): Lagging | null {
  const device = fstatSync(fd).rdev
  const known = queues.get(device)
  if (known !== undefined) return known
  const terminal = openAgain(fd, device)
  const queue = terminal === null ? null : createLagging({ take: bytes => taken(terminal, bytes) })
  queues.set(device, queue)
  return queue
}

const isFull = (error: unknown) =>
  error instanceof Error && 'code' in error && (error.code === 'EAGAIN' || error.code === 'EINTR')

function taken(terminal: number, bytes: Uint8Array): number {
  try {
    return writeSync(terminal, bytes)
  } catch (error) {
    if (isFull(error)) return 0
    throw error
  }
}

/** Opened by us, for O_NONBLOCK belongs to what was opened, and that of fd 1 is the shell's too. null: it cannot be. */
function openAgain(fd: number, device: number): number | null {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants
  for (const path of pathsOf(fd, device))
    try {
      return openSync(path, O_WRONLY | O_NONBLOCK | O_NOCTTY)
    } catch {
      // It may be another user's (su): the next.
    }
  return null
}

function pathsOf(fd: number, device: number): readonly string[] {
  try {
    if (process.platform === 'linux') return [`/proc/self/fd/${fd}`, ...(controls(device) ? ['/dev/tty'] : [])]
    // A path below /dev/fd would share what was opened.
    const names = readdirSync('/dev').filter(name => name.startsWith('tty') && name !== 'tty')
    return names.map(name => `/dev/${name}`).filter(path => statSync(path).rdev === device)
  } catch {
    return []
  }
}

/** Whether it is this process's controlling terminal: field 7 of proc(5)'s stat, counted after the name, which may hold anything. */
function controls(device: number): boolean {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[4]) === device
}

function output(fd: 1 | 2): Output {
  const stream = () => (fd === 1 ? process.stdout : process.stderr)
  let own: Lagging | null | undefined
  const queue = () => {
    // A job has no terminal of its own, and what writes its commands knows no queue.
    if (own === undefined) own = stream().isTTY && process.env['GITHUB_ACTIONS'] !== 'true' ? queueOf(fd) : null
    return own
  }
  return {
    isTerminal: () => stream().isTTY === true,
    columns: () => stream().columns,
    write(text) {
      const lagging = queue()
      if (lagging === null) stream().write(text)
      else lagging.write(text)
    },
    isBehind: () => queue()?.isBehind() ?? false,
    flushed: () => queue()?.flushed() ?? new Promise(resolve => stream().write('', () => resolve())),
    flushNow: () => queue()?.flushNow(longestGoodbye),
    on: (event, listener) => stream().on(event, listener),
    off: (event, listener) => stream().off(event, listener),
  }
}

export const stdout = output(1)
export const stderr = output(2)
