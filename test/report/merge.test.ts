import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { shardServers } from '../../src/plan/shards.ts'
import { annotations } from '../../src/report/annotations.ts'
import type { Event } from '../../src/report/events.ts'
import { merge } from '../../src/report/merge.ts'
import { counts } from '../../src/report/outcome-words.ts'
import { outputs } from '../../src/report/outputs.ts'
import { createRecorder, reportJson } from '../../src/report/report-json.ts'
import { readReport } from '../../src/report/report-schema.ts'
import type { ServerState } from '../../src/report/server-state.ts'
import { createFold, type ReportState, replay } from '../../src/report/state.ts'
import { longestSummary, summary } from '../../src/report/summary.ts'
import { randomRun } from './random-run.ts'
import {
  begin,
  endedWith,
  finish,
  leftOutRun,
  manyServers,
  parallelFailure,
  parallelPlan,
  recording,
} from './recorded.ts'
import { readBack, reportOf, selectionOf, shardReportsOf, some, streamOf } from './shards-of.ts'

const mergedOf = (events: readonly Event[], of: number) => merge(some(shardReportsOf(events, of)))
const sections = (markdown: string) => markdown.slice(markdown.indexOf('## Each server'))
const withoutTails = (servers: ReadonlyMap<string, ServerState>) =>
  [...servers.values()].map(s => ({ ...s, steps: s.steps.map(step => ({ ...step, tail: '' })) }))

/** Whom a cancelled run left out its post step comes for: of each server the merged report says so. */
const marked = (state: ReportState): ReportState => ({
  ...state,
  servers: new Map(
    [...state.servers].map(([name, s]) => [
      name,
      state.result === 'cancelled' && s.ended?.leftOut ? { ...s, beforePost: true } : s,
    ]),
  ),
})

