/** What is run on a server for its health file, as POSIX sh, and what the answers say. Only names are changed: what is in a file stays. */
import { quote } from '../fleet/quote.ts'

export type DownWhen = 'absent' | 'present'

export const healthExits = { noDirectory: 101, notAFile: 102, notWritable: 103, noTime: 104, failed: 105 } as const

/** What to do about each. */
export const healthHints: Readonly<Record<number, string>> = {
  [healthExits.noDirectory]:
    '`path` is a file on the server itself; its directory has to exist and to outlive releases',
  [healthExits.notAFile]:
    '`path` has to be the file itself that the health check looks for, and a name without line breaks',
  [healthExits.notWritable]: 'the SSH user has to be allowed to write in the directory of `path`',
  [healthExits.noTime]: "the server needs GNU's or busybox's stat and date",
  [healthExits.failed]: 'the SSH user has to be allowed to rename, make and remove `path`; nothing else was changed',
}

/** Where the file waits, in the same directory, so that a rename keeps content, mode, owner and attributes as they are. */
const start = (path: string): string => `
export LC_ALL=C
file=${quote(path)}
directory=\${file%/*}
[ -n "$directory" ] || directory=/
[ "$directory" != "$file" ] || die ${healthExits.noDirectory} 'the path is not absolute'
name=\${file##*/}
kept="\${directory%/}/.$name.deploy-action"
there() { [ -e "$1" ] || [ -L "$1" ]; }
[ -d "$directory" ] || die ${healthExits.noDirectory} "there is no directory $directory"
[ -n "$name" ] && [ ! -d "$file" ] || die ${healthExits.notAFile} "$file is a directory"
`
const die = 'die() { code=$1; shift; printf \'%s\\n\' "$*" >&2; exit "$code"; }'

/** What we write into a file whose presence means down: so it is known again as ours. */
export const ourText = 'taken out of rotation by a deployment'

const told = (down: DownWhen): string =>
  down === 'absent'
    ? `
if [ -e "$file" ]; then seen=up times=$(stat -c '%Z %Y' -- "$file")
elif there "$kept"; then seen=ours times=$(stat -c '%Z %Y' -- "$kept")
else seen=operator times='0 0'
fi`
    : `
if [ ! -e "$file" ]; then seen=up times='0 0'
elif [ "$(head -c 200 -- "$file" 2>/dev/null)" = ${quote(ourText)} ]; then seen=ours times=$(stat -c '%Z %Y' -- "$file")
else seen=operator times='0 0'
fi`

/** Prints `STATE NOW CHANGED WRITTEN`: up, ours (down by us) or operator (down, and not by us); times in seconds since 1970. */
export const lookScript = (path: string, down: DownWhen): string => `${die}
${start(path)}
[ -w "$directory" ] || die ${healthExits.notWritable} "$(id -un) may not write in $directory"
${told(down)}
echo "$seen $(date +%s) $times"
`

/** Makes the health check fail; what is down already stays. Each step is one rename or one removal. */
export const downScript = (path: string, down: DownWhen): string => `${die}
${start(path)}
failed() { die ${healthExits.failed} "$1"; }
${
  down === 'absent'
    ? `if there "$file"; then mv -f -- "$file" "$kept" 2>&1 || failed "$file cannot be renamed"; fi`
    : `if ! there "$file"; then
  { printf '%s\\n' ${quote(ourText)} >"$kept"; } 2>/dev/null || failed "nothing can be written in $directory"
  # Whole or not at all; and what an operator made meanwhile stays.
  ln -- "$kept" "$file" 2>/dev/null || there "$file" || { rm -f -- "$kept"; failed "$file cannot be made"; }
  rm -f -- "$kept"
fi`
}
`

/** Undoes what downScript did, and prints how it stood before; a file that somebody else put there meanwhile stays, as does one that somebody else took away. */
export const upScript = (path: string, down: DownWhen): string => `${die}
${start(path)}
failed() { die ${healthExits.failed} "$1"; }
${told(down)}
${
  down === 'absent'
    ? `if there "$kept"; then
  if there "$file"; then rm -f -- "$kept"; else mv -- "$kept" "$file" || failed "$file cannot be put back"; fi
fi`
    : `if [ "$seen" = ours ]; then rm -f -- "$file" || failed "$file cannot be removed"; fi`
}
echo "$seen"
`

export interface HealthFile {
  readonly state: 'up' | 'ours' | 'operator'
  /** Seconds since it came to this state by a rename or a new file; Infinity where that is not known. */
  readonly age: number
}

/** Reads what lookScript printed; null: not in the form that is expected. */
export function parseHealthFile(text: string): HealthFile | null {
  const [, state, now, changed, written] = /^(up|ours|operator) (\d+) (\d+) (\d+)$/.exec(text.trim()) ?? []
  if (state !== 'up' && state !== 'ours' && state !== 'operator') return null
  // Both are cut to whole seconds: the difference may be one too many.
  const age = Math.max(0, Number(now) - Number(changed) - 1)
  // An application that touches its file changes both times together; a rename changes only one of them.
  const renamed = Number(changed) > Number(written)
  const known = Number(changed) > 0 && (state === 'ours' || (state === 'up' && renamed))
  return { state, age: known ? age : Number.POSITIVE_INFINITY }
}
