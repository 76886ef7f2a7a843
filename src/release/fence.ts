/** Scripts that act only while the lock is ours, and can be found and ended by who takes it over. */
import { exitCodes } from './exit-codes.ts'
import type { JournalBody } from './journal-entry.ts'
import { journal } from './journal-lines.ts'
import { changing, type Owner } from './prelude.ts'
import type { Site } from './site.ts'

/**
 * group: pgid and start of the script's process group as a file in the held entry, if it leads one (else there is none of its own to
 * end). In /proc/PID/stat, after the name in brackets: state, parent, group, …; the 20th is the start (proc(5)).
 */
const recording = `
group() {
  { read -r _s </proc/$$/stat; } 2>/dev/null || return 0
  set -- \${_s##*) }
  [ "$3" = $$ ] || return 0
  clock
  _g=\${20}
  _a=0
  while held; do
    { printf '%s\\n' "$_g $b" >"$h/group.$$"; } 2>/dev/null && return
    _a=$((_a + 1))
    [ $_a -ne 5 ] || rm -f "$S/room"
    [ $_a -lt 30 ] || die ${exitCodes.noRoom} "$h cannot be written"
  done
  lost
}
ungroup() { while held && [ -e "$h/group.$$" ]; do rm -f "$h/group.$$"; done; }
held || lost
group
`

/**
 * A script that ends with LOCK_LOST before `body` when the lock is not ours; `intents` are in the journal before it acts. In `body`:
 * S, L, T and J as in the prelude, h and n of our lock entry, stdin untouched. Its exit code is the body's.
 */
export function fenced(site: Site, owner: Owner, body: string, intents: readonly JournalBody[] = []): string {
  const first = intents.map(journal).join('')
  return `${changing(site, owner)}${recording}(\n${first}${body}\n)\n_x=$?\nungroup\nexit $_x\n`
}
