import { describe, expect, it } from 'vitest'
import { endOf } from '../../src/github/record-words.ts'
import { annotations } from '../../src/report/annotations.ts'
import { merge, type Report } from '../../src/report/merge.ts'
import { outputs } from '../../src/report/outputs.ts'
import { recap } from '../../src/report/recap.ts'
import { newServer, type ServerState } from '../../src/report/server-state.ts'
import type { ReportState } from '../../src/report/state.ts'
import { summary } from '../../src/report/summary.ts'
import { begin, endedWith, finish, parallelPlan, recording } from './recorded.ts'
import { shardReportsOf, some } from './shards-of.ts'

const names = ['web1', 'web2', 'web3', 'web4', 'web5', 'web6']

function good(of: number): readonly Report[] {
  const r = recording()
  begin(r, parallelPlan(names, 10))
  for (const name of names) r.emit(endedWith(name))
  return shardReportsOf(finish(r, 'success'), of)
}

type Ended = NonNullable<ServerState['ended']>
/** The report with other ends of some of its servers. */
const ends = (report: Report, some: Readonly<Record<string, Partial<Ended>>>): Report => ({
  ...report,
  servers: new Map(
    [...report.servers].map(([name, s]) => [
      name,
      s.ended && some[name] ? { ...s, ended: { ...s.ended, ...some[name] } } : s,
    ]),
  ),
})
const merged = (reports: readonly Report[]) => merge(some(reports)).state
const change = (reports: readonly Report[], index: number, to: (report: Report) => Report) =>
  reports.map(r => (r.shard.index === index ? to(r) : r))
const listsOf = (state: ReportState) => {
  const out = outputs(state)
  const six = ['succeeded', 'skipped', 'failed', 'rolled-back', 'pending', 'unreachable'] as const
  return six.flatMap(kind => JSON.parse(out[kind]) as string[])
}

const build = (report: Report, id: string): Report => {
  const release = report.plan?.release
  return report.plan && release ? { ...report, plan: { ...report.plan, release: { ...release, id } } } : report
}

describe('shards that deployed different builds', () => {
  const mixed = good(4).map(r => build(r, r.shard.index === 3 ? 'bbb' : 'aaa'))

  it('are a failure that names them, with every selected server in exactly one list', () => {
    const state = merged(change(mixed, 2, r => ({ ...ends(r, { web2: { outcome: 'failed' } }), result: 'failure' })))
    expect(state.result).toBe('failure')
    expect(state.error?.message).toContain(
      'shards deployed different builds: shards [1-2], 4 of 4: aaa, shard 3 of 4: bbb',
    )
    expect(state.error?.hint).toContain('build once and hand it on as an artifact, then deploy again')
    expect(listsOf(state).toSorted()).toEqual(names)
    expect(outputs(state).retry).toBe('["web2"]')
    expect(summary(state)).toContain('shards deployed different builds')
  })

  it('are a failure also when each did well, and no build is said to be the release', () => {
    expect(merged(mixed).result).toBe('failure')
    expect(outputs(merged(mixed)).release).toBe('')
    expect(outputs(merged(good(4))).release).not.toBe('')
  })
})

describe('a shard that says success', () => {
  it.each(['failed', 'rolled-back', 'pending'] as const)('and has a server that is %s, failed', outcome => {
    const state = merged(change(good(3), 2, r => ends(r, { web2: { outcome } })))
    expect(state.result).toBe('failure')
    expect(state.shards?.map(s => s.result)).toEqual(['success', 'failure', 'success'])
    expect(state.error?.message).toBe('shard 2 of 3 reports success, against what it says of web2')
    expect(JSON.parse(outputs(state).retry)).toEqual(['web2'])
  })

  it('and says nothing of one of its servers, failed', () => {
    const state = merged(change(good(3), 2, r => ({ ...r, servers: new Map([...r.servers].slice(1)) })))
    expect(state.result).toBe('failure')
    expect(state.error?.message).toContain('against what it says of web2')
  })

  it('and skipped what it could not reach is taken at its word, but not where that is every server of all shards', () => {
    const gone = { outcome: 'unreachable' } as const
    const one = merged(change(good(3), 2, r => ends(r, { web2: gone, web5: gone })))
    expect(one.result).toBe('success')
    const all = merged(good(3).map(r => ends(r, Object.fromEntries(names.map(name => [name, gone])))))
    expect(all.result).toBe('failure')
    expect(all.error?.message).toBe('none of the selected servers could be reached')
    expect(JSON.parse(outputs(all).retry)).toEqual(names)
    const cancelled = good(3).map(r => ends(r, Object.fromEntries(names.map(name => [name, gone]))))
    expect(merged(cancelled.map(r => ({ ...r, result: 'cancelled' as const }))).result).toBe('cancelled')
  })
})

