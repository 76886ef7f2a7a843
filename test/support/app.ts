/** The application's files as a repository holds them: the server, and the script that restarts it. */
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

export interface AppFiles {
  /** Told in its release; see app-server.mjs. `activate-fails` and `web2:activate-fails` are for the script. */
  readonly behaviour?: string
  /** Anything that makes it another release. */
  readonly version?: string
  /** What the activate script prints. */
  readonly prints?: string | Buffer
}

/**
 * `activate` ends the running server at once, as a restart by a service manager without grace does: a request in flight is lost. So only
 * a server that is out of rotation and drained can be restarted without a failed request. With a file `refuse` in its home a server
 * starts no release at all, the old one neither.
 */
const activate = `#!/bin/sh
set -eu
if [ -f prints ]; then cat prints; fi
case " $(cat behaviour 2>/dev/null || true) " in
  *" activate-fails "* | *" $DEPLOY_SERVER:activate-fails "*) echo 'this release refuses to start' >&2; exit 7 ;;
esac
if [ -f "$HOME/refuse" ]; then echo 'this server starts nothing' >&2; exit 9; fi
sh ./stop
setsid "\${NODE:-node}" ./app-server.mjs </dev/null >"$HOME/app.log" 2>&1 &
echo $! >"$HOME/app.pid"
`

/**
 * A dead process that nobody has waited for yet keeps its number, and in a container the first process may take seconds: state Z in
 * /proc/PID/stat (proc(5)). It still has its port while a thread of it is left (field 20).
 */
export const lives = `lives() {
  { read -r line </proc/$1/stat; } 2>/dev/null || return 1
  set -- \${line##*) }
  case $1:\${18} in [ZX]:[01]) return 1 ;; esac
}`

const stop = `#!/bin/sh
set -eu
${lives}
[ -f "$HOME/app.pid" ] || exit 0
pid=$(cat "$HOME/app.pid")
kill -KILL "$pid" 2>/dev/null || exit 0
while lives "$pid"; do sleep 0.02; done
`

/** Writes the application into a directory, which is made. */
export function writeApp(directory: string, files: AppFiles = {}): void {
  mkdirSync(directory, { recursive: true })
  copyFileSync(new URL('app-server.mjs', import.meta.url), join(directory, 'app-server.mjs'))
  writeFileSync(join(directory, 'activate'), activate, { mode: 0o755 })
  writeFileSync(join(directory, 'stop'), stop, { mode: 0o755 })
  writeFileSync(join(directory, 'version'), `${files.version ?? '1'}\n`)
  writeFileSync(join(directory, 'behaviour'), files.behaviour ?? '')
  if (files.prints !== undefined) writeFileSync(join(directory, 'prints'), files.prints)
}
