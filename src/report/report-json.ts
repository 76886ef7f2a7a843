/** The whole run as JSON, for programs: the action's `report-path`. */
import type { Event, Listener } from './events.ts'
import { headOf, tailOf } from './markdown.ts'
import { counts } from './outcome-words.ts'
import { linesForLog } from './sanitise.ts'
import { outcomeOf, outOfRotation, type ServerState, secondsOut, secondsUnderWay } from './server-state.ts'
import { type ReportState, totalSeconds } from './state.ts'

const mostEvents = 50_000
const longestText = 4000

/** Keeps events for the report: without raw output, and without the plan, which stands in it once. */
export function createRecorder(): { readonly listener: Listener; readonly events: () => readonly Event[] } {
  let events: Event[] = []
  return {
    listener(event) {
      if (event.type === 'merged') events = [...event.events]
      else if (event.type !== 'output' && event.type !== 'planned') events.push(event)
    },
    events: () => events,
  }
}

/**
 * Texts cut to size, and safe to print in a job: someone will `cat` the report. Of a tail the end counts, of all else the start.
 */
function clean(value: unknown, name = ''): unknown {
  if (typeof value === 'string')
    return linesForLog(name === 'tail' ? tailOf(value, longestText) : headOf(value, longestText))
  if (Array.isArray(value)) return value.map(item => clean(item))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, clean(item, key)]))
}

const server = (state: ServerState, now: number) => ({
  ...state,
  outcome: outcomeOf(state),
  secondsUnderWay: secondsUnderWay(state, now),
  secondsOut: secondsOut(state, now),
  outOfRotation: outOfRotation(state),
})

/** The report as one line of JSON. `events` are those a recorder kept; of more than 50,000 the rest is counted. */
export function reportJson(state: ReportState, events: readonly Event[]): string {
  const { servers, ...run } = state
  return JSON.stringify(
    clean({
      version: 1,
      ...run,
      seconds: totalSeconds(state),
      counts: counts(state),
      servers: [...servers.values()].map(one => server(one, state.lastAt ?? 0)),
      events: events.slice(0, mostEvents),
      eventsLeftOut: state.eventsLeftOut + Math.max(0, events.length - mostEvents),
    }),
  )
}
