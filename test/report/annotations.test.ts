import { describe, expect, it } from 'vitest'
import { annotations } from '../../src/report/annotations.ts'
import { replay } from '../../src/report/state.ts'
import { summary } from '../../src/report/summary.ts'
import { hostileLines } from './hostile.ts'
import { begin, endedWith, finish, leftOutRun, parallelPlan, planOf, recording, serialSuccess } from './recorded.ts'
import { commandIn } from './runner.ts'

const read = (lines: readonly string[]) => lines.map(line => commandIn(line))

function failing(n: number, message = 'exit code 1') {
  const names = Array.from({ length: n }, (_, i) => `web${i + 1}`)
  const r = recording()
  begin(r, parallelPlan(names))
  for (const name of names) r.emit(endedWith(name, { outcome: 'failed', failure: { stage: 'activating', message } }))
  return read(annotations(replay(finish(r, 'failure'))))
}

describe('annotations', () => {
  it('are none for a success without a word', () => {
    const quiet = serialSuccess().map(e => (e.type === 'planned' ? { ...e, plan: { ...e.plan, notices: [] } } : e))
    expect(annotations(replay(quiet))).toEqual([])
  })

  it('say which server failed at what, and how a left-out one is put back', () => {
    const all = read(annotations(replay(leftOutRun())))
    expect(all.map(a => [a?.name, a?.properties['title']])).toEqual([
      ['error', 'deployment'],
      ['error', 'web2: verifying failed, left out of rotation'],
      ['warning', 'plan'],
    ])
    expect(all[1]?.data).toContain(
      '\nPut it back with: echo "set server storefront/web2 state ready" | socat stdio /run/haproxy/admin.sock\n',
    )
  })

  it('are at most eight of a kind: up to eight servers, else seven and how many more', () => {
    expect(failing(8).map(a => a?.properties['title'])).toEqual(
      Array.from({ length: 8 }, (_, i) => `web${i + 1}: activating failed`),
    )
    const many = failing(300)
    expect(many).toHaveLength(8)
    expect(many[7]).toMatchObject({ name: 'error', properties: { title: 'and 293 more' } })
    const r = recording()
    begin(
      r,
      planOf(['web1'], {
        warnings: Array.from({ length: 20 }, (_, i) => `warning ${i}`),
        notices: Array.from({ length: 9 }, (_, i) => `notice ${i}`),
      }),
    )
    const kinds = read(annotations(replay(r.events))).map(a => a?.name)
    expect(kinds.filter(k => k === 'warning')).toHaveLength(8)
    expect(kinds.filter(k => k === 'notice')).toHaveLength(8)
  })

  it('call nothing failed on a server that was taken back as it should be', () => {
    const r = recording()
    begin(r, planOf(['web1', 'web2', 'web3']))
    const back = (stage: string, message: string) => ({ outcome: 'rolled-back', failure: { stage, message } }) as const
    r.emit(endedWith('web1', back('rolling back', 'max_failures is reached, so it goes back')))
    r.emit(endedWith('web2', back('verifying', 'it answers 500')))
    r.emit(endedWith('web3', { ...back('rolling back', 'it does not start'), outcome: 'failed' }))
    const state = replay(finish(r, 'failure'))
    expect(read(annotations(state)).map(a => a?.properties['title'])).toEqual(
      expect.arrayContaining(['web1: rolled back', 'web2: verifying failed, rolled back', 'web3: rolling back failed']),
    )
    expect(summary(state)).toContain('#### ↩️ web1: rolled back\n')
    expect(summary(state)).toContain('#### ↩️ web2: verifying failed\n')
    expect(summary(state)).toContain('#### ❌ web3: rolling back failed\n')
  })

  it('say each thing once', () => {
    const r = recording()
    begin(r, planOf(['web1'], { warnings: ['same'] }))
    r.emit({ type: 'message', level: 'warning', text: 'same' })
    r.emit({ type: 'message', level: 'error', text: 'broken', server: 'web1' })
    r.emit(endedWith('web1', { outcome: 'failed', failure: { stage: 'switching', message: 'broken' } }))
    expect(annotations(replay(finish(r, 'failure', { message: 'broken' })))).toHaveLength(2)
  })

  it('hold the whole message, its lines and percent signs, and no more than 4,000 characters', () => {
    const [one] = failing(1, '100% of: a, b\r\nline 2 %0A')
    expect(one?.data).toBe('100% of: a, b\nline 2 %0A')
    const [long] = failing(1, 'x'.repeat(10_000))
    expect(long!.data.length).toBeLessThanOrEqual(4000)
  })

  it('are one command each and of our making, whatever servers print', () => {
    for (const line of hostileLines) {
      const r = recording()
      begin(r, planOf(['web1']))
      r.emit(
        endedWith('web1', {
          outcome: 'failed',
          failure: { stage: line, message: line, hint: line },
          leftOut: true,
          putBack: line,
        }),
      )
      const written = annotations(replay(finish(r, 'failure', { message: line, hint: line })))
      for (const command of written) {
        expect(command).not.toMatch(/[\r\n\u2028\u0085]/)
        expect(commandIn(command)?.name).toBe('error')
        expect(Object.keys(commandIn(command)?.properties ?? {})).toEqual(['title'])
      }
    }
  })
})
