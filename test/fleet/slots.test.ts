import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { slots } from '../../src/fleet/slots.ts'
import { forever } from './reach.ts'

describe('slots', () => {
  it('are never more than the limit, and everybody gets one', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 5 }), fc.array(fc.nat(3), { maxLength: 25 }), async (limit, work) => {
        const places = slots(limit)
        let inside = 0
        let most = 0
        const done = await Promise.all(
          work.map(async turns => {
            const leave = await places.take(forever)
            most = Math.max(most, ++inside)
            for (let i = 0; i < turns; i++) await Promise.resolve()
            inside--
            leave()
            return true
          }),
        )
        expect(done).toHaveLength(work.length)
        expect(most).toBeLessThanOrEqual(limit)
        expect(places.taken()).toBe(0)
      }),
    )
  })

  it('are all given at once when nobody else has them', async () => {
    const places = slots(3)
    await Promise.all([1, 2, 3].map(() => places.take(forever)))
    expect(places.taken()).toBe(3)
  })

  it('are given in the order in which they were asked for', async () => {
    const places = slots(1)
    const leave = await places.take(forever)
    const order: number[] = []
    const waiting = [1, 2, 3].map(async n => {
      const next = await places.take(forever)
      order.push(n)
      next()
    })
    leave()
    await Promise.all(waiting)
    expect(order).toEqual([1, 2, 3])
  })

  it('are not lost to somebody who gave up, and one slot is given back only once', async () => {
    const places = slots(1)
    const leave = await places.take(forever)
    const impatient = new AbortController()
    const given = places.take(impatient.signal)
    const patient = places.take(forever)
    impatient.abort(new Error('enough'))
    await expect(given).rejects.toThrow('enough')
    leave()
    leave()
    await patient
    expect(places.taken()).toBe(1)
    await expect(places.take(AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
  })

  it('are given back by work that is done, however it ends', () =>
    fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.record({ turns: fc.nat(4), fails: fc.boolean() }), { maxLength: 25 }),
        async (limit, jobs) => {
          const places = slots(limit)
          let inside = 0
          let most = 0
          const done = await Promise.allSettled(
            jobs.map(({ turns, fails }) =>
              places.run(async () => {
                most = Math.max(most, ++inside)
                for (let i = 0; i < turns; i++) await Promise.resolve()
                inside--
                if (fails) throw new Error('failed')
              }),
            ),
          )
          expect(most).toBeLessThanOrEqual(limit)
          expect(done.map(d => d.status)).toEqual(jobs.map(j => (j.fails ? 'rejected' : 'fulfilled')))
          expect(places.taken()).toBe(0)
        },
      ),
    ))
})
