import { describe, expect, it } from 'vitest'
import { closeRecord } from '../../src/github/close-record.ts'
import { createInTime, LateError } from '../../src/github/in-time.ts'
import { rejection, useGitHub } from './use-github.ts'

const github = useGitHub()
const never = () => new Promise<never>(() => {})
const soon = <T>(value: T) => new Promise<T>(resolve => setTimeout(resolve, 5, value))
const none = new AbortController().signal

describe('what a run still says at its end', () => {
  it('is waited for, and comes to what it comes to', async () => {
    const inTime = createInTime(60_000)
    expect(await inTime(() => soon('said'), none)).toBe('said')
    expect(await rejection(inTime(() => Promise.reject(new Error('no')), none))).toMatchObject({ message: 'no' })
    expect(await inTime(() => soon('again'), none)).toBe('again')
  })
  it('has its time, and no more', async () => {
    expect(await rejection(createInTime(50)(never, none))).toBeInstanceOf(LateError)
  })
  it('that comes together has it together, and what comes later has none', async () => {
    const inTime = createInTime(50)
    const [late, done] = await Promise.allSettled([inTime(never, none), inTime(() => soon('said'), none)])
    expect([late.status, done]).toEqual(['rejected', { status: 'fulfilled', value: 'said' }])
    let begun = false
    const another = async () => {
      begun = true
    }
    expect(await rejection(inTime(another, none))).toBeInstanceOf(LateError)
    expect(begun).toBe(false)
  })
  it.each(['before', 'meanwhile'])('has three seconds, once the run is cancelled (%s)', async when => {
    const cancel = new AbortController()
    if (when === 'before') cancel.abort()
    const began = performance.now()
    const late = rejection(createInTime(600_000)(never, cancel.signal))
    cancel.abort()
    expect(await late).toBeInstanceOf(LateError)
    expect(performance.now() - began).toBeGreaterThan(2900)
  })
})

describe('when its time is over', () => {
  const list = 'GET /repos/{owner}/{repo}/deployments'
  const asked = { key: 'k', environment: 'staging', task: 'deploy' } as const
  const open = { id: null, asked, end: null }
  const cutOff = { state: 'failure', description: 'cut off' } as const
  const closing = (gh: Awaited<ReturnType<typeof github>>['gh']) => ({ gh, open, logUrl: null, cancel: none })

  it('is one warning', async () => {
    const { at, gh, warnings } = await github({}, { endMs: 100 })
    at.answer('*', { fault: 'slow', ms: 600_000 }, 99)
    await closeRecord(closing(gh), cutOff)
    await closeRecord(closing(gh), cutOff)
    expect(warnings).toEqual([
      'GitHub did not answer in time: this deployment has no complete record on GitHub; nothing else is affected.',
    ])
  })
  it('because of a rate limit, the warning says so; it is not waited for', async () => {
    // Far less than the limit's 45 seconds, and far more than an answer takes on a busy machine.
    const { at, gh, warnings } = await github({}, { endMs: 5_000, secondMs: 1000 })
    at.answer(list, { fault: 'secondary-limit', retryAfter: 45 })
    await closeRecord(closing(gh), cutOff)
    expect(warnings).toEqual([expect.stringMatching(/^GitHub did not answer in time \(a rate limit\): /)])
    expect(at.requests(list)).toHaveLength(1)
  })
})
