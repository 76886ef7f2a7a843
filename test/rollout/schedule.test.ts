import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { goThrough } from '../../src/rollout/schedule.ts'

const tick = (n: number) =>
  new Promise<void>(resolve => {
    let left = n
    const go = () => (left-- > 0 ? setImmediate(go) : resolve())
    go()
  })

describe('goThrough', () => {
  it('starts in order, refills a free place at once, and starts nothing after the first no', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.nat(3), { maxLength: 20 }),
        fc.nat(20),
        async (limit, jobs, stopAfter) => {
          const started: number[] = []
          let under = 0
          let ended = 0
          const results = await goThrough(
            jobs.map((ticks, i) => ({ ticks, i })),
            limit,
            () => ended < stopAfter,
            async job => {
              started.push(job.i)
              expect(++under).toBeLessThanOrEqual(limit)
              await tick(job.ticks)
              under--
              ended++
              return job.i
            },
          )
          expect(started).toEqual(jobs.map((_, i) => i).slice(0, started.length))
          expect([...results].sort((a, b) => a - b)).toEqual(started)
          expect(started.length).toBeLessThanOrEqual(Math.min(jobs.length, stopAfter + limit))
          if (stopAfter >= jobs.length) expect(started).toHaveLength(jobs.length)
        },
      ),
      { numRuns: 60 },
    ))
})
