import { describe, expect, it } from 'vitest'
import { outputNames, outputs } from '../../src/report/outputs.ts'
import { outOfRotation, secondsOut } from '../../src/report/server-state.ts'
import { emptyState, replay } from '../../src/report/state.ts'
import {
  begin,
  cancelledRun,
  endedWith,
  finish,
  leftOutRun,
  manyServers,
  parallelFailure,
  planOf,
  recording,
  release,
  serialSuccess,
  takeOut,
} from './recorded.ts'

const six = ['succeeded', 'skipped', 'failed', 'rolled-back', 'pending', 'unreachable'] as const
const runs = {
  serialSuccess: serialSuccess(),
  leftOutRun: leftOutRun(),
  parallelFailure: parallelFailure(),
  cancelledRun: cancelledRun(),
  many: manyServers(300),
}

describe('outputs', () => {
  it('name each selected server in exactly one of the six outcomes, at every moment of every run', () => {
    for (const events of Object.values(runs)) {
      const selected = events.flatMap(e => (e.type === 'planned' ? e.plan.servers.map(s => s.name) : [])).sort()
      for (const n of [5, 20, 60, events.length]) {
        const state = replay(events.slice(0, n))
        if (!state.plan) continue
        const out = outputs(state)
        const named = six.flatMap(name => JSON.parse(out[name]) as string[])
        expect(named.sort()).toEqual(selected)
      }
    }
  })

  it('say how a serial success ran', () => {
    expect(outputs(replay(serialSuccess()))).toEqual({
      result: 'success',
      strategy: 'serial',
      migrate: 'false',
      release,
      url: 'https://storefront.example.com',
      succeeded: '["web1","web2","db1"]',
      skipped: '[]',
      failed: '[]',
      'rolled-back': '[]',
      pending: '[]',
      unreachable: '[]',
      'left-out': '[]',
      'kept-out': '[]',
      retry: '[]',
    })
  })

  it('name left-out servers, and in retry all that a next run has to do', () => {
    expect(outputs(replay(leftOutRun()))).toMatchObject({
      result: 'failure',
      succeeded: '["web1"]',
      failed: '["web2"]',
      pending: '["web3"]',
      'left-out': '["web2"]',
      retry: '["web2","web3"]',
    })
    expect(outputs(replay(parallelFailure()))).toMatchObject({
      'rolled-back': '["web2"]',
      succeeded: '["web1","web3"]',
      retry: '["web2"]',
    })
  })

  it('count a server that was cut off in the middle as failed, one that was not begun as pending', () => {
    expect(outputs(replay(cancelledRun()))).toMatchObject({
      result: 'cancelled',
      failed: '["web1"]',
      pending: '["web2"]',
      retry: '["web1","web2"]',
    })
  })

  it('claim no success before the end', () => {
    expect(outputs(replay(serialSuccess().slice(0, -1))).result).toBe('failure')
    const empty = outputs(emptyState)
    expect(Object.keys(empty)).toEqual([...outputNames])
    expect(empty).toMatchObject({
      result: 'failure',
      strategy: '',
      migrate: '',
      release: '',
      url: '',
      succeeded: '[]',
      retry: '[]',
    })
  })

  it('name servers that ended before there was a plan', () => {
    const r = recording()
    r.emit({ type: 'run-started', command: 'deploy', manifest: 'deploy.yml', runUrl: null })
    r.emit(endedWith('web9', { outcome: 'unreachable', rotation: 'unknown', release: null, previous: null }))
    expect(outputs(replay(finish(r, 'failure')))).toMatchObject({ unreachable: '["web9"]', retry: '["web9"]' })
  })

  it('do not name a server that something was only said about: it may not be selected', () => {
    const r = recording()
    begin(r, planOf(['web1']))
    const text = 'the waits in force were not stored there'
    r.emit({ type: 'message', level: 'warning', server: 'lead', text })
    r.emit(endedWith('web1', {}))
    const state = replay(finish(r, 'success'))
    expect(state.messages).toMatchObject([{ server: 'lead', text }])
    expect(outputs(state)).toMatchObject({ succeeded: '["web1"]', pending: '[]', retry: '[]' })
  })

  it('name kept-out servers', () => {
    const r = recording()
    begin(r, planOf(['web1']))
    r.emit(endedWith('web1', { rotation: 'out', keptOut: true }))
    expect(outputs(replay(finish(r, 'success')))).toMatchObject({
      'kept-out': '["web1"]',
      'left-out': '[]',
      succeeded: '["web1"]',
      retry: '[]',
    })
  })
})

describe('the state', () => {
  it('is the same for a stream replayed from its JSON', () => {
    for (const events of Object.values(runs))
      expect(replay(JSON.parse(JSON.stringify(events)) as typeof events)).toEqual(replay(events))
  })

  it('does not change behind the back of who holds it', () => {
    const events = serialSuccess()
    const early = replay(events.slice(0, 20))
    const copy = structuredClone(early)
    replay(events)
    expect(early).toEqual(copy)
  })

  it('keeps the end of what a running step printed', () => {
    const web2 = replay(leftOutRun()).servers.get('web2')
    expect(web2?.steps.map(step => [step.phase, step.outcome, step.seconds])).toEqual([
      ['prepare', 'ok', 2],
      ['activate', 'ok', 2],
    ])
    expect(web2?.steps.at(-1)?.tail).toContain('KeyError')
  })

  it('tells how long a server was out of rotation: from removed to serving at every balancer', () => {
    const r = recording(0)
    begin(r, planOf(['web1']))
    const said = (balancer: string, what: 'removed' | 'serving') =>
      r.emit({ type: 'balancer', server: 'web1', balancer, what, seconds: 0 })
    r.pass(0.8)
    said('a', 'removed')
    r.pass(1)
    said('b', 'removed')
    r.pass(5)
    said('b', 'serving')
    r.pass(2)
    said('a', 'serving')
    const server = replay(r.events).servers.get('web1')!
    expect(outOfRotation(server)).toEqual([{ from: 2000, to: 10_000 }])
    expect(secondsOut(server, 99_000)).toBe(8)
  })

  it('lets a server that never came back be out until now', () => {
    const r = recording(0)
    begin(r, planOf(['web1']))
    takeOut(r, 'web1')
    const server = replay(r.events).servers.get('web1')!
    expect(outOfRotation(server)).toEqual([{ from: 1500, to: null }])
    expect(secondsOut(server, 61_500)).toBe(60)
  })
})
