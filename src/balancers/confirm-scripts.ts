/** What is run on a server to watch the traffic at one port, as POSIX sh, and what it prints. It changes nothing and needs no rights. */
import type { How, Look, Seen } from './traffic.ts'

/** Programs that only root has in its path at times; and a language whose words are known. */
const start = `export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin:/usr/local/sbin
`

export interface Probed {
  readonly how: How | 'none'
  /** Why not better. */
  readonly why: string
  readonly listens: boolean
  /** A docker-proxy stands for the port: what arrives goes to a container, past the host's own connections. */
  readonly forwarded: boolean
}

/** How the server can be watched: `HOW LISTENS FORWARDED WHY`. */
export const probeScript = (port: number): string => `${start}
how=none why= listens=no forwarded=no
hex=$(printf '%04X' ${port})
if ! command -v awk >/dev/null 2>&1; then why='there is no awk'
elif ! [ -r /proc/uptime ]; then why='/proc/uptime cannot be read'
elif command -v ss >/dev/null 2>&1 && ss -tin state established 2>/dev/null | grep -q 'bytes_received:'; then
  how=looks
  ss -tln "sport = :${port}" | grep -q ':${port} ' && listens=yes
  if ! command -v stdbuf >/dev/null 2>&1; then why='there is no stdbuf (coreutils)'
  else
    stdbuf -oL ss -Etin "sport = :${port}" >/dev/null 2>&1 & events=$!
    sleep 0.2 || sleep 1
    if kill -0 "$events" 2>/dev/null; then how=events; kill "$events"; else why='ss tells of no connections that end'; fi
  fi
elif [ -r /proc/net/tcp ]; then
  how=tables why='there is no ss (iproute2), or it may not ask the kernel'
  cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p=":$hex" '$4 == "0A" && substr($2, length($2) - 4) == p { found = 1 } END { exit !found }' && listens=yes
else why='there is neither ss nor a /proc/net/tcp that can be read'
fi
for process in /proc/[0-9]*; do
  { read -r name <"$process/comm"; } 2>/dev/null || continue
  [ "$name" = docker-proxy ] || continue
  case " $(tr '\\0' ' ' <"$process/cmdline" 2>/dev/null)" in *" -host-port ${port} "*) forwarded=yes ;; esac
done
echo "$how $listens $forwarded $why"
`

/** Reads what probeScript printed; null: not in the form that is expected. */
export function parseProbe(text: string): Probed | null {
  const [, how, listens, forwarded, why = ''] =
    /^(events|looks|tables|none) (yes|no) (yes|no) ?(.*)$/.exec(text.trim()) ?? []
  if (how === undefined) return null
  return { how: how as Probed['how'], why, listens: listens === 'yes', forwarded: forwarded === 'yes' }
}

/** Connections told in one look; more of them are busy in any case. */
const most = 300
/** Milliseconds: what was idle for longer is not told, so that hundreds of idle connections cost nothing. Longer than the longest gap. */
const recent = 3000
/** Looks a second, and what is done where sleep knows no fractions. */
const pause = 'sleep 0.25 2>/dev/null || sleep 1'

/** Lines `C STATE LOCAL PEER RECEIVED SENT SINCE-RECEIVED SINCE-SENT WAITING`. ss leaves out what is 0. */
const ofSs = `
function tell() {
  if (local == "" || dull()) return
  if (++told > ${most}) { more = 1; return }
  print "C", state, local, peer, rcv, sent, lastrcv, lastsnd, waiting
}
function dull() {
  if (state == "TIME-WAIT") return !(fresh)
  if (rcv == 0) return 1
  return lastrcv > ${recent} && lastsnd > ${recent} && waiting == 0 && !(state == "ESTAB" && (sent == 0 || lastrcv < lastsnd))
}
function value(word) { return substr(word, index(word, ":") + 1) + 0 }
function words(from,   i, acked) {
  for (i = from; i <= NF; i++) {
    if ($i ~ /^bytes_received:/) rcv = value($i)
    else if ($i ~ /^bytes_sent:/) sent = value($i)
    else if ($i ~ /^bytes_acked:/) acked = value($i)
    else if ($i ~ /^lastrcv:/) lastrcv = value($i)
    else if ($i ~ /^lastsnd:/) lastsnd = value($i)
    else if ($i ~ /^timer:.timewait,(1min|5[6-9])/) fresh = 1
  }
  if (sent == 0) sent = acked + 0
}
/^(State|Recv-Q|Netid)/ { next }
/^[ \\t]/ { words(1); next }
{ tell(); state = $1; waiting = $2 + $3; local = $4; peer = $5; rcv = sent = lastrcv = lastsnd = fresh = 0; words(6) }
END { tell(); print "L", up, more + 0 }`

