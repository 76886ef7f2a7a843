import { describe, expect, it } from 'vitest'
import { hold } from '../../src/rollout/hold.ts'
import { fakeClock } from '../support/fake-clock.ts'

const never = new AbortController().signal

/** Answers one after the other; the last one stays. */
async function held(seconds: number, answers: Record<string, readonly (string | null)[]>, over = () => false) {
  const clock = fakeClock()
  const failed: string[] = []
  const asked: Record<string, number> = {}
  const servers = Object.entries(answers).map(([server, all]) => ({
    server,
    async ask() {
      const n = (asked[server] ?? 0) + 1
      asked[server] = n
      return all[Math.min(n, all.length) - 1] ?? null
    },
  }))
  const start = clock.now()
  const done = hold(
    seconds,
    servers,
    async (s, why) => void failed.push(`${s}: ${why} at ${(clock.now() - start) / 1000}`),
    over,
    clock,
    never,
  )
  await done
  return { failed, asked, seconds: (clock.now() - start) / 1000 }
}

describe('a hold', () => {
  it('lasts as long as it is told, and asks every second', async () =>
    expect(await held(10, { web1: [null] })).toEqual({ failed: [], asked: { web1: 11 }, seconds: 10 }))
  it('three bad answers in a row are a failure, told at once', async () =>
    expect((await held(30, { web1: [null, 'a', 'b', 'c'], web2: [null] })).failed).toEqual(['web1: c at 3']))
  it('one or two bad answers are not', async () =>
    expect((await held(5, { web1: ['a', 'b', null, 'a', 'b', null] })).failed).toEqual([]))
  it('a server that failed is not asked again; the others are held to the end', async () =>
    expect(await held(6, { web1: ['x'], web2: [null] })).toMatchObject({ asked: { web1: 3, web2: 7 }, seconds: 6 }))
  it('goes on past its end while an answer was bad that may be a coincidence', async () => {
    expect(await held(2, { web1: [null, null, 'a', 'b', null] })).toMatchObject({ failed: [], seconds: 4 })
    expect((await held(2, { web1: [null, null, 'a', 'b', 'c'] })).failed).toEqual(['web1: c at 4'])
  })
  it('ends when the deployment is over, and when nobody is left', async () => {
    expect((await held(60, { web1: [null] }, () => true)).seconds).toBe(0)
    expect((await held(60, { web1: ['x'] })).seconds).toBe(2)
  })
})
