/**
 * Which Caddy answers. Its API does not say (measured: `go_build_info` is empty in Debian's and in the official build), so the program is
 * asked on its host: the one that the SSH user's PATH finds, where nothing speaks against it being the one that runs.
 */
import type { Connection } from '../fleet/connection.ts'
import { quote } from '../fleet/quote.ts'
import type { AdminHost } from './admin-http.ts'
import { readCommandLine } from './caddy-api.ts'

/** From here on `/reverse_proxy/upstreams` tells what is in flight to a removed upstream (caddyserver/caddy#7517). */
const countsSince = [2, 11, 2] as const

/**
 * Prints `path`, when the program was last put there (ctime, seconds), its version, and for each process with these arguments when it
 * started, in seconds since 1970. Nothing is run but what PATH finds.
 */
const script = (args: readonly string[]): string =>
  [
    'LC_ALL=C; export LC_ALL',
    'path=$(command -v caddy) || exit 0',
    'printf "path %s\\n" "$path"',
    'stat -L -c "placed %Z" "$path"',
    'printf "version %s\\n" "$("$path" version 2>/dev/null | head -n 1)"',
    `wanted=${quote(args.join('\n'))}`,
    'boot=; while read -r word value rest; do [ "$word" = btime ] && boot=$value; done </proc/stat',
    'ticks=$(getconf CLK_TCK)',
    'for p in /proc/[0-9]*; do',
    '  read -r comm 2>/dev/null <"$p/comm" || continue',
    '  case $comm in caddy*) ;; *) continue ;; esac',
    '  [ "$(tr "\\000" "\\n" 2>/dev/null <"$p/cmdline")" = "$wanted" ] || continue',
    '  read -r line 2>/dev/null <"$p/stat" || continue',
    '  set -- ${line##*) }',
    '  [ $# -ge 20 ] && echo "started $((boot + ${20} / ticks))"',
    'done',
    'exit 0',
    '',
  ].join('\n')

const seconds = 10

/** "2.6.2"; null: it cannot be told. Throws only the signal's reason. */
async function runningVersion(
  connection: Connection,
  args: readonly string[],
  signal: AbortSignal,
): Promise<string | null> {
  try {
    const result = await connection.run(script(args), { signal, timeout: seconds })
    signal.throwIfAborted()
    return result.ended === 'exit' && result.code === 0 ? versionIn(result.stdout, args) : null
  } catch {
    signal.throwIfAborted()
    return null
  }
}

/** Asks each host once; null: it cannot be told. Throws what the admin API and the connection throw. */
export function rememberedVersions(): (at: AdminHost, signal: AbortSignal) => Promise<string | null> {
  const known = new Map<string, Promise<string | null>>()
  return (at, signal) => {
    const asked =
      known.get(at.where) ??
      (async () => {
        const args = await readCommandLine(at, signal)
        return args === null ? null : runningVersion(await at.connection.get(signal), args, signal)
      })()
    known.set(at.where, asked)
    asked.catch(() => known.delete(at.where))
    return asked
  }
}

/** Reads what the script printed. A program that was replaced after the process started says nothing of the process. */
export function versionIn(output: string, args: readonly string[]): string | null {
  const values = (word: string) =>
    output.split('\n').flatMap(line => (line.startsWith(`${word} `) ? [line.slice(word.length + 1).trim()] : []))
  const [path] = values('path')
  const [placed] = values('placed').map(Number)
  const started = values('started').map(Number)
  const version = /^v?(\d+\.\d+\.\d+)\b(?!-)/.exec(values('version')[0] ?? '')?.[1]
  const [program = ''] = args
  if (path === undefined || version === undefined || placed === undefined || started.length === 0) return null
  if (program.includes('/') && program !== path) return null
  return started.every(at => at >= placed) ? version : null
}

export function countsRemoved(version: string | null): boolean {
  if (version === null) return false
  const parts = version.split('.').map(Number)
  for (const [i, least] of countsSince.entries()) {
    const part = parts[i] ?? 0
    if (part !== least) return part > least
  }
  return true
}
