import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { cutToWidth, displayWidth } from '../../src/report/display-width.ts'
import { endingWords } from '../../src/report/ending-words.ts'
import { looksOf } from '../../src/report/looks.ts'
import { elapsed, progressLine } from '../../src/report/progress.ts'
import { replay } from '../../src/report/state.ts'
import { hostileText } from './hostile.ts'
import { begin, planOf, recording } from './recorded.ts'

const names = (n: number) => Array.from({ length: n }, (_, i) => `web${i + 1}`)
const succeeded = { type: 'server-ended', outcome: 'succeeded', rotation: 'in' } as const
const rest = { leftOut: false, keptOut: false, notVerified: false, release: null, previous: null }

/** Eight servers: three done, one of them badly, web4 and web5 under way. */
function midway() {
  const r = recording()
  begin(r, planOf(names(8)))
  r.emit({ type: 'phase', phase: 'rollout' })
  r.pass(40)
  for (const server of ['web1', 'web2']) r.emit({ ...succeeded, server, ...rest })
  r.emit({ ...succeeded, server: 'web3', ...rest, outcome: 'failed' })
  r.emit({ type: 'stage', server: 'web4', stage: 'removing' })
  r.emit({ type: 'balancer', server: 'web4', balancer: 'edge', what: 'removed', seconds: 0 })
  r.emit({ type: 'stage', server: 'web4', stage: 'draining' })
  r.pass(12)
  r.emit({ type: 'stage', server: 'web5', stage: 'activating' })
  return r
}
const lineOf = (r: ReturnType<typeof recording>, columns = 200) =>
  progressLine(replay(r.events), { now: r.events.at(-1)?.at ?? 0, columns })

describe('the progress line', () => {
  it('says how many are done, who is at what for how long, who failed, and the time', () =>
    expect(lineOf(midway())).toBe('3 of 8 done · web4 draining (12 s) · web5 activating · 1 failed · 00:53'))

  it('says the phase while no server could be done', () => {
    const r = recording()
    begin(r, planOf(names(2)))
    r.emit({ type: 'stage', server: 'web1', stage: 'staging' })
    r.emit({ type: 'stage', server: 'web2', stage: 'prepared' })
    expect(lineOf(r)).toBe('prepare · web1 staging · 00:01')
  })

  it('counts a server that goes back with the others as under way again', () => {
    const r = midway()
    r.emit({ type: 'stage', server: 'web1', stage: 'rolling back' })
    expect(lineOf(r)).toMatch(/^2 of 8 done · web1 rolling back · web4/)
  })

  it('leaves servers out before the counts and the time when there is little room', () => {
    expect(lineOf(midway(), 65)).toBe('3 of 8 done · 2 under way · 1 failed · 00:53')
    expect(lineOf(midway(), 40)).toBe('3 of 8 done · 1 failed · 00:53')
    expect(lineOf(midway(), 12)).toBe('3 of 8 don…')
  })

  it('says of hundreds only those who fit', () => {
    const r = recording()
    begin(r, planOf(names(300)))
    r.emit({ type: 'phase', phase: 'rollout' })
    for (const server of names(300)) r.emit({ type: 'stage', server, stage: 'activating' })
    expect(lineOf(r, 80)).toBe('0 of 300 done · web1 activating · web2 activating · 298 more under way · 00:01')
  })

  it('is one line, narrower than the terminal and without controls, whatever a server is called', () => {
    const call = (server: string, columns: number) => {
      const r = recording()
      begin(r, planOf([server, 'web2']))
      r.emit({ type: 'phase', phase: 'rollout' })
      r.emit({ type: 'stage', server, stage: server })
      return lineOf(r, columns)
    }
    fc.assert(
      fc.property(hostileText, fc.integer({ min: 1, max: 300 }), (server, columns) => {
        const line = call(server, columns)
        expect(line).not.toMatch(/[\x00-\x1f\x7f-\x9f]/)
        expect(displayWidth(line)).toBeLessThan(Math.max(columns, 1))
      }),
    )
  })

  it('shows hours where there are some', () =>
    expect([0, 59_999, 102_000, 3_723_000].map(elapsed)).toEqual(['00:00', '00:59', '01:42', '1:02:03']))
})

describe('a text’s width', () => {
  it.each([
    ['web1', 4],
    ['größe', 5],
    ['e\u0301', 1],
    ['日本語', 6],
    ['ｱｲｳ', 3],
    ['한국', 4],
    ['👩‍👩‍👧‍👦', 2],
    ['⚠\ufe0f', 2],
    ['🇩🇪', 2],
    ['│', 1],
  ])('%s takes %i columns', (text, width) => expect(displayWidth(text)).toBe(width))

  it('is never more than it was cut to', () => {
    expect(cutToWidth('日本語', 5)).toBe('日本…')
    expect(cutToWidth('日本語', 4)).toBe('日…')
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.nat(40), (text, columns) => {
        expect(displayWidth(cutToWidth(text, columns))).toBeLessThanOrEqual(columns)
      }),
    )
  })
})

describe('what is written where', () => {
  const terminal = { TERM: 'xterm' }
  it.each([
    [{}, true, false, false],
    [terminal, true, true, true],
    [terminal, false, false, false],
    [{ TERM: 'dumb' }, true, false, false],
    [{ ...terminal, NO_COLOR: '1' }, true, false, true],
    [{ ...terminal, NO_COLOR: '' }, true, true, true],
    [{ ...terminal, NO_COLOR: '1', FORCE_COLOR: '1' }, true, true, true],
    [{ ...terminal, FORCE_COLOR: '0' }, true, false, true],
    [{ FORCE_COLOR: '3' }, false, true, false],
    [{ ...terminal, CI: 'true' }, true, true, false],
    [{ ...terminal, CI: 'false' }, true, true, true],
  ])('%j, a terminal: %s → colour %s, progress line %s', (env, isTerminal, colour, progress) =>
    expect(looksOf(env, isTerminal)).toEqual({ colour, progress }),
  )
})

describe('what a cancel says', () => {
  it('names who goes back and who is to be decided about', () =>
    expect(endingWords(replay(midway().events))).toBe(
      'ending cleanly: web4 goes back into rotation; web5: the new release stays if it was activated and verifies, else the one before',
    ))
  it('says that nobody is being changed, and nothing for what changes nothing', () => {
    const r = recording()
    begin(r, planOf(names(2)))
    expect(endingWords(replay(r.events))).toBe('ending cleanly: no server is being changed')
    const plan = recording()
    plan.emit({ type: 'run-started', command: 'plan', manifest: 'deploy.yml', runUrl: null })
    expect(endingWords(replay(plan.events))).toBeNull()
  })
  it.each(['preview teardown', 'preview clean-up'])('sends no server of a %s back into rotation', command => {
    const r = recording()
    r.emit({ type: 'run-started', command, manifest: 'deploy.yml', runUrl: null })
    r.emit({ type: 'stage', server: 'p1', stage: 'removing' })
    expect(endingWords(replay(r.events))).toBe(
      'ending cleanly: what is not removed yet stays until it is removed by another run',
    )
  })
})
