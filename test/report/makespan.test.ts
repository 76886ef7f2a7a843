import { describe, expect, it } from 'vitest'
import { makespan, makespanText } from '../../src/report/makespan.ts'
import { replay } from '../../src/report/state.ts'
import { planOf } from './recorded.ts'

/** Servers that are under way from one second to another, in stages. */
function ran(ways: Record<string, [from: number, to: number]>, limit: number, stages: string[][]) {
  const start = Date.now()
  const names = Object.keys(ways)
  const group = { name: 'all', strategy: 'rolling', servers: names, limit, stages, hold: null } as const
  const at = (seconds: number) => start + seconds * 1000
  const ended = { outcome: 'succeeded', rotation: 'in', leftOut: false, keptOut: false, notVerified: false } as const
  const events = [
    { type: 'planned', plan: planOf(names, { groups: [group] }), at: at(0) },
    { type: 'phase', phase: 'rollout', at: at(0) },
    ...names.flatMap(server => [
      { type: 'stage', server, stage: 'removing', at: at(ways[server]?.[0] ?? 0) } as const,
      {
        type: 'server-ended',
        server,
        ...ended,
        release: null,
        previous: null,
        at: at(ways[server]?.[1] ?? 0),
      } as const,
    ]),
    { type: 'run-ended', result: 'success', at: at(100) },
  ] as const
  return replay([...events].toSorted((a, b) => a.at - b.at))
}

describe('the makespan', () => {
  it('is compared with the longest server, or all work ÷ places', () => {
    const state = ran({ a: [0, 10], b: [0, 4], c: [4, 8] }, 2, [['a', 'b', 'c']])
    expect(makespan(state)).toEqual({
      took: 10,
      atLeast: 10,
      longest: { server: 'a', seconds: 10 },
      work: 18,
      places: 2,
    })
  })
  it('shows what was lost by waiting', () => {
    const state = ran({ a: [0, 4], b: [0, 4], c: [6, 10], d: [6, 10] }, 2, [['a', 'b', 'c', 'd']])
    expect(makespan(state)).toMatchObject({ took: 10, atLeast: 8 })
    expect(makespanText(state)).toMatch(/took 10 s; no order could have taken less than 8 s/)
  })
  it('counts each stage for itself, and no hold between them', () => {
    const state = ran({ a: [0, 5], b: [30, 34], c: [30, 36] }, 2, [['a'], ['b', 'c']])
    expect(makespan(state)).toMatchObject({ took: 11, atLeast: 11 })
  })
  it('is not told of one server alone', () => expect(makespanText(ran({ a: [0, 5] }, 2, [['a']]))).toBeNull())
})
