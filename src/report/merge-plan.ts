/** The plans of a run's shards → the plan of the whole. Pure. */
import type { Plan, PlannedGroup, PlannedStep, PlannedWait } from '../plan/plan.ts'

type Order = (names: readonly string[]) => readonly string[]

const sum = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0)
const distinct = <T>(all: readonly T[]): readonly T[] => [...new Set(all)]

/** What is the same thing in several shards, in the order that the shards agree on: nothing comes before what is before it anywhere. */
function alike<T>(lists: readonly (readonly T[])[], key: (item: T) => string): readonly (readonly [T, ...T[]])[] {
  const found = new Map<string, { items: [T, ...T[]]; place: number }>()
  for (const list of lists)
    for (const [place, item] of list.entries()) {
      const before = found.get(key(item))
      if (before === undefined) found.set(key(item), { items: [item], place })
      else {
        before.items.push(item)
        before.place = Math.max(before.place, place)
      }
    }
  return [...found.values()].toSorted((a, b) => a.place - b.place).map(one => one.items)
}

function mergedGroup(groups: readonly [PlannedGroup, ...PlannedGroup[]], order: Order): PlannedGroup {
  const most = Math.max(...groups.map(g => g.stages.length))
  const stages = Array.from({ length: most }, (_, i) => order(groups.flatMap(g => g.stages[i] ?? [])))
  return { ...groups[0], servers: stages.flat(), limit: sum(groups.map(g => g.limit)), stages }
}

const mergedStep = (steps: readonly [PlannedStep, ...PlannedStep[]], order: Order): PlannedStep => ({
  ...steps[0],
  servers: order(steps.flatMap(s => s.servers)),
})

/** Shards wait at the same time: the longest counts. */
function mergedWait(waits: readonly [PlannedWait, ...PlannedWait[]]): PlannedWait {
  const longest = waits.reduce((a, b) => (b.adds > a.adds ? b : a))
  const reason = waits.length === 1 ? longest.reason : `${longest.reason}, in the shard where it takes longest`
  return { ...longest, servers: sum(waits.map(w => w.servers)), reason }
}

const stepPhases = ['prepare', 'activate', 'finalize', 'cleanup'] as const
const stepKey = (s: PlannedStep) => JSON.stringify([s.phase, s.index, s.name])

/** `selection`: the servers of all shards, in order; `of`: how many shards there are. Null where none came to a plan. */
export function mergePlans(plans: readonly Plan[], selection: readonly string[], of: number): Plan | null {
  const [first] = plans
  if (first === undefined || of === 1) return first ?? null
  const placeOf = new Map(selection.map((name, place) => [name, place]))
  const place = (name: string) => placeOf.get(name) ?? selection.length
  const order: Order = names => distinct(names).toSorted((a, b) => place(a) - place(b))
  const { maxParallelism } = first
  return {
    ...first,
    url: plans.find(p => p.url !== null)?.url ?? null,
    release: plans.find(p => p.release !== null)?.release ?? null,
    maxParallelism: {
      ...maxParallelism,
      value: sum(plans.map(p => p.maxParallelism.value)),
      reason: plans.length === of ? 'all shards together' : `${plans.length} of ${of} shards together`,
    },
    maxFailures: sum(plans.map(p => p.maxFailures)),
    migration: plans.find(p => p.migration.enabled)?.migration ?? first.migration,
    servers: plans.flatMap(p => p.servers).toSorted((a, b) => place(a.name) - place(b.name)),
    groups: alike(
      plans.map(p => p.groups),
      g => g.name,
    ).map(some => mergedGroup(some, order)),
    steps: alike(
      plans.map(p => p.steps),
      stepKey,
    )
      .map(some => mergedStep(some, order))
      .toSorted((a, b) => stepPhases.indexOf(a.phase) - stepPhases.indexOf(b.phase) || a.index - b.index),
    waits: alike(
      plans.map(p => p.waits),
      w => w.balancer,
    ).map(mergedWait),
    addedSeconds: Math.max(...plans.map(p => p.addedSeconds)),
    storedWaits: plans.find(p => p.storedWaits !== null)?.storedWaits ?? null,
    notices: distinct(plans.flatMap(p => p.notices)),
    warnings: distinct(plans.flatMap(p => p.warnings)),
  }
}
