import { describe, expect, it } from 'vitest'
import { endOf, endOfRecovery, progressText } from '../../src/github/record-words.ts'
import type { EventBody, Outcome, Result } from '../../src/report/events.ts'
import { replay } from '../../src/report/state.ts'
import { planOf, recording } from '../report/recorded.ts'

interface Told {
  readonly outcome: Outcome
  readonly stage?: string
  readonly leftOut?: boolean
}

const serverEnded = (server: string, { outcome, stage, leftOut = false }: Told): EventBody => ({
  type: 'server-ended',
  server,
  outcome,
  rotation: leftOut ? 'out' : 'in',
  leftOut,
  keptOut: false,
  notVerified: false,
  ...(stage === undefined ? {} : { failure: { message: 'no', stage } }),
  release: null,
  previous: null,
})

const run = (result: Result, servers: Readonly<Record<string, Told>>, error?: string) => {
  const { events, emit } = recording()
  emit({ type: 'planned', plan: planOf(Object.keys(servers)) })
  for (const [name, told] of Object.entries(servers)) emit(serverEnded(name, told))
  emit({ type: 'run-ended', result, ...(error === undefined ? {} : { error: { message: error } }) })
  return replay(events)
}
const good = { outcome: 'succeeded' } as const
const pending = { outcome: 'pending' } as const

describe('how a run that ended is recorded', () => {
  it('success with how many', () => {
    expect(endOf(run('success', { web1: good, web2: { outcome: 'skipped' } }))).toEqual({
      state: 'success',
      description: '2 of 2 servers done',
    })
    expect(progressText(1, 1)).toBe('1 of 1 server done')
  })
  it('failure with what failed where, and what was left out', () => {
    const servers = { web1: good, web2: pending, web3: { outcome: 'failed', stage: 'verify', leftOut: true } } as const
    expect(endOf(run('failure', servers))).toEqual({
      state: 'failure',
      description: 'failed: web3 (verify); left out: web3',
    })
  })
  it('failure with who was taken back and who could not be reached', () =>
    expect(
      endOf(run('failure', { a: { outcome: 'rolled-back' }, b: { outcome: 'unreachable', stage: 'preflight' } })),
    ).toEqual({ state: 'failure', description: 'rolled back: a; unreachable: b (preflight)' }))
  it('failure of no server with the first line of why', () =>
    expect(endOf(run('failure', { web1: good }, 'finalize failed\nmore'))).toEqual({
      state: 'failure',
      description: 'finalize failed',
    }))
  it('cancelled before any server was switched: inactive', () =>
    expect(endOf(run('cancelled', { web1: pending, web2: pending }))).toMatchObject({ state: 'inactive' }))
  it('cancelled after that: failure, with how far it came', () =>
    expect(endOf(run('cancelled', { web1: good, web2: pending }))).toEqual({
      state: 'failure',
      description: 'cancelled: 1 of 2 servers done',
    }))
  it('cancelled with a server left out: failure', () =>
    expect(endOf(run('cancelled', { web1: { outcome: 'pending', leftOut: true } }))).toMatchObject({
      state: 'failure',
      description: expect.stringContaining('left out: web1'),
    }))
  it('names no more than fit, and how many more there are', () => {
    const many = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`web${i}`, { outcome: 'failed' } as const]))
    expect(endOf(run('failure', many)).description).toMatch(/ and 488 more$/)
  })
  it('lets no control character and no command of a server through', () => {
    const text = endOf(run('failure', { web1: good }, '##[set-output name=result]success\u001b[31m\u202e'))
    expect(text.description).toBe('##\\[set-output name=result]success\\u{202e}')
    const stage = 'x\u001b]0;title\u0007'
    expect(endOf(run('failure', { w: { outcome: 'failed', stage } })).description).toBe('failed: w (x)')
  })
})

describe('how a run that was cut off is recorded', () => {
  it('inactive, when nothing had been changed', () =>
    expect(endOfRecovery(run('success', { web1: pending, web2: pending }))).toMatchObject({ state: 'inactive' }))
  it('failure with where each server stands', () =>
    expect(endOfRecovery(run('success', { a: good, b: { outcome: 'rolled-back' }, c: pending }))).toEqual({
      state: 'failure',
      description: 'cut off; on the new release: a; back on the old: b',
    }))
  it('failure, when the recovery failed', () =>
    expect(endOfRecovery(run('failure', { a: { outcome: 'unreachable', stage: 'preflight' } }))).toEqual({
      state: 'failure',
      description: 'cut off; unreachable: a (preflight)',
    }))
})