describe('the merged report of a run', () => {
  it('says of servers, counts and outputs what one run of all servers would have said, however it went', () => {
    fc.assert(
      fc.property(randomRun, ({ events, of }) => {
        const single = marked(replay(events))
        const { state } = mergedOf(events, of)
        expect(outputs(state)).toEqual(outputs(single))
        expect(counts(state)).toBe(counts(single))
        expect([...state.servers]).toEqual([...single.servers])
        expect(sections(summary(state))).toBe(sections(summary(single)))
        expect(state.messages).toEqual(single.messages)
        expect(state.phases).toEqual(single.phases)
        expect([state.startedAt, state.lastAt]).toEqual([single.startedAt, single.lastAt])
        const limit = { ...single.plan?.maxParallelism, ...(of === 1 ? {} : { reason: 'all shards together' }) }
        expect(state.plan).toEqual({ ...single.plan, maxParallelism: limit })
      }),
      { numRuns: 150 },
    )
  })

  it('is the fold over the shards’ events in the order of time', () => {
    fc.assert(
      fc.property(randomRun, ({ events, of }) => {
        const { state, events: stream } = mergedOf(events, of)
        const planned: Event[] = state.plan === null ? [] : [{ type: 'planned', plan: state.plan, at: 0 }]
        const again = replay([...planned, ...stream])
        expect(withoutTails(marked({ ...state, servers: again.servers }).servers)).toEqual(withoutTails(state.servers))
        expect(again.messages).toEqual(state.messages)
        expect(again.phases).toEqual(state.phases)
        expect(stream.map(e => e.at)).toEqual(stream.map(e => e.at).toSorted((a, b) => a - b))
        expect(stream.filter(e => e.type === 'run-started')).toHaveLength(1)
      }),
      { numRuns: 80 },
    )
  })

  it('is the same in whatever order the reports are found', () => {
    fc.assert(
      fc.property(
        randomRun.chain(run =>
          fc.tuple(
            fc.constant(run),
            fc.shuffledSubarray(
              shardReportsOf(run.events, run.of).map((_, i) => i),
              { minLength: run.of },
            ),
          ),
        ),
        ([{ events, of }, order]) => {
          const reports = shardReportsOf(events, of)
          const shuffled = order.map(i => reports[i]).filter(r => r !== undefined)
          const [a, b] = [merge(some(reports)).state, merge(some(shuffled)).state]
          expect({ ...b, servers: [...b.servers] }).toEqual({ ...a, servers: [...a.servers] })
        },
      ),
      { numRuns: 40 },
    )
  })

  it('takes what a report knows of a server where its events were cut', () => {
    const reports = shardReportsOf(parallelFailure(), 2).map(r => ({
      ...r,
      events: r.events.slice(0, 3),
      eventsLeftOut: 20,
    }))
    const { state } = merge(some(reports))
    expect(outputs(state)).toEqual(outputs(replay(parallelFailure())))
    expect(state.eventsLeftOut).toBe(40)
    const json = JSON.parse(reportJson(state, [])) as { eventsLeftOut: number }
    expect(json.eventsLeftOut).toBe(40)
  })

  it('is a report like that of one run, and can be read like one', () => {
    const { state, events } = mergedOf(leftOutRun(), 3)
    expect(state.error?.message).toBe('shards [2-3] of 3: max_failures is reached: 1 server failed')
    const [fold, recorder] = [createFold(), createRecorder()]
    for (const listener of [fold.listener, recorder.listener]) {
      listener({ type: 'run-started', command: 'report', manifest: 'deploy.yml', runUrl: null, at: 1 })
      listener({ type: 'merged', state, events, at: 2 })
      listener({ type: 'message', level: 'notice', text: 'shard 1 of 3 was run again', at: 3 })
      listener({ type: 'run-ended', result: 'failure', at: 4 })
    }
    const report = readReport(reportJson(fold.state(), recorder.events()))
    expect(report).toMatchObject({ command: 'deploy', result: 'failure', error: state.error, lastAt: state.lastAt })
    expect([...report.servers]).toEqual([...state.servers])
    expect(report.messages.at(-1)?.text).toBe('shard 1 of 3 was run again')
    expect(report.events.map(e => e.type).slice(-2)).toEqual(['message', 'run-ended'])
  })

  it('takes nothing from a shard about a server of another one', () => {
    const [first, second] = shardReportsOf(parallelFailure(), 2)
    if (first === undefined || second === undefined) throw new Error('two reports are expected')
    // web2 is the second shard's.
    const web1 = first.servers.get('web1')
    const its = first.events.filter(e => e.type === 'server-ended').map(e => ({ ...e, server: 'web2' }))
    const lying = {
      ...first,
      servers: new Map([...first.servers, ...(web1 ? [['web2', { ...web1, name: 'web2' }] as const] : [])]),
      events: [...first.events, ...its],
    }
    expect(its.length).toBeGreaterThan(0)
    const [honest, other] = [merge([first, second]), merge([lying, second])]
    expect(outputs(other.state)).toEqual(outputs(honest.state))
    expect(other.events).toEqual(honest.events)
  })

  it('says once what every shard says', () => {
    const r = recording()
    begin(r, parallelPlan(['web1', 'web2', 'web3'], 10))
    r.emit({ type: 'message', level: 'warning', text: 'min_in_service is 0', hint: 'set it' })
    for (const name of ['web1', 'web2', 'web3']) r.emit(endedWith(name))
    const { state } = mergedOf(finish(r, 'success'), 3)
    expect(state.messages).toHaveLength(1)
    expect(annotations(state)).toHaveLength(1)
  })

  it('adds limits up, and has every server once, in the order of the whole selection', () => {
    const names = ['db1', ...Array.from({ length: 19 }, (_, i) => `web${i + 1}`)]
    const r = recording()
    begin(r, parallelPlan(names, 13))
    const { plan } = mergedOf(finish(r, 'failure'), 8).state
    expect(plan?.groups).toEqual(parallelPlan(names, 13).groups)
    expect(plan?.servers.map(s => s.name)).toEqual(names)
    expect(plan?.maxParallelism.value).toBe(10)
  })
})

