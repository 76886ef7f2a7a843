/**
 * A lock that the shards of one run hold together (action.md, Fan-out): one entry of the run's name, as held by any owner, and in it one
 * member for each shard, with a lease of its own. Against all others it is one owner's: it is theirs when its lease is over, and any
 * member's renewal renews it. Joining puts the member into the entry and then counts the join in the entry's name; giving back takes
 * the member out and then, when nobody is left, frees the entry. Both end with one rename of a name that the other would have changed,
 * so a member that has joined is never in a lock that was freed: a renewal within the same second, which changes no name, proves nothing.
 */
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { endGroups, makeState, reader } from './lock-scripts.ts'
import { changing, leaseSeconds, type Owner } from './prelude.ts'
import type { Site } from './site.ts'

/**
 * lease: the lease of a member into _f, when it ends into _x; a renewal may hide the name from one reading. isOver: whether it has ended.
 * left: whether somebody is still in the entry e: a member that is not known to be over, or a process group that lives and that the next
 * owner has to see.
 */
const looking = `
lease() {
  _i=0
  while [ $_i -lt 30 ]; do
    for _f in "$1"/lease.*; do
      _x=\${_f##*.}
      case $_x in '' | *[!0-9]*) ;; *) return 0 ;; esac
    done
    _i=$((_i + 1))
  done
  return 1
}
isOver() {
  _y=\${_f%.*}
  [ "\${_y##*.}" != "$b" ] || [ "$u" -ge "$_x" ] || [ $((_x - u)) -gt ${leaseSeconds} ]
}
left() {
  for _d in "$e"/member."$n".*; do
    if [ -d "$_d" ] && { ! lease "$_d" || ! isOver; }; then return 0; fi
  done
  for _f in "$e"/group.* "$e"/member.*/group.*; do
    { read -r _st _bt <"$_f"; } 2>/dev/null && [ "$_bt" = "$b" ] && alive "\${_f##*/group.}" "$_st" && return 0
  done
  return 1
}
`

/**
 * What others left in the entry: records of groups come to its top, are ended by whoever joins, and what counts for nothing goes. Two
 * that do so at once do each other no harm.
 */
const remains = `
old() {
  for _d in "$_e"/member.*; do
    case \${_d##*/} in "member.$n."*) continue ;; esac
    [ -d "$_d" ] || continue
    for _f in "$_d"/group.*; do if [ -e "$_f" ]; then rename "$_f" "$_e/\${_f##*/}"; fi; done
    rm -rf "$_d"
  done
}
found=$over
while held && old; do [ ! -d "$_e" ] || break; done
if [ -n "$again" ]; then _l=$(endGroups) || lost; fi
W=1
if recorded && [ -n "$m" ]; then
  [ -n "$found" ] || found=null
  _l="$_l
$(endGroups)" || lost
fi
W=
if [ -n "$found" ]; then
  printf 'over\\t%s\\n' "$found"
  [ -z "$_l" ] || printf '%s\\n' "$_l"
fi
if held; then for _f in "$_e"/owner.*; do [ "\${_f##*/}" = "owner.$T" ] || rm -f "$_f"; done; fi
`

/** `takeLock` for one that shares. Prints see `parseTake`; also `twice` when this member is there already, by another process. */
export const takeShared = (site: Site, owner: Owner, info: string): string =>
  `${changing(site, owner)}${reader}${endGroups}${looking}${makeState(site)}
_a=0 over= again= _l=
while :; do
  _a=$((_a + 1))
  [ $_a -lt 3000 ] || die ${exitCodes.damagedLock} "the lock in $L cannot be taken: the directory cannot be written, or is damaged"
  if ! entry; then
    first "$O"
    continue
  fi
  clock
  _x=$((u + ${leaseSeconds}))
  if [ "$o" = "$T" ]; then
    _d=$e/member.$n.$Y
    if [ ! -d "$_d" ]; then
      _f=$S/member.$O
      rm -rf "$_f"
      { mkdir "$_f" && printf '%s\\n' ${quote(info)} >"$_f/lease.$O.$b.$_x"; } 2>/dev/null || [ -e "$_f/lease.$O.$b.$_x" ] || continue
      mv -fT "$_f" "$_d" 2>/dev/null || { [ -d "$e" ] && [ ! -e "$_d" ] && rename "$_f" "$_d"; } || continue
    else
      lease "$_d" || continue
      case $_f in
        "$_d/lease.$O."*) ;;
        *)
          if ! isOver; then
            printf 'held\\t%s\\ntwice\\tyes\\nholder\\t' "$((_x - u))"
            told "$_f"
            exit 0
          fi
          # Of a process that is gone: its name is ours by one rename of it, and what it left running is ended.
          over=$(told "$_f")
          rename "$_f" "$_d/lease.$O.$b.$((u + ${leaseSeconds}))" || continue
          again=1
          ;;
      esac
    fi
    renew 1 || continue
    break
  fi
  if [ -n "$t" ] && ! over; then
    whose || continue
    printf 'held\\t%s\\nholder\\t%s\\n' "$((ex - u))" "$_w"
    exit 0
  fi
  { printf '%s\\n' ${quote(info)} >"$e/owner.$T"; } 2>/dev/null || [ -d "$e" ] || continue
  h=$L/held.$((n + 1)).$T+0.$b.$_x
  rename "$e" "$h" || continue
  # Nobody is in it yet: whoever of us comes first joins first.
  if [ -n "$t" ]; then over=$(told "$h/owner.$o"); fi
done
rm -rf "$S/member.$O"
printf 'taken\\t%s\\n' "$n"
${remains}exit 0
`

/** `releaseLock` for one that shares: the lock is free when nobody else is in it. */
export const releaseShared = (site: Site, owner: Owner): string =>
  `${changing(site, owner)}${reader}${endGroups}${looking}clock
_a=0
while recorded && [ -n "$(living)" ]; do
  _a=$((_a + 1))
  if [ $_a -gt 20 ]; then printf 'busy\\n'; exit 0; fi
  sleep 0.1 2>/dev/null || sleep 1
done
said=gone _a=0
while held; do
  _a=$((_a + 1))
  [ $_a -lt 1000 ] || die ${exitCodes.renameFailed} "the lock in $L cannot be given back"
  rm -rf "$S/gone.$O"
  if rename "$h" "$S/gone.$O"; then said=released; fi
done
rm -rf "$S/gone.$O" "$S/member.$O"
_a=0
while [ $_a -lt 1000 ] && entry && [ "$o" = "$T" ]; do
  _a=$((_a + 1))
  clock
  left && [ -d "$e" ] && break
  if [ -d "$e" ] && rename "$e" "$L/free.$n"; then
    rm -rf "$L/free.$n"/member.* "$L/free.$n/owner.$T"
    break
  fi
done
printf '%s\\n' "$said"
exit 0
`
