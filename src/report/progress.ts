/** What stands on the last line of a terminal while a run is under way: how far it is, and who is at what. Pure. */
import { cutToWidth, displayWidth } from './display-width.ts'
import { duration } from './durations.ts'
import type { Phase } from './events.ts'
import { isTrouble } from './outcome-words.ts'
import { forTerminal } from './sanitise.ts'
import { resting, type ServerState } from './server-state.ts'
import type { ReportState } from './state.ts'

/** Times are milliseconds since 1970; `columns` is the width of the terminal. */
export interface Now {
  readonly now: number
  readonly columns: number
}

const between = ' · '
const longestName = 30
const mostServers = 20
/** Seconds from which it is said how long a server has been at it. */
const worthSaying = 3

/** Before it every server is still to come, so the phase says more than `0 of 8 done`. */
const before: ReadonlySet<Phase | undefined> = new Set<Phase>(['preflight', 'recover', 'prepare', 'migrate'])

const two = (n: number) => String(n).padStart(2, '0')

/** `01:42`, `1:02:03`. */
export function elapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60]
  return `${hours > 0 ? `${hours}:` : ''}${two(minutes)}:${two(seconds % 60)}`
}

/** One that had ended may be under way again: it goes back with the others. */
const underWay = (server: ServerState) => {
  const stage = server.stages.at(-1)
  return stage !== undefined && stage.to === null && !resting.has(stage.stage) ? stage : null
}

function servers(all: readonly ServerState[], now: number): readonly string[] {
  return all.flatMap(server => {
    const stage = underWay(server)
    if (stage === null) return []
    const seconds = (now - stage.from) / 1000
    const since = seconds < worthSaying ? '' : ` (${duration(Math.floor(seconds))})`
    return [`${cutToWidth(plain(server.name), longestName)} ${plain(stage.stage)}${since}`]
  })
}

const plain = (text: string) => forTerminal(text).replaceAll('\t', ' ')

const widthOf = (items: readonly string[]) =>
  items.reduce((sum, item) => sum + displayWidth(item) + between.length, -between.length)

/** As many as fit into `columns`, with a word for those that do not. */
function fitting(items: readonly string[], columns: number): readonly string[] {
  let best: readonly string[] = []
  // No terminal shows more of them, and there may be thousands.
  for (let shown = 0; shown <= Math.min(items.length, mostServers); shown++) {
    const rest = items.length - shown
    const more = rest === 0 ? [] : [shown === 0 ? `${rest} under way` : `${rest} more under way`]
    const all = [...items.slice(0, shown), ...more]
    if (widthOf(all) <= columns) best = all
  }
  return best
}

/**
 * `3 of 8 done · web4 draining (12 s) · web5 activating · 1 failed · 01:42`, one column less than there are: a terminal that is full to its
 * last column may begin the next line. Names come from the manifest, and pass the sanitiser all the same.
 */
export function progressLine(state: ReportState, { now, columns }: Now): string {
  const all = [...state.servers.values()]
  const ended = all.filter(server => server.ended !== null && underWay(server) === null)
  const failed = ended.filter(isTrouble)
  const phase = state.phases.at(-1)?.phase
  const first = [
    ...(before.has(phase) && phase !== undefined ? [phase] : []),
    ...(all.length > 0 && (!before.has(phase) || ended.length > 0) ? [`${ended.length} of ${all.length} done`] : []),
  ]
  const last = [...(failed.length > 0 ? [`${failed.length} failed`] : []), elapsed(now - (state.startedAt ?? now))]
  const room = columns - 1 - widthOf([...first, ...last]) - between.length
  return cutToWidth([...first, ...fitting(servers(all, now), room), ...last].join(between), columns - 1)
}
