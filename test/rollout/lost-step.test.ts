import { describe, expect, it } from 'vitest'
import { slots } from '../../src/fleet/slots.ts'
import type { EventBody } from '../../src/report/events.ts'
import type { AfterLoss } from '../../src/rollout/after-loss.ts'
import { assertAlone, runStep } from '../../src/rollout/steps.ts'

async function lose(after: AfterLoss | undefined, more: { readonly continue_on_error?: boolean } = {}) {
  const events: EventBody[] = []
  let times = 0
  const error = await runStep(
    {
      server: 'web1',
      phase: 'activate',
      step: { name: 'restart', retry: { attempts: 3, delay: 0 }, continue_on_error: false, timeout: 60, ...more },
      start: async () => {
        times++
        const result = { ended: 'lost', reason: 'keepalive', stdout: '', stderr: '' } as const
        return { result, tail: 'last words', ...(after === undefined ? {} : { after }) }
      },
    },
    {
      emit: e => void events.push(e),
      clock: { now: () => 0, wall: () => 0, sleep: async () => {} },
      signal: new AbortController().signal,
      slots: slots(1),
      random: () => 0,
    },
  ).then(
    () => null,
    (e: unknown) => e,
  )
  return { error, times, events }
}
const reached = { reached: true, known: true, ended: [], stillRunning: [] } as const

describe('a step whose connection was lost', () => {
  it('says that its script was ended, and is not run again', async () => {
    const { error, times } = await lose({ ...reached, ended: [12] })
    expect(times).toBe(1)
    expect(error).toMatchObject({
      message:
        'restart: the connection was lost (keepalive); the connection was made again; what still ran there was ended (process group 12); it is not run again',
      tail: 'last words',
    })
  })
  it('says no more than is known of one that had ended by itself', async () => {
    expect((await lose(reached)).error).toMatchObject({
      message: expect.stringMatching(/does not run any more, and how it ended is not known; it is not run again/),
    })
    expect((await lose({ ...reached, known: false })).error).toMatchObject({
      message: expect.stringMatching(/cannot tell whether the script still runs/),
    })
  })
  it('names what could not be ended, and how to end it', async () => {
    expect((await lose({ ...reached, ended: [7], stillRunning: [12, 13] })).error).toMatchObject({
      message: expect.stringMatching(/could not be ended and still runs \(process group 12, 13\)/),
      hint: 'end it on the server: sudo kill -- -12 -- -13',
    })
  })
  it('says when the connection could not be made again', async () => {
    expect((await lose({ reached: false, tries: 3, reason: 'no route' })).error).toMatchObject({
      message: expect.stringMatching(/could not be made again in 3 tries \(no route\)/),
    })
  })
  it('does not count where its failure does not, unless its script may still run', async () => {
    const lenient = { continue_on_error: true }
    expect((await lose({ ...reached, ended: [12] }, lenient)).error).toBeNull()
    for (const after of [
      undefined,
      { ...reached, stillRunning: [12] },
      { ...reached, known: false },
      { reached: false, tries: 3, reason: 'no route' } as const,
    ]) {
      const { error, events } = await lose(after, lenient)
      expect(error).not.toBeNull()
      expect(events.at(-1)).toMatchObject({ type: 'step-ended', ok: false, ignored: false })
    }
  })
  it('keeps others from being started beside what still runs', () => {
    expect(() => assertAlone('web1', [])).not.toThrow()
    expect(() => assertAlone('web1', [12])).toThrow(/not started.*process group 12/)
  })
})
