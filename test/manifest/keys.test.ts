import { describe, expect, it } from 'vitest'
import type { Manifest } from '../../src/manifest/manifest.ts'
import { problems, read } from './reading.ts'

const at = (manifest: Manifest, path: string): unknown =>
  path.split('.').reduce<unknown>((value, part) => (value as Record<string, unknown>)[part], manifest)

describe('every key is read', () => {
  it.each<[string, string, unknown]>([
    ['web_server: passenger-enterprise', 'web_server', 'passenger-enterprise'],
    ['shell: bash -l', 'shell', 'bash -l'],
    ['url: "https://x"', 'url', 'https://x'],
    ['release: {path: /srv/x}', 'release', { path: '/srv/x', exclude: [], shared: [], keep: 5 }],
    [
      'release: {path: /srv/x, source: out.tar.zst, exclude: "*.map", shared: [log/, .env], keep: 7}',
      'release',
      { path: '/srv/x', source: 'out.tar.zst', exclude: ['*.map'], shared: ['log/', '.env'], keep: 7 },
    ],
    ['env: {A: 1.10, B: , C: "", D: yes}', 'env', { A: '1.10', B: null, C: '', D: 'yes' }],
    ['secrets: TOKEN', 'secrets', ['TOKEN']],
    ['prepare: ["a\\nb", {run: c, name: d}]', 'prepare.0.name', 'a'],
    ['prepare: ["a\\nb", {run: c, name: d}]', 'prepare.1.name', 'd'],
    ['finalize: x', 'finalize.0.run', 'x'],
    ['cleanup: [x, y]', 'cleanup.1.run', 'y'],
    ['cleanup:', 'cleanup', []],
    [
      'activate: {run: x, roles: web, servers: "w*", once: true, env: {A: 1}, shell: sh, working_directory: /x, become: app, timeout: 5m, retry: 3, continue_on_error: true}',
      'activate.0',
      {
        run: 'x',
        name: 'x',
        roles: ['web'],
        servers: ['w*'],
        environments: [],
        once: true,
        with_previous: false,
        env: { A: '1' },
        shell: 'sh',
        working_directory: '/x',
        become: 'app',
        timeout: 300,
        retry: { attempts: 3, delay: 1 },
        continue_on_error: true,
      },
    ],
    ['activate: {run: x, retry: {attempts: 2, delay: 500ms}}', 'activate.0.retry', { attempts: 2, delay: 0.5 }],
    [
      'migrate: {run: x, roles: web, paths: [db/], env: {A: 1}, shell: sh, working_directory: /x, become: app, timeout: 2h}',
      'migrate',
      {
        run: 'x',
        name: 'x',
        roles: ['web'],
        paths: ['db/'],
        env: { A: '1' },
        shell: 'sh',
        working_directory: '/x',
        become: 'app',
        timeout: 7200,
      },
    ],
    [
      'verify: {http: {port: 3000, path: /up, scheme: https, host: h, method: HEAD, headers: {A: b}, follow_redirects: true, expect: {status: [200, 300-399], header: {C: d}, body: ok}}, interval: 2, request_timeout: 3s, timeout: 1m, healthy_for: 0.5, roles: web}',
      'verify.0',
      {
        http: {
          port: 3000,
          path: '/up',
          scheme: 'https',
          host: 'h',
          method: 'HEAD',
          headers: { A: 'b' },
          follow_redirects: true,
          expect: {
            status: [
              { from: 200, to: 200 },
              { from: 300, to: 399 },
            ],
            header: { C: 'd' },
            body: 'ok',
          },
        },
        interval: 2,
        request_timeout: 3,
        timeout: 60,
        healthy_for: 0.5,
        roles: ['web'],
      },
    ],
    [
      'verify: {http: {}}',
      'verify.0',
      {
        http: {
          port: 80,
          path: '/',
          scheme: 'http',
          method: 'GET',
          headers: {},
          follow_redirects: false,
          expect: { status: [{ from: 200, to: 299 }], header: {} },
        },
        interval: 1,
        request_timeout: 5,
        timeout: 30,
        healthy_for: 0,
        roles: [],
      },
    ],
    ['verify: {tcp: {port: 5}}', 'verify.0.tcp', { port: 5 }],
    ['verify: {command: "x"}', 'verify.0.command', 'x'],
    [
      'rollout: {strategy: parallel, min_in_service: 25%, max_parallelism: 3, groups: {roles: web, strategy: serial}}',
      'rollout',
      {
        strategy: 'parallel',
        min_in_service: { percent: 25 },
        max_parallelism: 3,
        concurrent_steps: false,
        on_failure: 'stop',
        max_failures: { count: 1 },
        unreachable: 'fail',
        lock_wait: 0,
        groups: [{ roles: ['web'], strategy: 'serial' }],
      },
    ],
    [
      'load_balancers: {e: {provider: haproxy, backends: b, hosts: h, socket: /s, roles: web, member: m, wait_after_removing_servers: 10, wait_after_adding_servers: 5, drain_timeout: 1m, on_drain_timeout: force, add_timeout: 2m, min_in_service: 2}}',
      'load_balancers.e',
      expect.objectContaining({
        provider: 'haproxy',
        backends: ['b'],
        socket: '/s',
        roles: ['web'],
        member: 'm',
        wait_after_removing_servers: 10,
        wait_after_adding_servers: 5,
        drain_timeout: 60,
        on_drain_timeout: 'force',
        add_timeout: 120,
        min_in_service: { count: 2 },
      }),
    ],
    [
      'load_balancers: {e: {provider: haproxy, backends: b, address: "tcp://h:1"}}',
      'load_balancers.e',
      {
        provider: 'haproxy',
        backends: ['b'],
        address: 'tcp://h:1',
        hosts: [],
        socket: '/run/haproxy/admin.sock',
        roles: [],
        on_drain_timeout: 'continue',
      },
    ],
    [
      'load_balancers: {e: {provider: command, remove: r, drained: d, add: a, serving: s}}',
      'load_balancers.e',
      {
        provider: 'command',
        remove: 'r',
        drained: 'd',
        add: 'a',
        serving: 's',
        on: 'runner',
        roles: [],
        on_drain_timeout: 'continue',
      },
    ],
  ])('%s', (text, path, expected) => expect(at(read(text), path)).toEqual(expected))
})

