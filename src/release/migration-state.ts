/** Where a release's migration stands on its server, as shell text. Each start is a directory of its own, numbered upwards. */

/**
 * began ID: the directory of the last start into D, its number into k (0: none), where it stands into is, its exit code into code.
 * none; claimed: nothing of it ran yet; running; ended; lost: it began, is gone, and left no code. The code is looked for again after
 * the process: it is written before that ends.
 */
export const migrationState = `
began() {
  is=none code= D= k=0
  for _d in "$S/migrations/$1".*; do
    case \${_d##*.} in *[!0-9]*) ;; *) if [ "\${_d##*.}" -gt $k ]; then D=$_d; k=\${_d##*.}; fi ;; esac
  done
  if [ $k -eq 0 ] || [ -e "$D/cancelled" ]; then return 0; fi
  if ended; then return 0; fi
  is=lost
  if [ -e "$D/claim" ]; then is=claimed; return 0; fi
  { read -r _p _st _bt <"$D/pid"; } 2>/dev/null || return 0
  clock
  if { read -r _s <"/proc/$_p/stat"; } 2>/dev/null; then
    set -- \${_s##*) }
    if [ "\${20}" = "$_st" ] && [ "$_bt" = "$b" ] && [ "$1" != Z ]; then is=running; fi
  elif [ "$_st" = - ] && [ "$_bt" = "$b" ] && kill -0 "$_p" 2>/dev/null; then is=running
  fi
  [ $is = running ] || ended || :
}
ended() { { read -r code <"$D/code"; } 2>/dev/null && is=ended; }
`

/** Prints the last start of each release's migration: id, where it stands, exit code or "-". Part of a script that reads. */
export const migrationLines = `${migrationState}
_ids=
for _m in "$S/migrations"/*-????????.*; do
  _m=\${_m##*/}
  _m=\${_m%.*}
  case " $_ids " in *" $_m "*) continue ;; esac
  [ "$_m" != '*-????????' ] || continue
  _ids="$_ids $_m"
  began "$_m"
  printf 'migration\\t%s\\t%s\\t%s\\n' "$_m" "$is" "\${code:--}"
done
`