describe('servers outside of the selection', () => {
  it('are named, a failure, and in no list', () => {
    const state = merged(
      change(good(3), 1, r => {
        const web1 = r.servers.get('web1') ?? newServer('web1')
        return { ...r, servers: new Map([...r.servers, ['stranger', { ...web1, name: 'stranger' }]]) }
      }),
    )
    expect(state.result).toBe('failure')
    expect(state.error?.message).toBe('shard 1 of 3 reports on servers that are not selected: stranger')
    expect(listsOf(state).toSorted()).toEqual(names)
  })

  it('of which only a warning tells are no failure, and in no list', () => {
    const state = merged(
      change(good(3), 1, r => ({ ...r, servers: new Map([...r.servers, ['lead', newServer('lead')]]) })),
    )
    expect(state.result).toBe('success')
    expect(listsOf(state).toSorted()).toEqual(names)
  })
})

describe('servers that are out as a shard is cancelled or killed', () => {
  const out = { outcome: 'failed', rotation: 'out', leftOut: true, putBack: 'put web2 back' } as const
  /** A minute before it ended. */
  const removed = (report: Report, name: string): Report => {
    const server = report.servers.get(name) ?? newServer(name)
    const at = (server.ended?.at ?? 0) - 60_000
    const away = { at, balancer: 'edge', what: 'removed', seconds: 0 } as const
    return { ...report, servers: new Map([...report.servers, [name, { ...server, balancers: [away] }]]) }
  }
  const failure = { stage: 'activating', message: 'the run was cancelled (SIGTERM)' }
  const stateOf = (result: Report['result']) =>
    merged(change(good(3), 2, r => ({ ...removed(ends(r, { web2: { ...out, failure } }), 'web2'), result })))

  it.each(['cancelled', null] as const)('(%s) are told of as of before its post step, without a command', result => {
    const state = stateOf(result)
    const markdown = summary(state)
    expect(markdown).not.toMatch(/🚨|still out/)
    expect(endOf(state).description).not.toContain('left out')
    expect(markdown).toContain('as of before its post step, which brings such servers to an end')
    expect(markdown).toContain('ask the command <code>status</code>')
    const said = [markdown, ...annotations(state), ...recap(state).map(line => line.text)].join('\n')
    expect(said).not.toContain('put web2 back')
    expect(said).not.toMatch(/left out of rotation/i)
    expect(annotations(state).join('\n')).toContain('ask the command status')
    expect(outputs(state)['left-out']).toBe('["web2"]')
  })

  it('and those of a shard that came to its end keep the loud line and the command', () => {
    expect(summary(stateOf('failure'))).toContain('🚨 1 server is left out of rotation')
    expect(summary(stateOf('failure'))).toContain('put web2 back')
    expect(summary(stateOf('failure'))).toContain('still out')
    expect(endOf(stateOf('failure')).description).toContain('left out: web2')
  })
})

describe('what many shards end with alike', () => {
  const refused = (text: (name: string) => string) =>
    merged(
      good(3).map(r => ({
        ...r,
        plan: null,
        servers: new Map(),
        result: 'failure' as const,
        error: { message: text(`shard ${r.shard.index} of 3`), hint: 'take them from matrix' },
      })),
    ).error

  it.each([
    [(n: string) => `${n}: there may be one shard at most`, 'there may be one shard at most'],
    [
      (n: string) => `a migration has to run, and a shard runs none (${n})`,
      'a migration has to run, and a shard runs none',
    ],
    [(n: string) => `rollback in ${n} needs the input release`, 'rollback in a shard needs the input release'],
  ])('is said once, although each names itself', (text, once) => {
    expect(refused(text)).toEqual({ message: `shards [1-3] of 3: ${once}`, hint: 'take them from matrix' })
  })
})

describe('times that were made up', () => {
  it('make no duration below zero', () => {
    const state = merged(change(good(3), 1, r => ({ ...r, startedAt: 4e12, lastAt: 1000 })))
    expect(state.shards?.[0]?.seconds).toBe(0)
    expect(summary(state)).not.toMatch(/ -\d|Infinity|NaN/)
  })
})
