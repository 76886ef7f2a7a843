import { describe, expect, it } from 'vitest'
import { chooseReports, type FoundReport } from '../../src/report/choose-reports.ts'
import type { Report } from '../../src/report/merge.ts'
import { parallelFailure } from './recorded.ts'
import { shardReportsOf } from './shards-of.ts'

const reports = shardReportsOf(parallelFailure(), 3)
const file = (report: Report, name: string, more: Partial<Report> = {}): FoundReport => ({
  file: `reports/${name}.json`,
  report: { ...report, ...more },
})
const found = (more: Partial<Report> = {}) => reports.map((r, i) => file(r, `s${i + 1}`, more))
const one = (index: number, name: string, more: Partial<Report> = {}) => {
  const report = reports[index - 1]
  if (report === undefined) throw new Error(`no shard ${index}`)
  return file(report, name, more)
}

describe('reports that are found', () => {
  it('are all of them where each shard has one', () => {
    const { reports: chosen, notices } = chooseReports(found())
    expect(chosen.map(r => r.shard.index).sort()).toEqual([1, 2, 3])
    expect(notices).toEqual([])
  })

  it.each([
    ['run', { runUrl: 'https://github.com/octo/shop/actions/runs/4712' }],
    ['command', { command: 'rollback' }],
    ['manifest', { manifest: 'other.yml' }],
    ['application', { subject: 'billing → production' }],
    ['number of shards', { shard: { index: 2, of: 4 } }],
    ['selected servers', { selection: ['web1', 'web2'] }],
    ['selected servers', { selection: ['web3', 'web2', 'web1'] }],
  ] as const)('of another %s are refused, with the files named', (what, more) => {
    const mixed = [one(1, 's1'), one(2, 'stray', more), one(3, 's3')]
    expect(() => chooseReports(mixed)).toThrow(`they differ in the ${what}:`)
    expect(() => chooseReports(mixed)).toThrow(/reports\/stray\.json/)
    expect(() => chooseReports(mixed)).toThrow(/reports\/s1\.json/)
  })

  const [other] = reports.flatMap(r =>
    r.plan?.release ? [{ ...r.plan, release: { ...r.plan.release, id: 'other-1' } }] : [],
  )

  it('of different builds in one attempt all count: they are of one run, whose failure merge tells of', () => {
    const mixed = [one(1, 's1'), one(2, 'other', { plan: other ?? null }), one(3, 's3')]
    const { reports: chosen, notices } = chooseReports(mixed)
    expect(chosen.map(r => r.shard.index).toSorted()).toEqual([1, 2, 3])
    expect(notices).toEqual([])
  })

  it('of an older attempt go with the newest where they are of one of its builds', () => {
    const again = [1, 2].map(i => one(i, `n${i}`, { attempt: '2', ...(i === 2 ? { plan: other ?? null } : {}) }))
    expect(chooseReports([...found(), ...again]).reports).toHaveLength(3)
    const [, second] = again
    expect(chooseReports([...found(), ...(second === undefined ? [] : [second])]).reports).toHaveLength(1)
  })

  it('of a shard that ended before it had a plan go with the others', () => {
    expect(
      chooseReports([one(1, 's1', { plan: null, result: 'failure' }), one(2, 's2'), one(3, 's3')]).reports,
    ).toHaveLength(3)
  })

  it('of a shard that was run again: the newest attempt counts, and it is said', () => {
    const again = one(2, 'again', { attempt: '10', result: 'success' })
    const { reports: chosen, notices } = chooseReports([...found({ attempt: '9' }), again])
    expect(chosen.find(r => r.shard.index === 2)?.attempt).toBe('10')
    expect(notices).toEqual([
      'shard 2 of 3 was run again: attempt 10 counts (reports/again.json), not attempt 9 (reports/s2.json)',
      'shards 1, 3 of 3 left no report in attempt 10: what an earlier attempt reported counts',
    ])
  })

  it('of none of the present attempt are warned of, and of some of it are not', () => {
    const warningIn = (attempt: number | null, list: readonly FoundReport[]) => chooseReports(list, attempt).warning
    const nobody = (n: number, rest: string) => `no shard left a report in attempt ${n}: what follows is of ${rest}`
    expect(warningIn(2, found())).toBe(nobody(2, 'attempt 1'))
    const again = one(2, 'again', { attempt: '2' })
    expect(warningIn(3, [...found(), again])).toBe(nobody(3, 'attempts 1, 2'))
    for (const attempt of [null, 1]) expect(warningIn(attempt, found())).toBeNull()
    expect(warningIn(2, [...found(), again])).toBeNull()
  })

  it('of a newer attempt with other shards leave the older ones aside, so that a shard without a new report is missed', () => {
    const newer = [1, 2].map(i => one(i, `n${i}`, { attempt: '2', shard: { index: i, of: 2 } }))
    const { reports: chosen, notices } = chooseReports([...found(), ...newer])
    expect(chosen.map(r => r.shard)).toEqual([
      { index: 1, of: 2 },
      { index: 2, of: 2 },
    ])
    expect(notices).toHaveLength(3)
    expect(notices[0]).toMatch(/^reports\/s\d\.json does not count/)
  })

  it('twice of one attempt: the newer one counts, and it is said', () => {
    const later = one(2, 'later', { startedAt: (reports[1]?.startedAt ?? 0) + 5000, result: 'cancelled' })
    const { reports: chosen, notices } = chooseReports([...found(), later])
    expect(chosen.find(r => r.shard.index === 2)?.result).toBe('cancelled')
    expect(notices).toEqual([
      'shard 2 of 3 has two reports of the same attempt; the newer one counts (reports/later.json), not reports/s2.json',
    ])
  })

  it('are refused where there is none', () => {
    expect(() => chooseReports([])).toThrow('no report')
  })
})