/** The same of /proc/net/tcp and tcp6: addresses are left as they stand there, in hex. */
const ofTables = `
substr($2, length($2) - 4) != p || $4 == "0A" { next }
$4 == "06" && $6 < "03:000015E0" { next }
{ if (++told > ${most}) more = 1; else print "C", ($4 == "06" ? "TIME-WAIT" : $4 == "01" ? "ESTAB" : "OTHER"), $2, $3, "-", "-", 0, 0, 0 }
END { print "L", up, more + 0 }`

/**
 * Watches until it is ended. A look every quarter of a second goes to stdout and ends with `L UPTIME MORE`; connections that end go
 * to stderr as ss tells them. Ends by itself when ss does.
 */
export function watchScript(port: number, how: How): string {
  const look =
    how === 'tables'
      ? `cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v p=":$(printf '%04X' ${port})" -v up="$up" "$reader"`
      : `ss -tion state connected "sport = :${port}" | awk -v up="$up" "$reader"`
  const events = how === 'events'
  return `${start}
reader=$(cat <<'READER'
${how === 'tables' ? ofTables : ofSs}
READER
)
${events ? `stdbuf -oL ss -Etin "sport = :${port}" >&2 & events=$!; trap 'kill "$events" 2>/dev/null' EXIT` : ''}
while :; do
  ${events ? 'kill -0 "$events" 2>/dev/null || { echo "ss -E ended" >&2; exit 1; }' : ''}
  read -r up rest </proc/uptime || exit 1
  ${look} || exit 1
  ${pause}
done
`
}

const numberOrNull = (text: string | undefined): number | null =>
  text === undefined || text === '-' ? null : Number(text)

/** `1.2.3.4:80`, `[::1]:80`, `[::ffff:1.2.3.4]:80`, `0100007F:0050` without the port. */
const addressOf = (end: string): string => end.slice(0, Math.max(0, end.lastIndexOf(':')))

const stateOf = (word: string): Seen['state'] =>
  word === 'TIME-WAIT' ? 'time-wait' : word === 'ESTAB' ? 'open' : 'closing'

/** Puts looks together from lines of stdout; what is no line of ours is left out. */
export function lookReader(onLook: (look: Look) => void): (line: string) => void {
  let connections: Seen[] = []
  return line => {
    const [kind = '', ...words] = line.split(' ')
    if (kind === 'C' && words.length === 8) {
      const [state = '', local = '', peer = '', received, sent, sinceReceived, sinceSent, waiting] = words
      connections.push({
        key: `${local} ${peer}`,
        peer: addressOf(peer),
        state: stateOf(state),
        received: numberOrNull(received),
        sent: numberOrNull(sent),
        sinceReceived: Number(sinceReceived),
        sinceSent: Number(sinceSent),
        waiting: Number(waiting),
      })
    } else if (kind === 'L' && words.length === 2) {
      const at = Number(words[0])
      if (Number.isFinite(at)) onLook({ at, connections, more: words[1] !== '0' })
      connections = []
    }
  }
}

/** Puts connections that ended together from lines of `ss -E`: two for each, the second one indented. */
export function endReader(onEnd: (seen: Seen) => void): (line: string) => void {
  let ends: readonly string[] | undefined
  return line => {
    if (!/^\s/.test(line)) {
      const words = line.trim().split(/\s+/)
      ends = words[0] === 'State' || words.length < 5 ? undefined : words.slice(3, 5)
      return
    }
    const [local, peer] = ends ?? []
    ends = undefined
    if (local === undefined || peer === undefined) return
    const of = (name: string) => Number(new RegExp(`\\b${name}:(\\d+)`).exec(line)?.[1] ?? 0)
    onEnd({
      key: `${local} ${peer}`,
      peer: addressOf(peer),
      state: 'closing',
      received: of('bytes_received'),
      sent: of('bytes_sent'),
      sinceReceived: of('lastrcv'),
      sinceSent: of('lastsnd'),
      waiting: 0,
    })
  }
}

/** Whole lines out of text as it comes. */
export function lines(onLine: (line: string) => void): (text: string) => void {
  let rest = ''
  return text => {
    const all = (rest + text).split('\n')
    rest = (all.pop() ?? '').slice(-4096)
    for (const line of all) onLine(line)
  }
}
