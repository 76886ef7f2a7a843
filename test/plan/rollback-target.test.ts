import { describe, expect, it } from 'vitest'
import { type ReleasesThere, rollbackTarget } from '../../src/plan/rollback-target.ts'

const id = (n: number) => `${String(n).padStart(12, '0')}-${String(n).padStart(8, '0')}`
const entry = (n: number, at: number, result = 'success', outcome = 'succeeded') => ({
  at,
  release: id(n),
  outcome,
  result,
  commit: `${n}`.repeat(40).slice(0, 40),
})
const there = (
  server: string,
  current: number | null,
  history: ReleasesThere['history'],
  marks: readonly (number | [number, 'bad'])[] = [1, 2, 3],
): ReleasesThere => ({
  server,
  current: current === null ? null : id(current),
  unfinished: null,
  history,
  marks: marks.map(m => (typeof m === 'number' ? { id: id(m), result: 'good' } : { id: id(m[0]), result: m[1] })),
})
const three = [entry(1, 10), entry(2, 20), entry(3, 30)]

describe('the command rollback goes back', () => {
  it('to the newest release whose deployment succeeded, other than the one that runs', () => {
    const target = rollbackTarget([there('web1', 3, three), there('web2', 3, three)], [], null)
    expect(target).toMatchObject({ id: id(2), commit: '2'.repeat(40) })
    expect(target.reason).toContain('newest release')
  })
  it('to the release before one that failed half-way, though most servers still run it', () => {
    const failed = entry(3, 30, 'failure', 'failed')
    const untouched = entry(3, 30, 'failure', 'pending')
    const all = [
      there('web1', 3, [entry(1, 10), entry(2, 20), failed]),
      there('web2', 2, [entry(1, 10), entry(2, 20), untouched]),
      there('web3', 2, [entry(1, 10), entry(2, 20), untouched]),
    ]
    expect(rollbackTarget(all, [], null).id).toBe(id(2))
  })
  it('never to a release that went bad anywhere', () => {
    const all = [there('web1', 3, three, [1, [2, 'bad'], 3]), there('web2', 3, three)]
    expect(rollbackTarget(all, [], null).id).toBe(id(1))
    expect(() => rollbackTarget(all, [], id(2))).toThrow(/failed on web1/)
  })
  it('to the release asked for', () =>
    expect(rollbackTarget([there('web1', 3, three)], [], id(1))).toMatchObject({
      id: id(1),
      reason: 'asked for by the input release',
    }))
  it('not to one that is missing on a server, and says what each has', () => {
    const all = [there('web1', 3, three), there('web2', 3, three, [1, 3])]
    for (const asked of [null, id(2)])
      expect(() => rollbackTarget(all, [], asked)).toThrow(
        expect.objectContaining({
          message: expect.stringMatching(/is not there, or was never prepared wholly, on web2; nothing was changed/),
          hint: expect.stringContaining(`web2: runs ${id(3)}; has ${id(1)}`),
        }),
      )
  })
  it('to the release before one that was cut off, whatever a recovery does meanwhile', () => {
    const two = [entry(1, 10), entry(2, 20)]
    const cut = { ...there('web1', 3, two), unfinished: id(3) }
    expect(rollbackTarget([cut, there('web2', 2, two)], [], null).id).toBe(id(2))
  })
  it('to the newest of the environment, also when only others saw it succeed', () => {
    const failed = [entry(1, 10), entry(2, 20, 'failure'), entry(3, 30)]
    expect(rollbackTarget([there('web1', 3, failed)], [there('web2', 3, three)], null).id).toBe(id(2))
  })
  it('nowhere when nothing else was deployed with success', () => {
    expect(() => rollbackTarget([there('web1', 1, [entry(1, 10)], [1])], [], null)).toThrow(/nothing to go back to/)
    expect(() => rollbackTarget([there('web1', null, [], [])], [], null)).toThrow(/nothing to go back to/)
  })
})
