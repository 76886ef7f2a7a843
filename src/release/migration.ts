/**
 * A migration runs detached: in a session of its own, its output and exit code in the state directory, so that neither a cancel nor a
 * lost connection ends it, and a later run finds it again. It is started once: what claims it is made inside the held lock entry and
 * renamed from there, so that a stale owner claims nothing.
 */
import { randomBytes } from 'node:crypto'
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { fenced } from './fence.ts'
import { journal } from './journal-lines.ts'
import { migrationState } from './migration-state.ts'
import { type Owner, reading } from './prelude.ts'
import { checkedRelease, type Site } from './site.ts'

/** Exit code of `followMigration` when the migration left none of its own. */
export const migrationLost = 69

/**
 * The detached shell; its arguments are the claim's directory and the end mark. It reads the script up to the end mark before anything
 * begins, for who sends it may be ended half-way; then it turns the claim into a beginning, which a cancelled claim cannot become.
 * Only the echo to the launcher may meet a closed pipe: the script has its signals as usual, but for HUP.
 */
const detached = `trap '' HUP PIPE
_t=$(cat)
case $_t in *"#$2") ;; *) exit 1 ;; esac
cd / || exit 1
_D=$1 _s= _b=
{ read -r _s </proc/$$/stat && read -r _b </proc/sys/kernel/random/boot_id; } 2>/dev/null
if [ -n "$_b" ]; then set -- \${_s##*) }; else set -- 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 -; _b=date; fi
printf '%s\\n' "$$ \${20} $_b" >"$_D/pid" && mv "$_D/claim" "$_D/begun" || exit 1
set --
echo begun
(umask 077 && : >>"$_D/output")
exec >>"$_D/output" 2>&1 </dev/null
(trap - PIPE; unset _s _b; cd && eval "$_t")
printf '%s\\n' $? >"$_D/code.new" && { sync "$_D/code.new" 2>/dev/null || sync; } && mv "$_D/code.new" "$_D/code"`

export interface MigrationStart {
  readonly release: string
  /** POSIX sh text, run in the user's home; it travels on stdin and is never written to disk or an argument. */
  readonly script: string
  /** Runs although it succeeded, or ended without telling. One that is running is never joined by a second. */
  readonly forced: boolean
}

/** Starts a release's migration unless it is running or has succeeded. Prints: see `parseMigrationStart`. */
export function startMigration(site: Site, owner: Owner, { release, script, forced }: MigrationStart): string {
  const end = randomBytes(16).toString('hex')
  const unlessForced = (said: string) => (forced ? ':' : `{ tell ${said}; exit 0; }`)
  return fenced(
    site,
    owner,
    `I=${checkedRelease(release)}
${migrationState}
tell() { printf 'migration\\t%s\\n' "$1"; }
away() {
  if command -v setsid >/dev/null 2>&1; then exec setsid "$@"; fi
  exec perl -e 'use POSIX; POSIX::setsid(); exec @ARGV' "$@"
}
began "$I"
# A claim that nothing came of: its shell, should it still be under way, finds it gone, or has won and is running.
if [ $is = claimed ]; then mv "$D/claim" "$D/cancelled" 2>/dev/null; began "$I"; fi
case $is in
  running) tell running; exit 0 ;;
  ended) [ "$code" != 0 ] || ${unlessForced('done')} ;;
  lost) ${unlessForced('lost')} ;;
esac
${journal({ type: 'migrating' })}mkdir -p "$S/migrations" || exit ${exitCodes.noRoom}
D=$S/migrations/$I.$((k + 1))
_a=0
while :; do
  held || lost
  { rm -rf "$h/migration" && mkdir "$h/migration" && : >"$h/migration/claim"; } 2>/dev/null && rename "$h/migration" "$D" && break
  _a=$((_a + 1))
  [ $_a -lt 30 ] || die ${exitCodes.renameFailed} "the migration cannot be claimed in $D"
done
_m=${quote(`${script}\n#${end}`)}
_w=$( { printf '%s' "$_m" | (away sh -c ${quote(detached)} sh "$D" ${end}) & } 2>&1)
[ "$_w" = begun ] || die ${exitCodes.renameFailed} "the migration could not be started: $_w"
tell started`,
  )
}

/** lost: it began and ended without telling how; nothing is repeated unless forced. */
export type MigrationStarted = 'started' | 'running' | 'done' | 'lost'

/** What `startMigration` printed; null: not an answer of it. */
export function parseMigrationStart(stdout: string): MigrationStarted | null {
  const said = /^migration\t(\w+)$/m.exec(stdout)?.[1]
  return said === 'started' || said === 'running' || said === 'done' || said === 'lost' ? said : null
}

/**
 * Prints the output from a byte offset on, as it comes, until the migration ends; then ends with its exit code, or `migrationLost`. The
 * last line on stderr tells the two apart: see `parseFollow`. Reads only; may be run again, from any offset.
 */
export const followMigration = (site: Site, release: string, offset: number): string =>
  `${reading(site)}${migrationState}
o=${Math.max(0, Math.trunc(offset))}
more() {
  z=$(wc -c <"$D/output") 2>/dev/null || return 0
  z=$((z))
  if [ $z -gt $o ]; then tail -c +$((o + 1)) "$D/output" | head -c $((z - o)); o=$z; fi
}
while :; do
  began ${checkedRelease(release)}
  [ -z "$D" ] || more
  case $is in
    running) sleep 0.3 2>/dev/null || sleep 1 ;;
    ended) printf 'migration\\tended\\t%s\\n' "$code" >&2; exit "$code" ;;
    *) printf 'migration\\t%s\\t-\\n' "$is" >&2; exit ${migrationLost} ;;
  esac
done
`

export type Followed =
  | { readonly ended: 'code'; readonly code: number }
  /** lost: it began, and left no exit code. none: it never began. */
  | { readonly ended: 'lost' | 'none' }

/** How the migration ended, from what `followMigration` wrote to stderr; null: it was not followed to its end. */
export function parseFollow(stderr: string): Followed | null {
  const [, is, code] = /^migration\t(\w+)\t(\d{1,3}|-)$/m.exec(stderr) ?? []
  if (is === 'ended' && code !== undefined && code !== '-') return { ended: 'code', code: Number(code) }
  if (is === 'lost') return { ended: 'lost' }
  return is === 'none' || is === 'claimed' ? { ended: 'none' } : null
}
