/** What a server is like before anything is done to it: one script that only reads, and its answer. */
import { PreflightError } from '../errors.ts'
import { quoteAll } from '../fleet/quote.ts'
import type { StoredWaits } from '../manifest/kept-waits.ts'
import type { Shell } from '../manifest/schema.ts'
import { type At, type HistoryEntry, type MigrationRecord, parseHistory, parseMigrations } from './history.ts'
import { type Journal, journalBytes, parseJournal } from './journal.ts'
import { type LockState, lockLines, parseLock } from './lock.ts'
import { type Mark, parseMark } from './marks.ts'
import { migrationLines } from './migration-state.ts'
import { reading } from './prelude.ts'
import { isReleaseId, rootDirectory, type Site, sharedPlaces } from './site.ts'
import { parseStoredWaits, storedWaitsLines } from './stored-waits.ts'

export interface ProbeNeeds {
  /** Programs that have to be there, besides those that every deployment needs. */
  readonly tools: readonly string[]
  readonly shells: readonly Shell[]
  /** `shared` as in the manifest. */
  readonly shared: readonly string[]
}

/** Programs of POSIX, and what one rename takes; each is there with GNU coreutils and with BusyBox. */
const alwaysNeeded = ['mv', 'ln', 'readlink', 'mkdir', 'rm', 'dd', 'tail', 'wc', 'cksum', 'date', 'df', 'sed']
export const uploadTools = ['tar', 'gzip']
export const migrationTools = ['setsid']

/** near: the path, or the closest directory above it that is there. Sizes are left out where df does not say them as numbers. */
const room = `
near() { _n=$1; while [ ! -e "$_n" ] && [ -n "$_n" ]; do _n=\${_n%/*}; done; printf '%s\\n' "\${_n:-/}"; }
fourth() { sed -n '$p' | { read -r _1 _2 _3 _4 _5; printf '%s\\t%s\\t%s\\n' "$1" "$_4" "$_2"; }; }
usable() { if [ ! -d "$1" ] || [ ! -w "$1" ] || [ ! -x "$1" ]; then printf 'unwritable\\t%s\\n' "$1"; fi; }
`

const ofReleases = (site: Site, shared: readonly string[]): string => {
  const files = sharedPlaces(shared).filter(place => !place.directory)
  return `P=${rootDirectory(site)}
N=$(near "$P")
usable "$N"
for _d in "$P/releases" "$P/shared"; do if [ -e "$_d" ] || [ -L "$_d" ]; then usable "$_d"; fi; done
if [ -L "$P/current" ]; then
  _l=$(readlink "$P/current")
  case $_l in *[[:cntrl:]]*) printf 'current\\tother\\n' ;; *) printf 'current\\tlink\\n' && printf 'link\\t%s\\n' "$_l" ;; esac
  if [ "$P/current" -ef "$P/releases/\${_l##*/}" ]; then printf 'release\\t%s\\n' "\${_l##*/}"; fi
  [ -d "$P/current/" ] || printf 'dangling\\tyes\\n'
elif [ -d "$P/current" ]; then printf 'current\\tdirectory\\n'
elif [ -e "$P/current" ]; then printf 'current\\tother\\n'
fi
for _f in "$S/marks"/*; do
  _i=\${_f##*/}
  if [ -d "$P/releases/$_i" ] && [ ! -L "$P/releases/$_i" ]; then
    { read -r _r _o _t <"$_f"; } 2>/dev/null && printf 'mark\\t%s\\t%s\\t%s\\t%s\\n' "$_i" "$_r" "$_o" "$_t"
  fi
done
for _f in ${files.length === 0 ? '' : quoteAll(files.map(f => f.path))}; do [ -e "$P/shared/$_f" ] || printf 'missing-shared\\t%s\\n' "$_f"; done
`
}

/** Reads only. Prints lines of a key and a value: see `parseProbe`. Throws InputError for a site or shared place that cannot be. */
export function probe(site: Site, needs: ProbeNeeds): string {
  const shells = needs.shells.flatMap(shell => (shell === 'sh' ? [] : ['bash']))
  const tools = [...new Set([...alwaysNeeded, ...needs.tools, ...shells])]
  return `LC_ALL=C
export LC_ALL
${reading(site)}${room}
clock
printf 'boot\\t%s\\nuptime\\t%s\\n' "$b" "$u"
for _t in ${quoteAll(tools)}; do command -v "$_t" >/dev/null 2>&1 || printf 'missing-tool\\t%s\\n' "$_t"; done
case $(mv --help 2>&1) in *-T*) ;; *) command -v perl >/dev/null 2>&1 || command -v python3 >/dev/null 2>&1 || printf 'missing-tool\\tmv -T\\n' ;; esac
${site.releasePath === null ? 'N=$(near "$S")\nusable "$N"\n' : ofReleases(site, needs.shared)}
df -Pk "$N" 2>/dev/null | fourth kilobytes
df -Pi "$N" 2>/dev/null | fourth inodes
_tab=$(printf '\\t')
if [ -f "$S/journal" ]; then { tail -c ${journalBytes} "$S/journal"; echo; } | sed "s/^/journal$_tab/"; fi
if [ -f "$S/history" ]; then { tail -n 50 "$S/history"; echo; } | sed "s/^/history$_tab/"; fi
if [ -f "$S/migrated" ]; then { tail -n 50 "$S/migrated"; echo; } | sed "s/^/migrated$_tab/"; fi
${storedWaitsLines(site)}${migrationLines}${lockLines}printf 'probed\\tyes\\n'
exit 0
`
}

