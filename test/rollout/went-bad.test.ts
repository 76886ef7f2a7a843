/** What is done about a server that went bad while it was held, under a virtual clock. */
import { describe, expect, it } from 'vitest'
import { haproxy } from '../plan/manifests.ts'
import { edge, type Interval, newRelease, oldRelease, type Ran, run, servers, step } from './virtual-deployment.ts'

const of = (all: readonly Interval[], name: string) => all.filter(i => i.step === name)

describe('a server that went bad in a hold', () => {
  const bad = (from: number) => ({
    verify: (server: string, release: string, now: number) =>
      !(server === 'web1' && release === newRelease && now > from),
  })
  const canary = { strategy: 'rolling', batch: ['1', '100%'], hold: '60s' }
  const slow = { load_balancers: { edge: haproxy(['web'], { wait_after_removing_servers: '30' }) } }
  const act = { activate: step('act'), verify: { command: 'ok' } }
  const ofServer = (ran: Ran, name: string) => ran.events.findLast(e => e.type === 'server-ended' && e.server === name)

  it('is told as failed and out when the run is cancelled while it is taken out', async () => {
    const ran = await run(
      { servers: servers(3), keys: { ...slow, ...act, rollout: canary } },
      { ...bad(40), cancelAt: 60 },
    )
    expect(ran.rotation['web1']).toBe('out')
    expect(ofServer(ran, 'web1')).toMatchObject({ outcome: 'failed', leftOut: true, rotation: 'unknown' })
  })
  it('is told as failed when it cannot be taken out, for the balancer does not answer', async () => {
    const hold = { for: '60s', check: { command: 'ok' } }
    const ran = await run(
      { servers: servers(3), keys: { ...edge, ...act, rollout: { ...canary, hold } } },
      { ...bad(20), balancerGoneFrom: 20 },
    )
    expect(ran.outcomes).toEqual({ web1: 'failed', web2: 'pending', web3: 'pending' })
  })
  it('is taken out also when it was skipped as done before', async () => {
    const before = {
      deployment: 'x',
      command: 'deploy',
      previous: oldRelease,
      commit: null,
      strategy: 'rolling',
      rotation: 'in',
      run: null,
      actor: null,
    }
    const ran = await run(
      { servers: servers(3), keys: { ...edge, ...act, rollout: { ...canary, batch: ['2', '100%'] } } },
      {
        ...bad(20),
        probe: server =>
          server === 'web1'
            ? {
                current: newRelease,
                history: [{ ...before, release: newRelease, outcome: 'succeeded', result: 'failure', at: 1 }],
              }
            : {},
      },
    )
    expect([ran.outcomes['web1'], ran.rotation['web1']]).toEqual(['failed', 'out'])
  })
  it('goes back first of all, also when its group is not the last', async () => {
    const ran = await run(
      {
        servers: [
          { name: 'web1', roles: ['web', 'a'] },
          { name: 'web2', roles: ['web', 'b'] },
          { name: 'web3', roles: ['web', 'b'] },
        ],
        keys: {
          ...edge,
          ...act,
          rollout: {
            min_in_service: '2',
            on_failure: 'rollback',
            groups: [
              { roles: ['a'], strategy: 'rolling' },
              { roles: ['b'], ...canary },
            ],
          },
        },
      },
      bad(20),
    )
    expect(ran.releases).toEqual({ web1: oldRelease, web2: oldRelease, web3: oldRelease })
    expect(
      of(ran.intervals, 'act')
        .filter(i => i.release === oldRelease)
        .map(i => i.server),
    ).toEqual(['web1', 'web2'])
  })
  it('who may not leave on the way back keeps nobody else from going back', async () => {
    const ran = await run(
      {
        servers: [...servers(4), { name: 'job1', roles: ['worker'] }],
        keys: { ...edge, ...act, rollout: { strategy: 'serial', min_in_service: '2', on_failure: 'rollback' } },
      },
      {
        step: (_, server, release) => ({ seconds: 5, fails: server === 'job1' && release === newRelease }),
        sickFrom: { web1: 22, web2: 22 },
      },
    )
    expect(ran.outcomes['job1']).toBe('rolled-back')
    expect(Object.values(ran.outcomes)).not.toContain('succeeded')
  })
})
