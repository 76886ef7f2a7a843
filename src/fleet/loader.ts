// biome-ignore-all lint/suspicious/noTemplateCurlyInString: shell text
/**
 * The fixed command that every script is started by. It reads the script from stdin up to a line that is the run's token, so a
 * script that arrived in part never runs and what follows the token stays on stdin; then it runs it and says on both outputs
 * where the script's own output begins and ends.
 *
 * The user's login shell parses it, whichever that is: one line of words in single quotes, each under 1024 bytes, without ', \ and
 * newline and with ! only before a semicolon, means the same to dash, bash, BusyBox, mksh, zsh, tcsh, BSD csh and fish (tried
 * with each of them).
 */

/** Seconds between TERM and KILL. */
export const termGrace = 3

/** Where the script's output begins on each stream: this, a space, the process group, a newline. */
export const startMark = (token: string) => `<${token}`
/** Where it ends. */
export const endMark = (token: string) => `>${token}`

/**
 * Its own process group is what can be ended later. sshd gives one to every command, Dropbear does not; `setsid` forks, and loses
 * the exit code, when it already leads one, so it is only used when needed. Without /proc it goes on as it is.
 */
const leadGroup = [
  '_g=$$',
  '[ -r /proc/$$/stat ] && IFS= read -r _l </proc/$$/stat && { _l=${_l##*) }; _l=${_l#* }; _l=${_l#* }; _g=${_l%% *}; }',
  'case $_g in $$) eval "$0";; *) exec setsid sh -c "$0" "$0" "$1" "$2";; esac',
].join('; ')

/**
 * `read -r` takes exactly its line off a pipe. IFS is space, tab and newline at the start of a shell (XCU 2.5.3): a newline without
 * writing one. Collected in two steps, since appending each line to the whole is quadratic.
 */
const readScript = [
  '_n=${IFS#??}; _s=; _c=; _i=0',
  'while IFS= read -r _l; do case $_l in $2) _i=end; break;; esac; _c=$_c$_l$_n; _i=$((_i+1)); case $_i in 256) _s=$_s$_c; _c=; _i=0;; esac; done',
  'case $_i in end) _s=$_s$_c;; *) exit 70;; esac',
].join('; ')

const begin = 'echo "<$2 $$"; echo "<$2 $$" >&2'
const script = '( set --; unset _c _l; eval "$_s" ); _r=$?'
const finish = 'echo ">$2"; echo ">$2" >&2; exit $_r'

/**
 * For a script without input: stdin stays open as long as somebody wants it to run. The watcher waits for its end, which comes by
 * a timeout, a cancel and a lost connection alike, and ends the process group. USR1 tells this shell to stay until that is done,
 * so that its own end says: they are gone, or killed with it.
 */
const runScript = [
  readScript,
  '_t=; trap "_t=1" USR1; trap : TERM HUP INT',
  'exec 3<&0 </dev/null',
  '( eval "$1" ) <&3 >/dev/null 2>&1 & _w=$!',
  'exec 3<&-',
  begin,
  script,
  'while case $_t in "") false;; esac && kill -0 $_w 2>/dev/null; do wait $_w; done',
  'kill -KILL $_w 2>/dev/null',
  finish,
].join('; ')

/** Whether anyone but this shell and the watcher itself is left in the group is read from /proc; without it, the whole grace is given. */
const watcher = [
  'trap "" TERM HUP INT PIPE',
  'while IFS= read -r _l; do :; done',
  'kill -USR1 $$; kill -TERM -$$',
  '_a=1; _m=; [ -r /proc/self/stat ] && IFS= read -r _l </proc/self/stat && _m=${_l%% *}',
  `_i=0; while [ $_i -lt ${termGrace * 10} ]; do sleep 0.1 && _i=$((_i+1)) || { sleep 1; _i=$((_i+10)); }`,
  'case $_m in "") continue;; esac; _a=',
  'for _f in /proc/[0-9]*/stat; do { IFS= read -r _l <$_f; } 2>/dev/null || continue; set -- ${_l%% *} ${_l##*) }; case $4:$2:$1 in $$:Z:*|*:$$|*:$_m) ;; $$:*) _a=1; break;; esac; done',
  'case $_a in "") break;; esac; done',
  'kill -KILL -$$',
].join('; ')

/**
 * For a script with input: what follows the token on stdin is the script's. Nobody watches: the end of stdin is the input's end.
 * This shell outlives TERM, since sshd closes stdin when it ends, and a script that ignores TERM would take that for the whole input.
 */
const sendScript = [readScript, 'trap : TERM HUP INT', begin, script, finish].join('; ')

const words = (...texts: readonly string[]) => `exec sh -c ${texts.map(t => `'${t}'`).join(' ')}`

/** The command for a script with empty stdin. `token`: letters and digits. */
export const runCommand = (token: string) => words(leadGroup, runScript, watcher, token)
/** The command for a script whose stdin is what follows the token. */
export const sendCommand = (token: string) => words(leadGroup, sendScript, '', token)

/** What stdin begins with: the script, and the token on a line of its own. */
export const scriptOnStdin = (text: string, token: string) => `${text}\n${token}\n`

/** Ends a process group from another channel, for where the watcher cannot: TERM, then KILL when it is not gone in time. */
export const endGroup = (group: number) =>
  words(
    [
      `kill -TERM -${group}`,
      `_i=0; while kill -0 -${group} && [ $_i -lt ${termGrace * 10} ]; do sleep 0.1 && _i=$((_i+1)) || { sleep 1; _i=$((_i+10)); }; done`,
      `kill -KILL -${group}`,
    ].join('; '),
  )

/** KILL from another channel, for a group that outlived its watcher. */
export const killGroup = (group: number) => words(`kill -KILL -${group}`)