export interface MigrationStatus {
  readonly release: string
  /** As `migrationState` says it. */
  readonly state: 'none' | 'claimed' | 'running' | 'ended' | 'lost'
  readonly code: number | null
}

export interface Probe {
  readonly boot: string
  /** Seconds. */
  readonly uptime: number
  /** What `current` points to: a release's id, or the text of another tool's link; null: nothing of that kind. */
  readonly current: string | null
  readonly currentIs: 'none' | 'link' | 'directory' | 'other'
  /** `current` is a link to what is not there. */
  readonly dangling: boolean
  readonly marks: readonly Mark[]
  readonly journal: Journal
  /** Oldest first, the last 50 at most. */
  readonly history: readonly At<HistoryEntry>[]
  readonly migrated: readonly At<MigrationRecord>[]
  readonly migrations: readonly MigrationStatus[]
  /** The waits that lie here, checked and capped; whether they count the copies on the other servers decide. */
  readonly waits: StoredWaits | null
  readonly lock: LockState
  /** null: the file system does not say. */
  readonly freeBytes: number | null
  readonly freeInodes: number | null
  readonly missingTools: readonly string[]
  readonly missingShared: readonly string[]
  /** Directories this user cannot write. */
  readonly unwritable: readonly string[]
}

function currentIs(said: string | undefined): Probe['currentIs'] {
  if (said === undefined) return 'none'
  return said === 'link' || said === 'directory' ? said : 'other'
}

function migrationOf(line: string): readonly MigrationStatus[] {
  const [release = '', state, code = '-'] = line.split('\t')
  if (!isReleaseId(release)) return []
  if (state !== 'none' && state !== 'claimed' && state !== 'running' && state !== 'ended' && state !== 'lost') return []
  return [{ release, state, code: /^\d{1,3}$/.test(code) ? Number(code) : null }]
}

/** Free and total of a df line, in units of `each`; a file system without a total has no limit it could tell. */
function freeOf(value: string | undefined, each: number): number | null {
  const [free = '', total = ''] = (value ?? '').split('\t')
  return /^\d{1,15}$/.test(free) && /^\d{1,15}$/.test(total) && Number(total) > 0 ? Number(free) * each : null
}

/** What `probe` printed. Throws PreflightError when it is not the whole answer. */
export function parseProbe(stdout: string): Probe {
  const values = new Map<string, string[]>()
  for (const line of stdout.split('\n')) {
    const [key = ''] = line.split('\t', 1)
    values.set(key, [...(values.get(key) ?? []), line.slice(key.length + 1)])
  }
  const all = (key: string): readonly string[] => values.get(key) ?? []
  const lock = parseLock(stdout)
  if (all('probed').length === 0 || lock === null)
    throw new PreflightError('the server did not answer what was asked before the deployment', {
      hint: 'does its shell print something of its own, or end early? A login script must be silent without a terminal',
    })
  const release = all('release').find(isReleaseId)
  return {
    boot: all('boot')[0] ?? '',
    uptime: Number(all('uptime')[0] ?? 0) || 0,
    current: release ?? all('link')[0] ?? null,
    currentIs: currentIs(all('current')[0]),
    dangling: all('dangling').length > 0,
    marks: all('mark').flatMap(line => parseMark(line) ?? []),
    journal: parseJournal(all('journal').join('\n')),
    history: parseHistory(all('history').join('\n')),
    migrated: parseMigrations(all('migrated').join('\n')),
    migrations: all('migration').flatMap(migrationOf),
    waits: parseStoredWaits(all('waits').join('\n')),
    lock,
    freeBytes: freeOf(all('kilobytes')[0], 1024),
    freeInodes: freeOf(all('inodes')[0], 1),
    missingTools: all('missing-tool'),
    missingShared: all('missing-shared'),
    unwritable: all('unwritable'),
  }
}
