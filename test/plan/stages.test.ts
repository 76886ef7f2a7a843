import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Share } from '../../src/manifest/values.ts'
import { stagesOf } from '../../src/plan/stages.ts'

const names = (n: number) => Array.from({ length: n }, (_, i) => `web${i + 1}`)
const sizes = (n: number, batch: readonly Share[] | null, earlier: readonly string[] = []) =>
  stagesOf(names(n), new Set(earlier), batch).map(s => s.length)
const [one, quarter, half, all]: readonly Share[] = [{ count: 1 }, { percent: 25 }, { percent: 50 }, { percent: 100 }]
const share = (s: Share | undefined) => s ?? { count: 1 }

describe('stages', () => {
  it.each([
    ['halves by default', 8, [], [4, 4]],
    ['of an odd number: the first is rounded down', 5, [], [2, 3]],
    ['sizes, not totals', 8, [share(one), share(quarter), share(all)], [1, 2, 5]],
    ['a canary, half, the rest', 8, [share(one), share(half), share(all)], [1, 4, 3]],
    ['the last repeats', 7, [share({ count: 2 })], [2, 2, 2, 1]],
    ['a percentage is at least one server', 3, [share(quarter)], [1, 1, 1]],
    ['all at once: a window without stages', 6, [share(all)], [6]],
    ['one server', 1, [], [1]],
  ] as const)('%s', (_, n, batch, expected) => expect(sizes(n, batch)).toEqual(expected))

  it('earlier failures come first, in a stage of their own, whatever the strategy', () => {
    expect(stagesOf(names(4), new Set(['web3']), null)).toEqual([['web3'], ['web1', 'web2', 'web4']])
    expect(stagesOf(names(4), new Set(['web3']), [{ percent: 50 }])).toEqual([['web3'], ['web1', 'web2'], ['web4']])
    expect(stagesOf(names(2), new Set(names(2)), null)).toEqual([names(2)])
  })

  it('every server is in exactly one, in its order within it', () =>
    fc.assert(
      fc.property(
        fc.nat(40),
        fc.option(
          fc.array(
            fc.oneof(
              fc.record({ count: fc.integer({ min: 1, max: 50 }) }),
              fc.record({ percent: fc.integer({ min: 1, max: 200 }) }),
            ),
            { maxLength: 5 },
          ),
        ),
        fc.array(fc.nat(45)),
        (n, batch, bad) => {
          const earlier = new Set(bad.map(i => `web${i}`))
          const stages = stagesOf(names(n), earlier, batch)
          expect(stages.flat().toSorted()).toEqual(names(n).toSorted())
          expect(stages.every(s => s.length > 0)).toBe(true)
          for (const stage of stages) expect(stage).toEqual(names(n).filter(name => stage.includes(name)))
        },
      ),
    ))
})
