/** Processes of this machine as /proc shows them: whose children they are, what they were given, and how to end exactly those. */
import { readdirSync, readFileSync } from 'node:fs'
import { waitUntil } from './wait-until.ts'

const all = (): number[] =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)

const read = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // gone, or another user's
  }
}

/** State, parent and session from /proc/<pid>/stat; the name in parentheses may hold anything (proc(5)). */
function stat(pid: number): { state: string; parent: number; session: number } | null {
  const text = read(`/proc/${pid}/stat`)
  const [state = '', parent = '', , session = ''] = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return text === '' ? null : { state, parent: Number(parent), session: Number(session) }
}

/** Pid of the process that began its session; 0: it is gone. */
export const sessionOf = (pid: number): number => stat(pid)?.session ?? 0

export const isRunning = (pid: number): boolean => {
  const now = stat(pid)
  return now !== null && now.state !== 'Z' && now.state !== 'X'
}

export const childrenOf = (pid: number): number[] => all().filter(p => isRunning(p) && stat(p)?.parent === pid)

/** Its name as the kernel has it, at most 15 characters. */
export const nameOf = (pid: number): string => read(`/proc/${pid}/comm`).trim()

/** Processes whose environment holds exactly this variable with this value. */
export const processesWith = (name: string, value: string): number[] =>
  all().filter(pid => isRunning(pid) && read(`/proc/${pid}/environ`).split('\0').includes(`${name}=${value}`))

/** Argument lists of all processes, as `ps` shows them to every user. */
export const commandLines = (): { pid: number; args: string }[] =>
  all().map(pid => ({ pid, args: read(`/proc/${pid}/cmdline`).split('\0').join(' ') }))

export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // it ended by itself
  }
}

/** TERM, and KILL after `grace` milliseconds; resolves when all are gone. */
export async function end(pids: readonly number[], grace = 2_000): Promise<void> {
  const alive = () => pids.filter(isRunning)
  for (const pid of alive()) signal(pid, 'SIGTERM')
  await waitUntil('processes end at TERM', () => alive().length === 0, grace).catch(() => undefined)
  for (const pid of alive()) signal(pid, 'SIGKILL')
  await waitUntil(
    () => `processes ${alive().join(', ')} end at KILL`,
    () => alive().length === 0,
  )
}