describe('a shard without a report', () => {
  const events = manyServers(12)
  const without = (...indexes: number[]) =>
    merge(some(shardReportsOf(events, 4).filter(r => !indexes.includes(r.shard.index)))).state
  const selection = selectionOf(events)
  const its = (index: number) => shardServers(selection, { index, of: 4 })

  it('is a failure that names it and its servers, which are pending and in retry', () => {
    const state = without(2, 3)
    const lost = selection.filter(name => its(2).includes(name) || its(3).includes(name))
    expect(state.result).toBe('failure')
    expect(state.error?.message).toBe(
      'shards [2-3] of 4 left no report: what became of web[02-03], web[06-07], web[10-11] is not known',
    )
    const out = outputs(state)
    expect(JSON.parse(out.pending)).toEqual(lost)
    for (const name of lost) expect(JSON.parse(out.retry)).toContain(name)
    const six = ['succeeded', 'skipped', 'failed', 'rolled-back', 'pending', 'unreachable'] as const
    expect(six.flatMap(kind => JSON.parse(out[kind]) as string[]).sort()).toEqual([...selection].sort())
  })

  it('is a failure also when all others did well, and so is one that did not come to an end', () => {
    const r = recording()
    begin(r, parallelPlan(selection, 12))
    for (const name of selection) r.emit(endedWith(name))
    const good = shardReportsOf(finish(r, 'success'), 4)
    expect(merge(some(good)).state.result).toBe('success')
    expect(merge(some(good.slice(1))).state.result).toBe('failure')
    expect(merge(some(good.map((one, i) => (i === 2 ? { ...one, result: null } : one)))).state.result).toBe('failure')
  })

  it('is loud in the summary, with a row of its own, and in an annotation', () => {
    const markdown = summary(without(2))
    expect(markdown).toContain('**shard 2 of 4 left no report: what became of web02, web06, web10 is not known')
    expect(markdown).toContain('| 2/4 | ❓ no report | 3 servers |')
    expect(markdown).toContain('### web06')
    expect(markdown.split('### web06')[1]).toContain('shard 2 of 4 left no report: what was done here is not known')
    expect(annotations(without(2))[0]).toMatch(/^::error .*shard 2 of 4 left no report/)
  })

  it('counts as failed when its report stops before the end, and what it knows of its servers counts', () => {
    const cut = streamOf(events, { index: 2, of: 4 }, selection).slice(0, -2)
    const reports = shardReportsOf(events, 4).map(r => (r.shard.index === 2 ? readBack(reportOf(cut)) : r))
    const { state } = merge(some(reports))
    expect(state.result).toBe('failure')
    expect(state.error?.message).toContain('shard 2 of 4 did not come to an end')
    expect(outputs(state).succeeded).toBe(outputs(replay(events)).succeeded)
  })

  it('that ended before it had a plan has its servers pending, with what it ended with', () => {
    const [started] = streamOf(events, { index: 3, of: 4 }, selection)
    const refused: Event[] = [
      ...(started === undefined ? [] : [started]),
      {
        type: 'run-ended',
        result: 'failure',
        error: { message: 'web3: the lock is held', hint: 'wait' },
        at: 1_700_000_009_000,
      },
    ]
    const reports = shardReportsOf(events, 4).map(r => (r.shard.index === 3 ? readBack(reportOf(refused)) : r))
    const { state } = merge(some(reports))
    expect(state.error?.message).toContain('shard 3 of 4: web3: the lock is held')
    expect(state.error?.hint).toContain('wait')
    expect(JSON.parse(outputs(state).pending)).toEqual(its(3))
  })
})

describe('the result of the whole', () => {
  const of = (...results: Event[]) => {
    const names = results.map((_, i) => `web${i}`)
    const r = recording()
    begin(r, parallelPlan(names, 10))
    for (const name of names) r.emit(endedWith(name))
    const streams = results.map((end, i) => streamOf(r.events, { index: i + 1, of: results.length }, names).concat(end))
    return merge(some(streams.map(s => readBack(reportOf(s))))).state.result
  }
  const end = (result: 'success' | 'failure' | 'cancelled' | 'skipped'): Event => ({
    type: 'run-ended',
    result,
    at: 2e12,
  })

  it.each([
    [['success', 'success'], 'success'],
    [['success', 'failure'], 'failure'],
    [['cancelled', 'success'], 'cancelled'],
    [['cancelled', 'failure'], 'failure'],
    [['skipped', 'skipped'], 'skipped'],
    [['skipped', 'success'], 'success'],
  ] as const)('of %j is %s', (results, whole) => {
    expect(of(...results.map(end))).toBe(whole)
  })
})

describe('a merged summary', () => {
  it('stays under its limit for 5,000 servers in 8 shards, and keeps failures, shards and overview', {
    timeout: 300_000,
  }, () => {
    const markdown = summary(mergedOf(manyServers(5000), 8).state)
    expect(Buffer.byteLength(markdown)).toBeLessThanOrEqual(longestSummary)
    for (const heading of ['## Failures', '## Shards', '## Servers', '## Each server'])
      expect(markdown).toContain(heading)
    expect(markdown).toContain('| 8/8 |')
  })
})
