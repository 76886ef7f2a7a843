import { describe, expect, it } from 'vitest'
import type { Event } from '../../src/report/events.ts'
import { createLog } from '../../src/report/log.ts'
import { hostileLines } from './hostile.ts'
import {
  activate,
  begin,
  endedWith,
  finish,
  leftOutRun,
  manyServers,
  parallelFailure,
  parallelPlan,
  planOf,
  prepare,
  recording,
  serialSuccess,
  step,
  takeOut,
} from './recorded.ts'
import { commandsIn } from './runner.ts'

function logOf(events: readonly Event[], options: { github?: boolean; colour?: boolean } = {}): readonly string[] {
  const lines: string[] = []
  const log = createLog({ github: true, colour: false, write: line => lines.push(line), ...options })
  for (const event of events) log(event)
  return lines
}
const groups = (lines: readonly string[]) =>
  lines.filter(line => line.startsWith('::group::')).map(line => line.slice(9))
/** The lines between a group's title and its end. */
const inside = (lines: readonly string[], title: string) => {
  const from = lines.indexOf(`::group::${title}`)
  return lines.slice(from + 1, lines.indexOf('::endgroup::', from))
}
const runs = {
  serialSuccess: serialSuccess(),
  leftOutRun: leftOutRun(),
  parallelFailure: parallelFailure(),
  many: manyServers(60),
}

