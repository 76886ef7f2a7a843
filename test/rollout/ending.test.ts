import { describe, expect, it } from 'vitest'
import type { Probe } from '../../src/release/probe.ts'
import { doneBefore, goBackTo } from '../../src/rollout/ending.ts'

const id = (n: number) => `nocommit-0000000${n}`
type History = Probe['history'][number]
const entry = (release: number, outcome: string, more: Partial<History> = {}): History => ({
  at: 0,
  deployment: 't',
  command: 'deploy',
  release: id(release),
  previous: null,
  commit: null,
  strategy: 'serial',
  outcome,
  rotation: 'in',
  run: null,
  actor: null,
  ...more,
})
const probe = (current: number | null, history: History[], marks: number[] = [1, 2, 3]) => ({
  current: current === null ? null : id(current),
  dangling: false,
  history,
  marks: marks.map(m => ({ id: id(m), result: 'good' as const, order: m, at: 0 })),
  journal: { entries: [], corrupt: [], stale: [] },
})

/** The journal of a run, closed with this outcome. */
const closedAs = (release: number, outcome: string, deployment = 'killed'): Probe['journal'] => ({
  entries: [
    {
      n: 1,
      at: 0,
      type: 'opened',
      deployment,
      run: null,
      release: id(release),
      previous: null,
      strategy: 'serial',
      commit: null,
    },
    { n: 1, at: 0, type: 'closed', outcome, rotation: 'in' },
  ],
  corrupt: [],
  stale: [],
})

describe('what a server goes back to', () => {
  it('is what it runs now', () => expect(goBackTo(probe(1, [entry(1, 'succeeded')]), id(2))).toBe(id(1)))
  it('is what it runs now, also when another tool put it there', () =>
    expect(goBackTo({ ...probe(1, []), current: 'v7' }, id(2))).toBe('v7'))
  it('is never the release that is failing', () => {
    expect(goBackTo(probe(2, [entry(1, 'succeeded'), entry(2, 'succeeded')]), id(2))).toBe(id(1))
    expect(goBackTo(probe(2, [entry(2, 'succeeded')]), id(2))).toBeNull()
  })
  it('is not a release that failed there before', () =>
    expect(goBackTo(probe(2, [entry(1, 'succeeded'), entry(2, 'failed', { result: 'failure' })]), id(3))).toBe(id(1)))
  it.each(['failed', 'rolled-back'])('is not a release that a killed run told only its journal of (%s)', outcome => {
    const before = [entry(1, 'succeeded'), entry(2, 'succeeded')]
    const killed = (tellsOf: string) => ({ ...probe(2, before), journal: closedAs(2, tellsOf) })
    expect(goBackTo(killed(outcome), id(3))).toBe(id(1))
    expect(goBackTo(killed('succeeded'), id(3))).toBe(id(2))
    // A run that never came to the server, or one of another release, says nothing of what runs there.
    expect(goBackTo(killed('pending'), id(3))).toBe(id(2))
    expect(goBackTo({ ...probe(2, before), journal: closedAs(3, outcome) }, id(4))).toBe(id(2))
    // Its line of history counts, where there is one.
    expect(goBackTo({ ...probe(2, [entry(2, 'succeeded')]), journal: closedAs(2, outcome, 't') }, id(3))).toBe(id(2))
  })
  it('is still there, marked as prepared', () =>
    expect(goBackTo(probe(2, [entry(1, 'succeeded'), entry(2, 'failed')], [2, 3]), id(3))).toBeNull())
})

describe('a server that an unfinished deployment was done with', () => {
  const unfinished = [entry(2, 'succeeded', { result: 'failure' })]
  it('is skipped by the next one of the same release', () =>
    expect(doneBefore(probe(2, unfinished), id(2), 'deploy')).toBe(true))
  it.each([
    ['another release', probe(2, unfinished), 3],
    [
      'a deployment that succeeded: activated again, to restart it',
      probe(2, [entry(2, 'succeeded', { result: 'success' })]),
      2,
    ],
    ['a server that failed', probe(2, [entry(2, 'failed', { result: 'failure' })]), 2],
    ['a current that somebody moved', probe(1, unfinished), 2],
    ['something that came since', probe(2, [...unfinished, entry(3, 'failed', { result: 'failure' })]), 2],
  ] as const)('is not skipped for %s', (_, p, release) => expect(doneBefore(p, id(release), 'deploy')).toBe(false))
})

describe('what a server is said to have been done with', () => {
  it('holds also when the same release came by again and this server’s turn did not', () => {
    const pending = entry(2, 'pending', { result: 'failure' })
    expect(doneBefore(probe(2, [entry(2, 'succeeded', { result: 'failure' }), pending]), id(2), 'deploy')).toBe(true)
  })
  it('does not make the running release a failed one when an attempt never touched the server', () => {
    const refused = entry(1, 'failed', { result: 'failure', tried: false })
    expect(goBackTo(probe(1, [entry(1, 'succeeded'), refused], [1, 2]), id(2))).toBe(id(1))
  })
})
