/**
 * Stand-ins for programs that the examples call on a server, in a directory for its PATH. `systemctl` really starts and stops processes:
 * a unit is the application (puma, api) or a worker (sidekiq); as with systemd a unit's variables come from its own file, here
 * `unit.env` in the home directory, not from who restarts it. What else is called leaves a line in `calls` there.
 */
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { lives } from './app.ts'

const systemctl = `#!/bin/sh
set -eu
verb=$1
for unit; do :; done
pidfile="$HOME/$unit.pid"
${lives}
running() { [ -f "$pidfile" ] && lives "$(cat "$pidfile")"; }
case $verb in
  is-active) running ;;
  restart)
    if running; then
      kill -KILL "$(cat "$pidfile")"
      while running; do sleep 0.02; done
    fi
    . "$HOME/unit.env"
    cd "$CURRENT"
    release=$(basename "$(pwd -P)")
    case $unit in
      sidekiq) set -- sleep 100000 ;;
      *) set -- "$NODE" "$(find . -name app-server.mjs | head -n 1)" ;;
    esac
    PORT=$PORT DEPLOY_SERVER=$NAME DEPLOY_RELEASE=$release setsid "$@" </dev/null >"$HOME/$unit.log" 2>&1 &
    echo $! >"$pidfile"
    ;;
  *) echo "systemctl $verb is not known here" >&2; exit 1 ;;
esac
`
const sudo = `#!/bin/sh
exec "$@"
`
const recorder = `#!/bin/sh
echo "$(basename "$0") $*" >>"$HOME/calls"
`

/** Writes the programs; `recorded` are those of which only the call is of interest. */
export function writePrograms(directory: string, recorded: readonly string[]): void {
  mkdirSync(directory, { recursive: true })
  for (const [name, text] of [
    ['systemctl', systemctl],
    ['sudo', sudo],
    ...recorded.map(program => [program, recorder] as const),
  ] as const) {
    writeFileSync(join(directory, name), text)
    chmodSync(join(directory, name), 0o755)
  }
}

export const recorderScript = recorder