describe('the keys of what is not supported yet are checked all the same', () => {
  const other = (text: string) => problems(text).filter(p => !p.includes('is not supported yet'))
  it.each([
    'rollout: {batch: [1, 25%, 100%], hold: {for: 5m, check: {tcp: {port: 1}}}, on_failure: rollback, max_failures: 10%, unreachable: skip, lock_wait: 5m, concurrent_steps: true}',
    'load_balancers: {e: {provider: nginx, hosts: h, file: /f, reload: x, become: root}}',
    'load_balancers: {e: {provider: caddy, hosts: h, id: app, admin: "127.0.0.1:2019"}}',
    'load_balancers: {e: {provider: apache, hosts: h, balancer: app, path: /m}}',
    'load_balancers: {e: {provider: aws-target-group, target_groups: [arn]}}',
    'load_balancers: {e: {provider: aws-classic, load_balancers: lb, region: eu-west-1}}',
    'load_balancers: {e: {provider: gcp, instance_group: g, backend_service: b, project: p, zone: z}}',
    'load_balancers: {e: {provider: azure, backend_pool: p}}',
    'load_balancers: {e: {provider: digitalocean, load_balancer: 1}}',
    'load_balancers: {e: {provider: hetzner, load_balancer: 1}}',
    'load_balancers: {e: {provider: linode, nodebalancer: 1, configs: [2]}}',
    'load_balancers: {e: {provider: cloudflare, account: a, pools: [p]}}',
    'load_balancers: {e: {provider: health-file, path: /f, detect: 5, down_when: present}}',
    'load_balancers: {e: {provider: haproxy, backends: b, hosts: h, confirm: {port: 1, quiet_for: 2s, traffic_within: 60s}}}',
  ])('%s', text => expect(other(text)).toEqual([]))
  it.each([
    [
      'rollout: {batch: [0]}',
      '4:19 rollout.batch[0]: at least 1, or 1%, is expected, not "0" → for example: batch: [1,"25%","100%"]',
    ],
    [
      'rollout: {hold: {check: {tcp: {port: 1}}}}',
      '4:11 "for" is missing in rollout.hold → How long the servers done must stay good. for example: for: 5m',
    ],
    [
      'rollout: {hold: {for: 1, check: {}}}',
      '4:33 rollout.hold.check: a check has exactly one of http, tcp and command → for example: verify: {http: {port: 3000, path: /up}}; several checks are a list',
    ],
    [
      'load_balancers: {e: {provider: nginx, file: /f}}',
      '4:18 "hosts" is missing in load_balancers.e → The balancer\'s own hosts, in the form of `servers`. for example: hosts: ["10.0.0.2"]',
    ],
    [
      'load_balancers: {e: {provider: gcp, backend_service: b, project: p, zone: z}}',
      '4:21 load_balancers.e: exactly one of instance_group and network_endpoint_group is expected → keep the one the servers are in',
    ],
    [
      'load_balancers: {e: {provider: haproxy, backends: b, hosts: h, wait_after_adding_servers: 2h}}',
      '4:91 load_balancers.e.wait_after_adding_servers: at most 1h is expected, not "2h" → for example: wait_after_adding_servers: 5',
    ],
  ])('%s', (text, expected) => expect(other(text)).toEqual([expected]))
})
