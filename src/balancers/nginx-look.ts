/** What a look at a host of nginx says, and which version of the file nginx runs. Pure. */

/** A process, as no other one is called until the next boot: `pid:start`. */
type ProcessKey = string

export interface Worker {
  readonly key: ProcessKey
  /** Ticks of 10 ms since boot. */
  readonly start: number
}

export interface Look {
  readonly master: ProcessKey
  /** Those that take connections, and those that end their last ones. */
  readonly current: readonly Worker[]
  readonly old: readonly Worker[]
  readonly version: string
  /** Whether keepalive_min_timeout is set; known only where the configuration was read. */
  readonly keepsIdle: boolean
  /** When the file was last changed or replaced, in milliseconds since 1970 of the host (its ctime: an mtime can be set back). */
  readonly changedAt: number
  /** The file's bytes, each as one character. */
  readonly content: string
  /** When a worker that starts at tick 0 starts, in milliseconds since 1970 of the host: not later than this. */
  readonly bootAt: number
  /** How exactly that is known, in milliseconds. */
  readonly inexact: number
}

const tickMs = 10

/** Reads what lookScript printed. Throws SyntaxError. */
export function parseLook(text: string): Look {
  const [head = '', body] = text.split(/^content\n/m)
  const rows = head.split('\n').map(line => line.split(' '))
  const of = (name: string) => rows.filter(row => row[0] === name)
  const clocks = of('clock')
    .map(([, before, ticks, after]) => ({
      inexact: (Number(after) - Number(before)) / 1e6,
      bootAt: Number(after) / 1e6 - (Number(ticks) - 1) * tickMs,
    }))
    .toSorted((a, b) => a.inexact - b.inexact)
  const [clock] = clocks
  const [, pid, start] = of('master')[0] ?? []
  const [, seconds, size] = of('changed')[0] ?? []
  const content = Buffer.from(body ?? '', 'base64').toString('latin1')
  const workers = of('worker').map(([, worker, begun, kind]) => ({
    key: `${worker}:${begun}`,
    start: Number(begun),
    kind,
  }))
  const numbers = [clock?.bootAt, clock?.inexact, Number(seconds), ...workers.map(w => w.start)]
  if (pid === undefined || clock === undefined || numbers.some(n => !Number.isFinite(n)))
    throw new SyntaxError('it answered in a form that is not known')
  if (Number(size) !== content.length) throw new SyntaxError('the file changed while it was read, or is too long')
  return {
    master: `${pid}:${start}`,
    current: workers.filter(w => w.kind === 'current'),
    old: workers.filter(w => w.kind === 'old'),
    version: of('version')[0]?.[1] ?? '',
    keepsIdle: of('minimum').length > 0,
    changedAt: Number(seconds) * 1000,
    content,
    ...clock,
  }
}

/** What some workers are known to have loaded. */
export interface Loaded {
  readonly workers: ReadonlySet<ProcessKey>
  readonly content: string
}

/** A start cannot be told more exactly on a host so busy; a worker's is then not believed. */
const mostInexact = 100

/** Whether this worker was started after the file was last changed, so that it runs what stands there. */
const isNewer = (look: Look, worker: Worker): boolean =>
  look.inexact <= mostInexact && look.bootAt + worker.start * tickMs >= look.changedAt

/**
 * The contents that the workers which take connections run: one when a reload has taken effect, two on the way, null when it is not
 * known. nginx does not tell what it loaded; a worker runs what stood in the file when it was started. What is remembered from an
 * earlier look holds for workers that are still the same.
 */
export function loadedBy(look: Look, remembered: Loaded | undefined): readonly string[] | null {
  if (look.current.length === 0) return null
  const contents = look.current.map(worker => {
    if (isNewer(look, worker)) return look.content
    return remembered?.workers.has(worker.key) ? remembered.content : null
  })
  const known = contents.filter(c => c !== null)
  return known.length === contents.length ? [...new Set(known)] : null
}
