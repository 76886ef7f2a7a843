/** Shell text around the lock's entry: reading its name, making the directories it lies in, ending what an owner left running. */
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { leaseSeconds } from './prelude.ts'
import { checkedSite, type Site } from './site.ts'

/**
 * entry: the one entry into e; what its name says into n, t, eb, ex; into o whose it is, t without its count of joins. None or two for longer than a rename takes: a hand was in it.
 * over: whether its lease is. More than a lease left cannot be: a clock began anew under the same boot id, as in a container.
 * told: the first line of a file, or null. whose: what is told of its owner, into _w; false where it has to be looked at again, for its
 * owner renews it or gives it back at this moment, which takes the file away before the name. first TOKEN: makes the lock, free; of many at once one does.
 */
export const reader = `
entry() {
  _i=0
  while [ $_i -lt 50 ]; do
    _k=0
    for _f in "$L"/free.* "$L"/held.*; do if [ -d "$_f" ]; then e=$_f; _k=$((_k + 1)); fi; done
    if [ $_k -eq 1 ]; then
      _f=\${e##*/}
      case $_f in
        free.*) n=\${_f#free.}; t=; o=; eb=; ex=0 ;;
        *) _f=\${_f#held.}; n=\${_f%%.*}; _f=\${_f#*.}; t=\${_f%%.*}; o=\${t%%+*}; _f=\${_f#*.}; eb=\${_f%%.*}; ex=\${_f#*.} ;;
      esac
      case $n:$ex in *[!0-9:]* | :* | *:) ;; *) return 0 ;; esac
    fi
    _i=$((_i + 1))
  done
  [ $_k -eq 0 ] || die ${exitCodes.damagedLock} "the lock in $L is damaged: more than one entry, or one that is not ours"
  return 1
}
over() { [ "$eb" != "$b" ] || [ "$u" -ge "$ex" ] || [ $((ex - u)) -gt ${leaseSeconds} ]; }
told() { { read -r _t <"$1"; } 2>/dev/null && printf '%s\\n' "$_t" || printf 'null\\n'; }
_z=0
whose() {
  _w=$(told "$e/owner.$o")
  if [ "$_w" != null ] || [ $_z -ge 5 ]; then return 0; fi
  _z=$((_z + 1))
  sleep 0.1 2>/dev/null || sleep 1
  return 1
}
first() {
  mkdir -p "$S/lock.$1/free.0" && rename "$S/lock.$1" "$L"
  rm -rf "$S/lock.$1"
}
`

/** Makes the state directory for this user alone; the release path before it may lie behind a link of the administrator's. */
export function makeState(site: Site): string {
  const { application, releasePath } = checkedSite(site)
  const above =
    releasePath === null
      ? ['.deploy-action', `.deploy-action/${application}`].map(d => `own "$HOME"/${quote(d)}\n`).join('')
      : `mkdir -p ${quote(releasePath)} || exit ${exitCodes.unsafeState}\n`
  return `own() {
  [ ! -L "$1" ] || die ${exitCodes.unsafeState} "$1 is a link, which is not followed"
  mkdir -m 700 "$1" 2>/dev/null
  { [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && chmod 700 "$1"; } || die ${exitCodes.unsafeState} "$1 is not a directory of this user"
}
${above}own "$S"
`
}

/**
 * endGroups: ends the process groups that are recorded in the entry we hold and sees them gone; clock has to be known. They are read
 * into m at once, until the entry still had its name afterwards: a renewal may rename it. A leader's number that another process has now
 * was free before, so its group was gone. Fields of /proc/PID/stat as in fence.ts. What a user may not end (sudo) is printed as alive.
 * An upload that was ended leaves its note (stage.ts), which goes.
 */
export const endGroups = `
alive() {
  if { read -r _s <"/proc/$1/stat"; } 2>/dev/null; then
    _g=$1 _b=$2
    set -- \${_s##*) }
    [ "\${20}" = "$_b" ] || return 1
    set -- "$_g"
  fi
  for _q in /proc/[0-9]*/stat; do
    { read -r _s <"$_q"; } 2>/dev/null || continue
    set -- "$1" \${_s##*) }
    if [ "$4" = "$1" ] && [ "$2" != Z ]; then return 0; fi
  done
  return 1
}
recorded() {
  while held; do
    m=
    for _f in "$h"/group.*; do
      { read -r _st _bt <"$_f"; } 2>/dev/null && [ "$_bt" = "$b" ] && m="$m \${_f##*/group.}:$_st"
    done
    [ ! -d "$h" ] || return 0
  done
  return 1
}
living() { for _f in $m; do alive "\${_f%%:*}" "\${_f#*:}" && printf '%s\\n' "\${_f%%:*}"; done; }
endGroups() {
  recorded || lost
  _all=$(living)
  _left=$_all
  for _sig in TERM KILL; do
    for _p in $_left; do kill -$_sig "-$_p" 2>/dev/null; done
    _w=0
    while [ -n "$_left" ] && [ $_w -lt 50 ]; do
      sleep 0.1 2>/dev/null || sleep 1
      _left=$(living)
      _w=$((_w + 1))
    done
  done
  for _p in $_all; do
    case " $(echo $_left) " in *" $_p "*) printf 'alive\\t%s\\n' "$_p" ;; *) printf 'ended\\t%s\\n' "$_p" ;; esac
  done
  for _f in $m; do
    _p=\${_f%%:*}
    case " $(echo $_left) " in *" $_p "*) ;; *) while held && [ -e "$h/group.$_p" ]; do rm -f "$h/group.$_p"; done ;; esac
  done
  # Of a shared lock other members' uploads may be under way.
  [ -n "$Y" ] || rm -f "$S"/upload.*
}
`
