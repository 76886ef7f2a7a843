/**
 * What HAProxy says of its servers: `show servers state` and `show stat`, asked for in one line and read here. Pure.
 * Layout: HAProxy management guide, "show servers state" and "9.1. CSV format"; columns are found by their names.
 */

/** One server of one backend. */
export interface HaproxyServer {
  readonly backend: string
  readonly name: string
  readonly address: string
  readonly port: number
  /** The name its address came from, where it is one. */
  readonly fqdn: string | undefined
  readonly admin: 'ready' | 'drain' | 'maint'
  readonly operational: 'stopped' | 'starting' | 'running' | 'stopping'
  /** What is in force now, 0 to 256. */
  readonly weight: number
  readonly check: Check | undefined
  /** Sessions, queued requests included. */
  readonly inFlight: number
  /** Sessions ever sent there. */
  readonly served: number
  /** Percent of its share while in slow start. */
  readonly throttle: number | undefined
  /** The status text, for people only: a drained server whose check fails reads "DOWN". */
  readonly status: string
}

/** `health` counts up to rise + fall - 1; from `rise` on the server is up. A passing check puts it at the top at once. */
export interface Check {
  readonly health: number
  readonly rise: number
  readonly fall: number
}

/** The last check passed. With `fall` 1 that is all an "up" can mean. */
export const lastCheckPassed = (check: Check): boolean => check.health >= check.rise + check.fall - 1

/** Up by an older check than the last, or by leaving maintenance, which makes a server up without any check (measured). */
export const upByStaleCheck = (check: Check): boolean => check.health >= check.rise && !lastCheckPassed(check)

type Row = ReadonlyMap<string, string>

/** Rows below the line that starts with `# <first>`, until an empty line. */
function table(text: string, first: string, separator: string): Row[] {
  const lines = text.split('\n')
  const rows: Row[] = []
  let columns: readonly string[] | undefined
  for (const line of lines) {
    if (line.startsWith(`# ${first}${separator}`)) columns = line.slice(2).split(separator)
    else if (line.trim() === '' || line.startsWith('#')) columns = undefined
    else if (columns) {
      const cells = line.split(separator)
      rows.push(new Map(columns.map((column, i) => [column, cells[i] ?? ''])))
    }
  }
  return rows
}

const count = (row: Row | undefined, column: string): number => Number.parseInt(row?.get(column) ?? '', 10) || 0

// SRV_ADMF_* in HAProxy's server-t.h: forced, inherited, resolution, hostname. CMAINT (4) only tells where a maintenance came from.
const maintenance = 0x01 | 0x02 | 0x20 | 0x40
const drain = 0x08 | 0x10
const operational = ['stopped', 'starting', 'running', 'stopping'] as const
// CHK_ST_CONFIGURED and CHK_ST_ENABLED in check-t.h: without both no check will ever change the server.
const checked = 0x02 | 0x04

function server(state: Row, stat: Row | undefined): HaproxyServer {
  const bits = count(state, 'srv_admin_state')
  const fqdn = state.get('srv_fqdn')
  const throttle = stat?.get('throttle')
  return {
    backend: state.get('be_name') ?? '',
    name: state.get('srv_name') ?? '',
    address: state.get('srv_addr') ?? '',
    port: count(state, 'srv_port'),
    fqdn: fqdn === undefined || fqdn === '-' || fqdn === '' ? undefined : fqdn,
    admin: bits & maintenance ? 'maint' : bits & drain ? 'drain' : 'ready',
    operational: operational[count(state, 'srv_op_state')] ?? 'stopped',
    weight: count(state, 'srv_uweight'),
    check:
      (count(state, 'srv_check_state') & checked) === checked
        ? {
            health: count(state, 'srv_check_health'),
            rise: count(stat, 'check_rise'),
            fall: count(stat, 'check_fall'),
          }
        : undefined,
    // used_conn_cur is the counter that `show servers conn` calls used_cur.
    inFlight: count(stat, 'qcur') + Math.max(count(stat, 'scur'), count(stat, 'used_conn_cur')),
    served: count(stat, 'stot'),
    throttle: throttle ? Number(throttle) : undefined,
    status: stat?.get('status') ?? '',
  }
}

/** One line that asks for all that `parseServers` reads. */
export const stateQuery = (backends: readonly string[]): string =>
  backends.flatMap(name => [`show servers state ${name}`, `show stat ${name} 4 -1`]).join('; ')

/** Reads the answer to `stateQuery`. Backends that HAProxy does not have are simply not in it. */
export function parseServers(answer: string): HaproxyServer[] {
  const stats = new Map(
    table(answer, 'pxname', ',').map(row => [`${row.get('pxname')}/${row.get('svname')}`, row] as const),
  )
  return table(answer, 'be_id', ' ').map(row => server(row, stats.get(`${row.get('be_name')}/${row.get('srv_name')}`)))
}
