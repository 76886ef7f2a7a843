import { describe, expect, it } from 'vitest'
import { confirmTexts } from '../../src/plan/confirms.ts'
import { haproxy, manifest } from './manifests.ts'

const file = { provider: 'health-file', path: '/srv/up', detect: '5s' }
const ocean = { provider: 'digitalocean', load_balancer: '1' }
const http = { http: { port: '3000' } }

function texts(
  balancer: Record<string, unknown>,
  verify: unknown = [],
  roles: readonly (readonly string[])[] = [[], []],
) {
  const m = manifest({
    servers: roles.map((r, i) => ({ name: `web${i + 1}`, roles: r })),
    keys: { load_balancers: { edge: balancer }, verify },
  })
  return confirmTexts(
    m,
    m.servers.map(s => ({ name: s.name, balancers: ['edge'] })),
  )
}

describe('the plan says which confirm is in force', () => {
  it('as it is written', () =>
    expect(texts({ ...haproxy(), confirm: { port: '3000', quiet_for: '5s', traffic_within: '60s' } })).toEqual([
      'edge: each server watches its own traffic (confirm): it counts as drained only when no traffic arrived at port 3000 for 5 s; traffic at port 3000 is waited for 60 s at most after it serves, and its absence is a warning.',
    ]))
  it('as the default is, where the balancer cannot tell', () =>
    expect(texts(file, http)).toEqual([
      'edge: each server watches its own traffic, for health-file cannot tell that nothing arrives any more (default 2 s, at the port that verify asks): it counts as drained only when no traffic arrived at port 3000 for 2 s.',
    ]))
  it('with the port of each server’s own check', () => {
    const checks = [
      { roles: ['a'], tcp: { port: '1' } },
      { roles: ['b'], ...http },
    ]
    expect(texts(ocean, checks, [['a'], ['b']]).join()).toContain('at its port (1, 3000) for 2 s')
  })
  it('and that there is none', () => {
    expect(texts(ocean).join()).toContain('write load_balancers.edge.confirm.port')
    expect(texts({ ...ocean, confirm: { quiet_for: '0' } }, http)).toEqual([
      'edge: nothing is confirmed by the servers (quiet_for: 0).',
    ])
    expect(texts(haproxy(), http)).toEqual([])
  })
})
