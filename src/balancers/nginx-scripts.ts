/**
 * What is run on a host of nginx, as POSIX sh: looking (reads only), and marking lines with a reload. GNU or busybox tools, and
 * util-linux's or busybox's flock; times are read with GNU's date and stat.
 */
import { quote } from '../fleet/quote.ts'
import type { LineEdit } from './nginx-config.ts'

export const nginxExits = {
  noFile: 101,
  noMaster: 102,
  severalMasters: 103,
  noTools: 104,
  locked: 105,
  changed: 106,
  notKept: 107,
  refused: 108,
  noReload: 109,
} as const

/** What to do about each. */
export const nginxHints: Readonly<Record<number, string>> = {
  [nginxExits.noFile]: "`file` is the include file with the `server` lines of the upstream, on the balancer's host",
  [nginxExits.noMaster]:
    'nginx has to run there with a configuration that includes `file`; reading it may need `become: root`',
  [nginxExits.severalMasters]: 'wait until an upgrade of nginx has ended, or stop the one that is left over',
  [nginxExits.noTools]: 'install it there (Debian: coreutils, util-linux, mawk; Alpine: apk add coreutils)',
  [nginxExits.locked]: 'another deployment is writing there; run it again',
  [nginxExits.changed]: 'somebody else wrote the file at the same time; nothing was changed, run it again',
  [nginxExits.notKept]: 'nothing was changed; the user who writes has to own the file, or `become: root`',
  [nginxExits.refused]: 'the file was put back as it was; correct what `nginx -t` says',
  [nginxExits.noReload]: 'the file is written and not in force: reload nginx by hand; `become: root` may be missing',
}

const start = (file: string): string => `
export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
set -f
die() { code=$1; shift; printf '%s\\n' "$*" >&2; exit "$code"; }
for tool in awk base64 date flock grep readlink stat; do
  command -v "$tool" >/dev/null || die ${nginxExits.noTools} "there is no $tool"
done
case $(date +%N) in ''|*[!0-9]*) die ${nginxExits.noTools} 'date knows no fractions of a second' ;; esac
file=$(readlink -f -- ${quote(file)}) && [ -f "$file" ] || die ${nginxExits.noFile} 'there is no such file'
[ -r "$file" ] || die ${nginxExits.noMaster} "$(id -un) may not read the file"
# Parent and start (in ticks of 10 ms since boot) of a process: fields 4 and 22, counted behind the name, which may hold anything.
stat_of() { { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1; set -- \${line##*) }; parent=$2 begun=\${20}; }
title_of() { tr '\\000' ' ' <"/proc/$1/cmdline" 2>/dev/null; }
with_title() { set +f; grep -la "^nginx: $1 process" /proc/[0-9]*/cmdline 2>/dev/null | sed 's,^/proc/,,; s,/cmdline$,,'; set -f; }
# The program of a master and the arguments that say which configuration it has.
words_of() {
  words=$(title_of "$1") || return 1
  set -- \${words#nginx: master process }
  program=$1 arguments=
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      -c | -p | -e) arguments="$arguments $1 \${2-}" ;;
      -c?* | -p?* | -e?*) arguments="$arguments $1" ;;
    esac
    shift
  done
}
`

/**
 * Finds the master whose configuration includes the file; several nginx may run on a host. Only root's processes or our own count: what
 * a title says is run, and a title is what a process likes. What runs in a container of the host has other files.
 */
const findMaster = (known: string | null): string => `
me=$(id -u) here=$(readlink /proc/self/ns/mnt) masters= master= said=
candidates=$(with_title master)
for pid in $candidates; do
  owner=$(stat -c %u "/proc/$pid" 2>/dev/null) || continue
  [ "$owner" = 0 ] || [ "$owner" = "$me" ] || continue
  there=$(readlink "/proc/$pid/ns/mnt" 2>/dev/null) || there=$here
  [ "$there" = "$here" ] || continue
  stat_of "$pid" || continue
  # A worker has its master's title until it has one of its own.
  case " $(echo $candidates) " in *" $parent "*) continue ;; esac
  masters="$masters $pid"
  if [ "$pid:$begun" = ${quote(known ?? '')} ]; then master=$pid; break; fi
done
if [ -z "$master" ]; then
  for pid in $masters; do
    words_of "$pid" || continue
    if dump=$("$program" $arguments -T 2>&1); then
      if printf '%s\\n' "$dump" | sed -n 's/^# configuration file \\(.*\\):$/\\1/p' |
        { found=1; while read -r name; do if [ "$name" -ef "$file" ]; then found=0; fi; done; exit $found; }
      then
        [ -z "$master" ] || die ${nginxExits.severalMasters} "two nginx run with this file: $master and $pid"
        master=$pid chosen=$dump
      fi
    else said=$(printf '%s\\n' "$dump" | tail -n 3)
    fi
  done
fi
[ -n "$master" ] || die ${nginxExits.noMaster} "no nginx runs with this file (masters:\${masters:- none}) $said"
stat_of "$master" || die ${nginxExits.noMaster} 'nginx ended just now'
echo "master $master $begun"
words_of "$master" || die ${nginxExits.noMaster} 'nginx ended just now'
`

