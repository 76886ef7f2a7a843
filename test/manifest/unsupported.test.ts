import { describe, expect, it } from 'vitest'
import { problems } from './reading.ts'

describe('what is not supported yet', () => {
  it.each([
    [
      'previews: {servers: d@p, release: {path: "/srv/${{ pull_request.number }}"}}',
      '4:1 previews is not supported yet → leave it out',
    ],
  ])('is refused where it stands: %s', (text, expected) => expect(problems(text)).toEqual([expected]))

  it.each([
    [
      'rollout: {strategy: rolling, batch: [1, 50%], hold: {for: 5m, check: {tcp: {port: 1}}}, concurrent_steps: true, on_failure: rollback, max_failures: 100%, unreachable: skip, lock_wait: 5m}',
    ],
    ['rollout: {strategy: parallel, lock_wait: 0, groups: [{roles: web, strategy: rolling, batch: 1, hold: 1}]}'],
    ['activate: [x, {run: y, with_previous: true}]'],
    [
      'load_balancers: {a: {provider: haproxy, backends: b, address: "tcp://h:1"}, b: {provider: command, remove: r, drained: d, add: a, serving: s}}',
    ],
    ['release: {path: /srv/x, source: a.tar.zst}'],
    [
      'load_balancers: {e: {provider: haproxy, backends: b, hosts: h, confirm: {port: 1, quiet_for: 0, traffic_within: 60s}}}',
    ],
  ])('is not what is: %s', text => expect(problems(text)).toEqual([]))

  it('is said once, however many environments there are', () => {
    const previews = 'previews: {servers: d@p, release: {path: "/srv/${{ pull_request.number }}"}}'
    expect(problems(`${previews}\nenvironments: {a: {}, b: {}}`)).toHaveLength(1)
  })
})
