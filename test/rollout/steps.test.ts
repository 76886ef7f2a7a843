import { describe, expect, it } from 'vitest'
import type { RunResult } from '../../src/fleet/connection.ts'
import { slots } from '../../src/fleet/slots.ts'
import type { PlannedStep } from '../../src/plan/plan.ts'
import type { EventBody } from '../../src/report/events.ts'
import { backoff, runPhase, runStep, type StepRun } from '../../src/rollout/steps.ts'

const exit = (code: number): RunResult => ({ ended: 'exit', code, stdout: '', stderr: '' })
const step = (more: Partial<StepRun['step']> = {}): StepRun['step'] => ({
  name: 'bundle install',
  retry: undefined,
  continue_on_error: false,
  timeout: 60,
  ...more,
})

function setting(results: readonly RunResult[]) {
  const events: EventBody[] = []
  const slept: number[] = []
  const cancel = new AbortController()
  let n = 0
  const surroundings = {
    emit: (e: EventBody) => void events.push(e),
    clock: { now: () => 0, wall: () => 0, sleep: async (ms: number) => void slept.push(ms) },
    signal: cancel.signal,
    slots: slots(2),
    random: () => 0,
  }
  const start = async () => ({ result: results[Math.min(n++, results.length - 1)] ?? exit(0), tail: 'last words' })
  const run = (more: Partial<StepRun['step']> = {}) =>
    runStep({ server: 'web1', phase: 'prepare', step: step(more), start }, surroundings)
  return { run, events, slept, times: () => n, cancel }
}

describe('a step', () => {
  it('succeeds on exit code 0, once', async () => {
    const s = setting([exit(0)])
    await s.run({ retry: { attempts: 3, delay: 1 } })
    expect(s.times()).toBe(1)
    expect(s.events.map(e => e.type)).toEqual(['step-started', 'step-ended'])
  })
  it('fails on any other, with the code, the server and the last lines', async () => {
    await expect(setting([exit(3)]).run()).rejects.toMatchObject({
      message: 'bundle install: exit code 3',
      server: 'web1',
      stage: 'prepare',
      tail: 'last words',
    })
  })
  it('is tried again, waiting twice as long each time', async () => {
    const s = setting([exit(1), exit(1), exit(0)])
    await s.run({ retry: { attempts: 3, delay: 2 } })
    expect(s.times()).toBe(3)
    expect(s.slept).toEqual([2000, 4000])
  })
  it('says how often it was tried when that did not help', async () => {
    await expect(setting([exit(1)]).run({ retry: { attempts: 3, delay: 0 } })).rejects.toThrow(/at the last of 3 tries/)
  })
  it('is not run again when the connection was lost: it may have gone on', async () => {
    const s = setting([{ ended: 'lost', reason: 'keepalive', stdout: '', stderr: '' }])
    await expect(s.run({ retry: { attempts: 3, delay: 0 } })).rejects.toThrow(/connection was lost.*not run again/)
    expect(s.times()).toBe(1)
  })
  it('does not count when it may fail, and says so', async () => {
    const s = setting([exit(1)])
    await s.run({ continue_on_error: true })
    expect(s.events.at(-1)).toMatchObject({ type: 'step-ended', ok: false, ignored: true })
  })
  it('names the time it was given when it took longer', async () => {
    await expect(setting([{ ended: 'timeout', stdout: '', stderr: '' }]).run()).rejects.toThrow(
      /not done after 60 s; its process group was ended/,
    )
  })
  it('waits with jitter, never less than asked for', () => {
    expect(backoff(1, 1, 0)).toBe(1)
    expect(backoff(1, 3, 1)).toBe(5)
  })
})

