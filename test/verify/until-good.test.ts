import { describe, expect, it } from 'vitest'
import type { Try } from '../../src/verify/try.ts'
import { untilGood } from '../../src/verify/verify.ts'
import { fakeClock } from '../support/fake-clock.ts'

const good: Try = { is: 'good', detail: 'answered 200' }
const notYet: Try = { is: 'not yet', detail: 'answered 503: starting' }
const wrong: Try = { is: 'wrong', detail: 'answered 404: nothing here' }

/** The answer at each second; the last one stays. */
const run = async (answers: readonly Try[], more: { timeout?: number; healthy_for?: number } = {}) => {
  const clock = fakeClock()
  let tries = 0
  const check = { interval: 1, timeout: 30, healthy_for: 0, ...more }
  const facts = { check: 'GET http :3000/up', server: 'web1' }
  const tried = async () => answers[Math.min(tries++, answers.length - 1)] as Try
  const result = await untilGood(check, facts, tried, clock, new AbortController().signal).catch((e: Error) => e)
  return { result, tries, seconds: clock.now() / 1000 }
}

describe('a check', () => {
  it('is good at the first good answer', async () => {
    expect((await run([notYet, notYet, good])).result).toEqual({
      check: 'GET http :3000/up',
      seconds: 2,
      detail: 'answered 200',
    })
  })

  it('has to stay good as long as healthy_for says; one bad answer starts that anew', async () => {
    expect(await run([good, good, notYet, good], { healthy_for: 5 })).toMatchObject({ seconds: 3 + 5 })
  })

  it('fails at its timeout with the last answer', async () => {
    const { result, seconds } = await run([notYet], { timeout: 10 })
    expect(seconds).toBe(10)
    expect(result).toMatchObject({ name: 'VerifyError', server: 'web1', stage: 'verifying' })
    expect((result as Error).message).toContain('answered 503: starting')
  })

  it('may be good for longer than its timeout once it is good', async () => {
    expect((await run([notYet, good], { timeout: 5, healthy_for: 60 })).result).toMatchObject({ seconds: 61 })
  })

  it('that is wrong three times in a row fails early, with what was answered', async () => {
    const { result, tries } = await run([notYet, wrong])
    expect(tries).toBe(4)
    expect((result as Error).message).toContain('answered 404: nothing here')
  })

  it('that is wrong only while the application starts becomes good', async () => {
    expect((await run([wrong, wrong, notYet, wrong, wrong, good])).result).toMatchObject({ detail: 'answered 200' })
  })

  it('that can never be tried fails at once and says what to do', async () => {
    const { result, tries } = await run([{ is: 'impossible', detail: 'no curl', hint: 'install curl' }])
    expect(tries).toBe(1)
    expect(result).toMatchObject({ name: 'VerifyError', hint: 'install curl' })
  })
})