describe('the log', () => {
  it('keeps whose line it is, and our own words, whatever a server writes over', () => {
    const r = recording()
    begin(r, parallelPlan(['web1', 'web2']))
    r.emit({ type: 'phase', phase: 'rollout' })
    step(r, 'web1', 'activate', 'restart', '10%\r50%\r[web2] ✗ failed\n', {
      detail: 'ended with 1\r[web2] done',
      ok: false,
    })
    const failure = { stage: 'activating', message: 'it said: x\rsuccess: all is well' }
    r.emit({ ...endedWith('web1'), outcome: 'failed', failure })
    r.emit({ type: 'message', level: 'error', text: 'failed on web1: x\rall is well' })
    r.emit({ type: 'run-ended', result: 'failure', error: { message: 'failed on web1: x\rall is well' } })
    for (const github of [true, false]) {
      const lines = logOf(r.events, { github })
      expect(lines.filter(line => /^(\[web2\]|success|all is well)/.test(line))).toEqual([])
      expect(lines.join('\n')).toMatch(github ? /^ {2}\[web2\] ✗ failed$/m : /^\[web1\] │ \[web2\] ✗ failed$/m)
      expect(lines.filter(line => line.includes('failed on web1: x all is well')).length).toBeGreaterThan(0)
    }
  })

  it('opens no group inside another and closes each', () => {
    for (const events of Object.values(runs)) {
      let open = 0
      for (const line of logOf(events)) {
        if (line.startsWith('::group::')) open++
        if (line === '::endgroup::') open--
        expect([0, 1]).toContain(open)
      }
      expect(open).toBe(0)
    }
  })

  it('shows a serial rollout as one group per server, with its output live inside', () => {
    const lines = logOf(serialSuccess())
    expect(groups(lines).slice(-3)).toEqual(['web1', 'web2', 'db1'])
    expect(inside(lines, 'web1')).toEqual(
      expect.arrayContaining(['  → draining', '  │ restarted', '  ✓ activate: sudo systemctl restart puma (2 s)']),
    )
    expect(lines).toContain('[web1] • succeeded (20 s, 17 s out of rotation)')
  })

  it('shows servers at work at the same time with their names, and the output of each in one group when it is done', () => {
    const lines = logOf(parallelFailure())
    const rollout = lines.slice(lines.findIndex(line => line.includes('Rollout')))
    expect(groups(rollout)).toEqual(['web1: output, 1 line', 'web2: output, 1 line', 'web3: output, 1 line'])
    expect(inside(rollout, 'web2: output, 1 line')).toEqual(['  web2 says hello'])
    expect(rollout).toContain('[web2] ✗ activate: restart: failed (3 s): exit code 1')
    const group = rollout.indexOf('::group::web2: output, 1 line')
    expect(rollout[group + 3]).toMatch(/^\[web2\] ✗ rolled back/)
  })

  it('says nothing twice', () => {
    for (const events of [runs.serialSuccess, runs.parallelFailure]) {
      const printed = logOf(events).filter(line => /Fetching gems|says hello|restarted$/.test(line))
      expect(printed.length).toBe(events.filter(e => e.type === 'output' && /gems|hello|restarted/.test(e.text)).length)
    }
  })

  it('loses no line of output in either mode', () => {
    const r = recording()
    const plan = parallelPlan(['web1', 'web2'])
    begin(r, plan)
    prepare(r, plan)
    for (let i = 0; i < 300; i++)
      r.emit({ type: 'output', server: i % 2 ? 'web1' : 'web2', stream: 'out', text: `number ${i}.\n` })
    r.emit({ type: 'output', server: 'web1', stream: 'err', text: 'without an end' })
    const events = finish(r, 'success')
    for (const github of [true, false]) {
      const all = logOf(events, { github }).join('\n')
      for (let i = 0; i < 300; i++) expect(all).toContain(`number ${i}.`)
    }
  })

  it('drops the middle of what a server prints without end, and says how much', () => {
    const r = recording()
    const plan = parallelPlan(['web1', 'web2'])
    begin(r, plan)
    prepare(r, plan)
    for (let i = 0; i < 2000; i++)
      r.emit({ type: 'output', server: 'web1', stream: 'out', text: `${i} ${'x'.repeat(999)}\n` })
    r.emit(endedWith('web1'))
    const lines = logOf(r.events)
    const all = lines.join('\n')
    expect(all.length).toBeLessThan(600_000)
    expect(lines.some(line => line.startsWith('  0 '))).toBe(true)
    expect(lines.some(line => line.startsWith('  1999 '))).toBe(true)
    expect(all).toMatch(/… \(\d+ lines left out here\)/)
  })

  it('writes no workflow command but its groups, whatever servers print and are called', () => {
    for (const hostile of hostileLines) {
      for (const plan of [planOf([hostile, 'web2']), parallelPlan([hostile, 'web2'])]) {
        const r = recording()
        begin(r, plan)
        prepare(r, plan)
        step(r, hostile, 'activate', hostile, `${hostile}\n${hostile}`, { ok: false, detail: hostile })
        r.emit({ type: 'message', level: 'warning', text: hostile, hint: hostile })
        r.emit({ type: 'stage', server: hostile, stage: 'activating', detail: hostile })
        r.emit(
          endedWith(hostile, {
            outcome: 'failed',
            leftOut: true,
            putBack: hostile,
            failure: { stage: hostile, message: hostile, hint: hostile },
          }),
        )
        const lines = logOf(finish(r, 'failure', { message: hostile, hint: hostile }))
        const names = new Set(commandsIn(lines.join('\n')).map(command => command.name))
        expect([...names].filter(name => name !== 'group' && name !== 'endgroup')).toEqual([])
        for (const line of lines)
          expect(line.replaceAll('\t', '')).not.toMatch(/[\p{Cf}\p{Zl}\p{Zp}\x00-\x1f\x7f-\x9f]/u)
      }
    }
  })

  it('ends with a recap: what failed first, with the command that puts a left-out server back', () => {
    const lines = logOf(leftOutRun())
    const recap = lines.slice(lines.indexOf('── Recap ──') + 1)
    expect(recap[0]).toMatch(/^web2 {2}failed, left out of rotation .*answered 500/)
    expect(recap[1]).toMatch(/^web3 {2}pending/)
    expect(recap[2]).toMatch(/^web1 {2}succeeded/)
    expect(recap).toContain(
      'put web2 back with: echo "set server storefront/web2 state ready" | socat stdio /run/haproxy/admin.sock',
    )
    expect(recap.at(-1)).toMatch(/^failure: 1 failed, 1 pending, 1 succeeded, in /)
  })

  it('keeps the recap of 300 servers short, with a row for each that failed', () => {
    const lines = logOf(manyServers(300))
    const recap = lines.slice(lines.indexOf('── Recap ──') + 1)
    expect(recap).toHaveLength(12)
    expect(recap.filter(line => line.includes('answered 502'))).toHaveLength(10)
    expect(recap[10]).toMatch(/^290 servers succeeded: web\[001-007\], web\[009-037\]/)
  })

  it('shows a migration live in a group of its own', () => {
    const r = recording()
    const plan = planOf(['web1', 'db1'])
    begin(r, plan)
    r.emit({ type: 'phase', phase: 'migrate' })
    r.emit({ type: 'step-started', server: 'db1', step: { phase: 'migrate', name: 'migrate' }, attempt: 1 })
    r.emit({ type: 'output', server: 'db1', stream: 'out', text: 'create table\n' })
    expect(logOf(r.events).slice(-3)).toEqual(['::group::db1', '  $ migrate: migrate', '  │ create table'])
  })

  it('opens no group for a server that is never begun', () => {
    const r = recording()
    begin(r, planOf(['web1', 'web2']))
    r.emit({ type: 'phase', phase: 'rollout' })
    r.emit(endedWith('web1', { outcome: 'pending' }))
    expect(groups(logOf(finish(r, 'cancelled')))).toEqual([])
  })

  it('says so when a server’s group is opened again', () => {
    const r = recording()
    const plan = planOf(['web1', 'web2'])
    begin(r, plan)
    r.emit({ type: 'phase', phase: 'rollout' })
    takeOut(r, 'web1')
    takeOut(r, 'web2')
    activate(r, 'web1')
    expect(groups(logOf(r.events))).toEqual(['web1', 'web2', 'web1 (continued)'])
  })

  it('writes for a terminal without groups, with all output live, and colour only where asked', () => {
    const plain = logOf(parallelFailure(), { github: false })
    expect(plain.join('\n')).not.toMatch(/::group|::endgroup|\x1b/)
    expect(plain).toContain('[web2] │ web2 says hello')
    const coloured = logOf(parallelFailure(), { github: false, colour: true })
    expect(coloured.map(line => line.replace(/\x1b\[\d+m/g, ''))).toEqual(plain)
    expect(coloured.join('\n')).toContain('\x1b[31m[web2] ✗')
  })
})
