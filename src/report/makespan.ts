/**
 * How long the rollout took against the least it could have taken with these servers, stages and limits: for each stage the longest server
 * or all work ÷ places, whichever is more. List scheduling is within 2 − 1/places of it (R. L. Graham, 1966).
 */
import { duration } from './durations.ts'
import type { ServerState } from './server-state.ts'
import type { ReportState } from './state.ts'

export interface Makespan {
  /** Seconds from the first server's start to the last one's end, over the stages, without holds. */
  readonly took: number
  /** Seconds. */
  readonly atLeast: number
  readonly longest: { readonly server: string; readonly seconds: number }
  /** Seconds on all servers together. */
  readonly work: number
  /** Servers at once, in the stage with most. */
  readonly places: number
}

/** A server's way in the rollout; what came before it may end in the same millisecond. */
const way = new Set([
  'removing',
  'draining',
  'switching',
  'activating',
  'verifying',
  'adding',
  'restoring',
  'rolling back',
])

/** From the first stage of its way in the rollout to its end; null: its turn never came. */
function stretch(server: ServerState, since: number): { readonly from: number; readonly to: number } | null {
  const first = server.stages.find(s => s.from >= since && way.has(s.stage))
  return first === undefined || server.ended === null ? null : { from: first.from, to: server.ended.at }
}

/** null: no server went through the rollout. */
export function makespan(state: ReportState): Makespan | null {
  const since = state.phases.find(p => p.phase === 'rollout')?.at
  if (since === undefined || state.plan === null) return null
  const stages = state.plan.groups.flatMap(group =>
    group.stages.map(names => {
      const ways = names.flatMap(name => {
        const server = state.servers.get(name)
        const way = server === undefined ? null : stretch(server, since)
        return way === null ? [] : [{ name, ...way, seconds: (way.to - way.from) / 1000 }]
      })
      return { ways, places: Math.min(group.limit, ways.length) }
    }),
  )
  const begun = stages.filter(s => s.ways.length > 0)
  const all = begun.flatMap(s => s.ways)
  const longest = all.toSorted((a, b) => b.seconds - a.seconds)[0]
  if (longest === undefined) return null
  const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)
  const took = begun.map(({ ways }) => (Math.max(...ways.map(w => w.to)) - Math.min(...ways.map(w => w.from))) / 1000)
  const least = begun.map(({ ways, places }) =>
    Math.max(...ways.map(w => w.seconds), sum(ways.map(w => w.seconds)) / places),
  )
  return {
    took: sum(took),
    atLeast: sum(least),
    longest: { server: longest.name, seconds: longest.seconds },
    work: sum(all.map(w => w.seconds)),
    places: Math.max(...begun.map(s => s.places)),
  }
}

/** As a sentence, not sanitised yet; null where there is nothing to compare: one server, or a run that did not go through. */
export function makespanText(state: ReportState): string | null {
  const made = state.result === 'success' ? makespan(state) : null
  if (made === null || made.work <= made.longest.seconds) return null
  const { took, atLeast, longest, work, places } = made
  const on = places === 1 ? 'one after the other' : `on at most ${places} servers at a time`
  return `The rollout took ${duration(took)}; no order could have taken less than ${duration(atLeast)} (${duration(work)} of work ${on}; the longest server: ${longest.server}, ${duration(longest.seconds)}).`
}