/**
 * Prints lines: clock, master, worker, version, changed, content (in base64), and minimum where the configuration was read and sets
 * keepalive_min_timeout. `known`: `pid:start` of the master that was found before.
 */
export const lookScript = (file: string, known: string | null): string => `${start(file)}${findMaster(known)}
# The time of day of a process's start: a process that begins between two looks at the clock has a start that can be compared.
for i in 1 2 3; do
  before=$(date +%s%N) ticks=$(cat /proc/self/stat) after=$(date +%s%N)
  set -- \${ticks##*) }
  echo "clock $before \${20} $after"
done
for pid in $(with_title worker) $(with_title master); do
  stat_of "$pid" && [ "$parent" = "$master" ] || continue
  case $(title_of "$pid") in *'is shutting down'*) kind=old ;; *) kind=current ;; esac
  echo "worker $pid $begun $kind"
done
echo "version $("$program" -v 2>&1 | sed -n 's,^nginx version: *[^/]*/\\([0-9.]*\\).*,\\1,p')"
if [ -n "\${chosen-}" ] && printf '%s\\n' "$chosen" | grep -Eq '^[[:space:]]*keepalive_min_timeout[[:space:]]'; then echo minimum; fi
echo "changed $(stat -c '%.9Z %s' -- "$file")"
echo content
base64 <"$file"
`

const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64')

export interface Marking {
  readonly file: string
  readonly known: string | null
  readonly edits: readonly LineEdit[]
  /** A person's script in place of the signal; already a script of its own. */
  readonly reload: string | undefined
}

/**
 * Changes lines under a lock and reloads: all or nothing. The lock is on the directory: the file itself is another one after each
 * rename. The new file begins as a copy, so that owner, mode and attributes stay. HUP is what `nginx -s reload` and systemd send.
 */
export const markScript = ({ file, known, edits, reload }: Marking): string => `${start(file)}${findMaster(known)}
directory=\${file%/*}
new="$directory/.\${file##*/}.deploy-action.new" old="$directory/.\${file##*/}.deploy-action.old"
exec 9<"\${directory:-/}"
flock -w 5 9 || die ${nginxExits.locked} 'another process holds the lock of the directory'
tested() { said=$("$program" $arguments -t 2>&1 9<&-); }
${edits.length === 0 ? `tested || die ${nginxExits.refused} "$said"` : replaceLines(edits)}
echo "reloaded $(cat /proc/self/stat)"
(
exec 9<&-
${reload ?? 'kill -HUP "$master"'}
) || die ${nginxExits.noReload} 'the reload failed'
`

const replaceLines = (edits: readonly LineEdit[]): string => `
keep() { stat -c '%a %u %g' -- "$1"; }
rm -f "$new" "$old"
{ cp -p -- "$file" "$new" && [ "$(keep "$file")" = "$(keep "$new")" ]; } || { rm -f "$new"; die ${nginxExits.notKept} 'owner and mode cannot be kept'; }
[ -z "$(tail -c 1 "$file")" ] && end=1 || end=0
program_of_edits='
  NR == FNR { if (NR % 2) from = $0; else to[from] = $0; next }
  { if (FNR > 1) printf "\\n"; if ($0 in to) { printf "%s", to[$0]; seen[$0] = 1 } else printf "%s", $0 }
  END { if (end) printf "\\n"; for (line in to) if (!(line in seen)) exit 3 }'
{ base64 -d <<'EDITS' | awk -v end=$end "$program_of_edits" - "$file" >"$new"
${base64(edits.map(e => `${e.from}\n${e.to}\n`).join(''))}
EDITS
} || { rm -f "$new"; die ${nginxExits.changed} 'the lines of this server are not as they were read'; }
{ ln -- "$file" "$old" && mv -f -- "$new" "$file"; } || { rm -f "$new" "$old"; die ${nginxExits.notKept} 'the file cannot be replaced'; }
if ! tested; then mv -f -- "$old" "$file"; die ${nginxExits.refused} "$said"; fi
rm -f "$old"
`
