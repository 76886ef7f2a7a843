import { describe, expect, it } from 'vitest'
import { providerNames } from '../../src/manifest/schema.ts'
import { base, problems, problemsIn } from './reading.ts'

describe('what is not supported yet', () => {
  it.each([
    ['rollout: {strategy: rolling}', '4:11 rollout.strategy: rolling is not supported yet → use serial or parallel'],
    ['rollout: {batch: 50%}', '4:11 rollout.batch is not supported yet → leave it out'],
    ['rollout: {hold: 30s}', '4:11 rollout.hold is not supported yet → leave it out'],
    ['rollout: {hold: {for: 5m, check: {tcp: {port: 1}}}}', '4:11 rollout.hold is not supported yet → leave it out'],
    [
      'rollout: {groups: {roles: web, strategy: rolling}}',
      '4:32 rollout.groups[0].strategy: rolling is not supported yet → use serial or parallel',
    ],
    ['rollout: {groups: [{roles: web, batch: 1}]}', '4:33 rollout.groups[0].batch is not supported yet → leave it out'],
    ['rollout: {groups: [{roles: web, hold: 1}]}', '4:33 rollout.groups[0].hold is not supported yet → leave it out'],
    [
      'rollout: {concurrent_steps: true}',
      '4:11 rollout.concurrent_steps: true is not supported yet → steps of one server run one at a time',
    ],
    [
      'activate: [x, {run: y, with_previous: true}]',
      '4:24 activate[1].with_previous: true is not supported yet → steps run one after the other',
    ],
    [
      'load_balancers: {e: {provider: hetzner, load_balancer: 1}}',
      '4:22 load_balancers.e.provider: hetzner is not supported yet → use haproxy or command',
    ],
    [
      'load_balancers: {e: {provider: haproxy, backends: b, hosts: h, confirm: {quiet_for: 1}}}',
      '4:64 load_balancers.e.confirm is not supported yet → leave it out',
    ],
    [
      'previews: {servers: d@p, release: {path: "/srv/${{ pull_request.number }}"}}',
      '4:1 previews is not supported yet → leave it out',
    ],
  ])('is refused where it stands: %s', (text, expected) => expect(problems(text)).toEqual([expected]))

  it.each([
    [
      'rollout: {strategy: serial, concurrent_steps: false, on_failure: rollback, max_failures: 100%, unreachable: skip, lock_wait: 5m}',
    ],
    ['rollout: {strategy: parallel, lock_wait: 0, groups: [{roles: web, strategy: parallel}]}'],
    ['activate: [x, {run: y, with_previous: false}]'],
    [
      'load_balancers: {a: {provider: haproxy, backends: b, address: "tcp://h:1"}, b: {provider: command, remove: r, drained: d, add: a, serving: s}}',
    ],
    ['release: {path: /srv/x, source: a.tar.zst}'],
  ])('is not what is: %s', text => expect(problems(text)).toEqual([]))

  it('covers every provider that there is no code for', () => {
    const refused = providerNames.filter(name =>
      problems(`load_balancers: {e: {provider: ${name}}}`).some(p => p.includes('is not supported yet')),
    )
    expect(refused).toEqual(providerNames.filter(name => name !== 'haproxy' && name !== 'command'))
  })
  it('is said once, of an environment only where it is used', () => {
    expect(problems('rollout: {strategy: rolling}\nenvironments: {a: {}, b: {}}')).toHaveLength(1)
    expect(
      problemsIn(`${base}rollout: {strategy: rolling}\nenvironments: {a: {}, b: {rollout: {strategy: serial}}}`),
    ).toEqual(['4:11 rollout.strategy: rolling is not supported yet (in a) → use serial or parallel'])
    expect(problems('rollout: {strategy: rolling}\nenvironments: {b: {rollout: {strategy: null}}}')).toEqual([])
  })
})
