/**
 * The shell functions that the scripts of this folder share. They travel with each script, so they are few and short. POSIX sh: dash,
 * bash and BusyBox ash run them; no variable is exported, so none reaches a user's script.
 */
import { InputError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { type Site, stateDirectory } from './site.ts'

/** Who holds a lock: a random token. `shared`: one of several that hold it together (lock-shared.ts). */
export interface Owner {
  readonly token: string
  readonly shared?: Sharing
}

export interface Sharing {
  /** The same for all that share: their entry is of this name. */
  readonly run: string
  /** Each is there once. */
  readonly member: number
}

/** Seconds a lock lasts without being renewed. */
export const leaseSeconds = 60

function checkedToken(token: string): string {
  if (!/^[A-Za-z0-9-]{16,64}$/.test(token))
    throw new InputError('a lock token is 16 to 64 letters, digits and "-"', { hint: 'use a random UUID' })
  return token
}

/**
 * S: state directory, L: lock directory, J: journal, T: our token (empty for scripts that only read). Of a lock that is shared T is the
 * run's, O our token, Y which member we are.
 */
function names(site: Site, owner: Owner | null): string {
  const start = `S=${stateDirectory(site)}\nL=$S/lock J=$S/journal`
  if (owner === null) return `${start} T=''\n`
  const own = quote(checkedToken(owner.token))
  if (owner.shared === undefined) return `${start} T=${own} Y=\n`
  const { run, member } = owner.shared
  if (!Number.isSafeInteger(member) || member < 1) throw new InputError(`${member} is no member of a shared lock`)
  return `${start} T=${quote(checkedToken(run))} Y=${member} O=${own}\n`
}

const core = `
say() { printf '%s\\n' "$*" >&2; }
die() { _d=$1; shift; say "$@"; exit "$_d"; }
safe() {
  if [ -L "$S" ]; then die ${exitCodes.unsafeState} "$S is a link, which is not followed"; fi
  if [ -e "$S" ] && { [ ! -d "$S" ] || [ ! -O "$S" ]; }; then die ${exitCodes.unsafeState} "$S is not a directory of this user"; fi
}
lost() { die ${exitCodes.lockLost} "the lock on this server is no longer ours"; }
fsync() { sync "$1" 2>/dev/null || sync; }
`

/**
 * One rename of exactly this name: `mv -T` of GNU and BusyBox, else rename(2) itself. A source that is gone is a lost race, not a
 * reason for another tool.
 */
const renaming = `
rename() {
  mv -fT "$1" "$2" 2>/dev/null && return
  [ -e "$1" ] || [ -L "$1" ] || return 1
  perl -e 'exit !rename $ARGV[0], $ARGV[1]' "$1" "$2" 2>/dev/null ||
    python3 -c 'import os, sys; os.rename(sys.argv[1], sys.argv[2])' "$1" "$2" 2>/dev/null
}
`

/** clock: seconds into u that never go back, and which boot they count from into b; a date where there is no /proc. */
const clock = `
clock() {
  if { read -r u _u </proc/uptime && read -r b </proc/sys/kernel/random/boot_id; } 2>/dev/null; then u=\${u%%.*}
  else b=date u=$(date +%s); fi
}
`

/**
 * held: our entry into h, its number into n. A rename that runs meanwhile can hide an entry from one reading of the directory, so a
 * few are made.
 */
const lease = `
held() {
  _i=0
  while [ $_i -lt 30 ]; do
    for h in "$L"/held.*."$T".*; do
      if [ -d "$h" ]; then n=\${h##*/held.}; n=\${n%%.*}; return 0; fi
    done
    _i=$((_i + 1))
  done
  return 1
}
renew() {
  _r=0
  while [ $_r -lt 30 ]; do
    held || return 1
    clock
    _h=$L/held.$n.$T.$b.$((u + ${leaseSeconds}))
    if [ "$h" = "$_h" ] || rename "$h" "$_h"; then return 0; fi
    _r=$((_r + 1))
  done
  die ${exitCodes.renameFailed} "the lock in $L cannot be renamed"
}
`

/**
 * The same of a lock that is shared. The entry is held.N.RUN+JOINS.BOOT.EXPIRY; in it each member has a directory member.N.Y with one
 * file lease.TOKEN.BOOT.EXPIRY. h: that directory, or with W set the entry itself; _e the entry, _m the file. A member of another N is
 * what a lost race left: it counts for nothing. renew: our lease, then the entry's; \`renew 1\` also counts a join, so that the entry's
 * name is another one than anybody read before.
 */
const sharedLease = `
W=
held() {
  _i=0
  while [ $_i -lt 30 ]; do
    for _m in "$L"/held.*."$T"+*/member.*."$Y"/lease."$O".*; do
      h=\${_m%/*} _e=\${_m%/*/*}
      n=\${_e##*/held.} n=\${n%%.*}
      if [ -e "$_m" ] && [ "$h" = "$_e/member.$n.$Y" ]; then
        [ -z "$W" ] || h=$_e
        return 0
      fi
    done
    _i=$((_i + 1))
  done
  return 1
}
renew() {
  _r=0
  while [ $_r -lt 1000 ]; do
    held || return 1
    clock
    _x=$b.$((u + ${leaseSeconds}))
    _l=\${_m%/*}/lease.$O.$_x
    if [ "$_m" = "$_l" ] || rename "$_m" "$_l"; then
      _j=\${_e##*+} _j=\${_j%%.*}
      _n=\${_e%+*}+$((_j + \${1:-0})).$_x
      if [ "$_e" = "$_n" ] || rename "$_e" "$_n"; then held; return; fi
    fi
    _r=$((_r + 1))
  done
  die ${exitCodes.renameFailed} "the lock in $L cannot be renamed"
}
`

/**
 * put: a line at the end of a file, on disk when it returns; what an earlier crash left without its end is closed first. A disk that
 * is full gives up the room that openJournal reserved. j: a JSON object as a line of the journal. replace: a whole file at once.
 */
const writing = `
put() {
  _l=$2
  if [ -s "$1" ] && [ "$(tail -c 1 "$1" | wc -l)" -eq 0 ]; then _l="
$2"; fi
  { printf '%s\\n' "$_l" >>"$1"; } 2>/dev/null && fsync "$1"
}
j() {
  _e="{\\"at\\":$(date +%s),\\"n\\":$n,\${1#?}"
  _c=$(printf '%s' "$_e" | cksum) && _c=\${_c%"\${_c##*[0-9]}"} || return
  _e="{\\"c\\":\\"$_c\\",\\"e\\":$_e}"
  put "$J" "$_e" || { rm -f "$S/room"; put "$J" "$_e"; } || { say "the journal $J cannot be written"; return 1; }
}
replace() {
  { printf '%s\\n' "$2" >"$1.new"; } 2>/dev/null && fsync "$1.new" && rename "$1.new" "$1" && return
  say "$1 cannot be written"
  return 1
}
`

/** What a script that only reads starts with. */
export const reading = (site: Site): string => `${names(site, null)}${core}${clock}safe\n`

/** What a script that changes something starts with. */
export const changing = (site: Site, owner: Owner): string =>
  `${names(site, owner)}${core}${clock}${renaming}${owner.shared === undefined ? lease : sharedLease}${writing}safe\n`