describe('a phase', () => {
  const planned = (name: string, group: number, servers: readonly string[]): PlannedStep => ({
    phase: 'prepare',
    index: group,
    name,
    group,
    servers,
    once: false,
  })
  const all = new Set(['a', 'b'])
  it('starts the members of a group together and the next group after all of it', async () => {
    const log: string[] = []
    const run = async (s: PlannedStep, server: string) => {
      log.push(`+${s.name}${server}`)
      await new Promise(resolve => setImmediate(resolve))
      log.push(`-${s.name}${server}`)
    }
    expect(
      await runPhase([planned('1', 0, ['a', 'b']), planned('2', 0, ['a']), planned('3', 1, ['b'])], run, all),
    ).toEqual({ failed: new Map(), complete: true })
    expect(log).toEqual(['+1a', '+1b', '+2a', '-1a', '-1b', '-2a', '+3b', '-3b'])
  })
  it('lets the others of a group end when one fails, and starts no further group', async () => {
    const done: string[] = []
    const run = async (s: PlannedStep, server: string) => {
      if (server === 'a') throw new Error(`${s.name} failed`)
      await new Promise(resolve => setImmediate(resolve))
      done.push(s.name + server)
    }
    const { failed } = await runPhase([planned('1', 0, ['a', 'b']), planned('2', 1, ['a', 'b'])], run, all)
    expect([...failed.keys()]).toEqual(['a'])
    expect(done).toEqual(['1b'])
  })
  it('goes on with the servers that did not fail, while it may', async () => {
    const run = (bad: string[]) => async (_: PlannedStep, server: string) => {
      if (bad.includes(server)) throw new Error('boom')
      seen.push(server)
    }
    const seen: string[] = []
    const all3 = new Set(['a', 'b', 'c'])
    const phase = [planned('1', 0, ['a', 'b', 'c']), planned('2', 1, ['a', 'b', 'c'])]
    const one = await runPhase(phase, run(['a']), all3, { goesOn: n => n < 2 })
    expect(seen).toEqual(['b', 'c', 'b', 'c'])
    expect([[...one.failed.keys()], one.complete]).toEqual([['a'], true])
    seen.length = 0
    const two = await runPhase(phase, run(['a', 'b']), all3, { goesOn: n => n < 2 })
    expect(seen).toEqual(['c'])
    expect([[...two.failed.keys()], two.complete]).toEqual([['a', 'b'], false])
  })
  it('ends without a step that runs once: it is for all of them', async () => {
    const seen: string[] = []
    const run = async (s: PlannedStep, server: string) => {
      if (server === 'a' && s.name === '1') throw new Error('boom')
      seen.push(s.name + server)
    }
    const once = { ...planned('2', 1, ['a']), once: true }
    const end = await runPhase([planned('1', 0, ['a', 'b']), once, planned('3', 2, ['a', 'b'])], run, all, {
      goesOn: () => true,
      gone: new Set(),
    })
    expect(seen).toEqual(['1b'])
    expect(end.complete).toBe(false)
  })
  it('ends also without one whose server failed before the phase', async () => {
    const seen: string[] = []
    const run = async (s: PlannedStep, server: string) => void seen.push(s.name + server)
    const once = { ...planned('1', 0, ['a']), once: true }
    const rules = { goesOn: () => true, gone: new Set(['a']) }
    const end = await runPhase([once, planned('2', 1, ['a', 'b'])], run, new Set(['b']), rules)
    expect([seen, end.complete]).toEqual([[], false])
  })
  it('goes on after one that failed where it is for nobody else: cleanup', async () => {
    const seen: string[] = []
    const run = async (s: PlannedStep, server: string) => {
      if (s.name === '1') throw new Error('boom')
      seen.push(s.name + server)
    }
    const once = { ...planned('1', 0, ['a']), once: true }
    await runPhase([once, planned('2', 1, ['a', 'b'])], run, all, { goesOn: () => true })
    expect(seen).toEqual(['2b'])
  })
  it('keeps every error of a server', async () => {
    const run = async (s: PlannedStep) => {
      throw new Error(`${s.name} failed`)
    }
    const { failed } = await runPhase([planned('1', 0, ['a']), planned('2', 0, ['a'])], run, all)
    expect(failed.get('a')).toMatchObject({ message: '1 failed; 2 failed', server: 'a' })
  })
  it('leaves out servers that are not to be gone to', async () => {
    const seen: string[] = []
    await runPhase([planned('1', 0, ['a', 'b'])], async (_, server) => void seen.push(server), new Set(['b']))
    expect(seen).toEqual(['b'])
  })
})
