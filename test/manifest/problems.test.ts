import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManifestError } from '../../src/errors.ts'
import { editDistance, nearest } from '../../src/manifest/nearest.ts'
import { formatProblem } from '../../src/manifest/problems.ts'
import { readAllEnvironments } from '../../src/manifest/read.ts'
import { base, problems } from './reading.ts'

const shown = (text: string): readonly string[] => {
  try {
    readAllEnvironments({ file: 'deploy.yml', text })
    return []
  } catch (error) {
    return error instanceof ManifestError ? [error.message, ...error.problems.map(formatProblem)] : [String(error)]
  }
}

describe('a problem', () => {
  it('is shown with its line, a caret and what to write instead', () =>
    expect(shown(`${base}rollout:\n  max_paralelism: 3\n`)).toEqual([
      'deploy.yml has a problem',
      `deploy.yml:5:3: unknown key "max_paralelism" in rollout
 5 |   max_paralelism: 3
   |   ^
   = did you mean "max_parallelism"? known: strategy, batch, hold, min_in_service, max_parallelism, concurrent_steps, on_failure, max_failures, unreachable, lock_wait, groups`,
    ]))
  it('has its caret below its character in lines with tabs', () =>
    expect(formatProblem({ file: 'f', line: 12, column: 4, source: 'a\t: x', message: 'm' })).toBe(
      'f:12:4: m\n 12 | a\t: x\n    |  \t ^',
    ))
  it('in a line without end shows the part around it', () => {
    const text = formatProblem({
      file: 'f',
      line: 1,
      column: 501,
      source: `${'a'.repeat(500)}X${'b'.repeat(500)}`,
      message: 'm',
    })
    const [, line = '', caret = ''] = text.split('\n')
    expect(line.length).toBeLessThan(140)
    expect(line[caret.indexOf('^')]).toBe('X')
    expect(line).toMatch(/\| …a+Xb+…$/)
  })
  it('always has its caret below its character', () =>
    fc.assert(
      fc.property(
        fc.string({ maxLength: 300 }).filter(s => !s.includes('…') && !s.includes('\t')),
        fc.nat(299),
        (rest, at) => {
          const source = `${rest.slice(0, at)}…${rest.slice(at)}`
          const column = source.indexOf('…') + 1
          const [, line = '', caret = ''] = formatProblem({
            file: 'f',
            line: 1,
            column,
            source: source.replace('…', 'X'),
            message: 'm',
          }).split('\n')
          expect(line[caret.length - 1]).toBe('X')
        },
      ),
    ))
})

describe('all problems of a file', () => {
  it('come at once, in the order of the file', () =>
    expect(
      problems(
        'shell: zsh\nrelease: {path: srv, keep: 0}\nactivate:\n  - {rum: x}\n  - run: y\n    once: yes\nverify: {http: {port: x}, tcp: {port: 1}}\nload_balancers: {e: {provider: haproxi}, f: {provider: haproxy, hosts: [h]}}',
      ).map(p => p.split(' → ')[0]),
    ).toEqual([
      '4:8 shell: one of bash, sh, bash -l is expected, not "zsh"',
      '5:17 release.path: an absolute path is expected, not "srv"',
      '5:28 release.keep: a whole number from 1 to 1000 is expected, not "0"',
      '7:6 unknown key "rum" in activate[0]',
      '9:11 activate[1].once: true or false is expected, not "yes"',
      '10:9 verify[0]: a check has exactly one of http, tcp and command',
      '10:23 verify[0].http.port: a whole number is expected, not "x"',
      '11:32 load_balancers.e.provider: a known one is expected, not "haproxi"',
      '11:42 "backends" is missing in load_balancers.f',
    ]))
  it('a misspelt key and the missing one are one mistake', () => {
    expect(problems('activate: [{runn: x}]')).toHaveLength(1)
    expect(problems('activate: [{shell: sh}]')).toEqual([
      '4:12 "run" is missing in activate[0] → The script. A non-zero exit fails the step. Never interpolated: it reads environment variables. for example: run: sudo systemctl restart app',
    ])
  })
})

describe('what to write instead', () => {
  it.each([
    ['activate: {run: x, once: yes}', '4:26 activate[0].once: true or false is expected, not "yes" → write true'],
    ['activate: {run: x, once: off}', '4:26 activate[0].once: true or false is expected, not "off" → write false'],
    ['activate: {run: x, once: 2}', '4:26 activate[0].once: true or false is expected, not "2" → write true or false'],
    [
      'activate: {run: x, timeout: 5 min}',
      '4:29 activate[0].timeout: a duration is expected: a number of seconds, or 90s, 2m, 1h, not "5 min" → After this the remote process group is ended and the step has failed.',
    ],
    [
      'activate: {run: x, timeout: 0}',
      '4:29 activate[0].timeout: more than 0 is expected, not "0" → After this the remote process group is ended and the step has failed.',
    ],
    [
      'activate: {run: x, timeout: 1000h}',
      '4:29 activate[0].timeout: at most 168h is expected, not "1000h" → After this the remote process group is ended and the step has failed.',
    ],
    [
      'activate: {run: x, retry: {delay: 1}}',
      '4:20 "attempts" is missing in activate[0].retry → How often the step is tried in all. for example: attempts: 3',
    ],
    [
      'activate: {run: x, retry: never}',
      '4:27 activate[0].retry: a whole number is expected, not "never" → for example: retry: 3',
    ],
    ['activate: {run: x, retry: [1]}', '4:27 activate[0].retry: a whole number is expected → for example: retry: 3'],
    [
      'activate: {run: }',
      '4:12 activate[0].run: a text is expected, nothing stands here → write a value, or remove the key',
    ],
    [
      'activate: {run: ""}',
      '4:17 activate[0].run: a text is expected, this one is empty → for example: run: sudo systemctl restart app',
    ],
    ['activate: {run: [a]}', '4:17 activate[0].run: a text is expected → for example: run: sudo systemctl restart app'],
    [
      'env: {A: {b: c}}',
      "4:10 env.A: a text is expected → A value; without one, the variable of the action step's env.",
    ],
    [
      'activate: {run: x, env: {A: [b]}}',
      "4:29 activate[0].env.A: a text is expected → A value; without one, the variable of the action step's env.",
    ],
    ['release:', '4:1 release: a map of keys and values is expected → write a value, or remove the key'],
    [
      'release: dist',
      '4:10 release: a map of keys and values is expected, not "dist" → Where releases live; without it a deployment is its steps alone.',
    ],
    [
      'rollout: {min_in_service: half}',
      '4:27 rollout.min_in_service: a number of servers or a percentage is expected: 3 or 25%, not "half" → Per balancer: never fewer in rotation because of us.',
    ],
    [
      'rollout: {min_in_service: 120%}',
      '4:27 rollout.min_in_service: at most 100% is expected, not "120%" → Per balancer: never fewer in rotation because of us.',
    ],
    [
      'rollout: {groups: [{strategy: serial}]}',
      '4:20 "roles" is missing in rollout.groups[0] → The servers of this group. for example: roles: ["web"]',
    ],
    [
      'web_server: pumma',
      '4:13 web_server: one of puma, unicorn, passenger-enterprise, thin, passenger, other is expected, not "pumma" → did you mean "puma"? known: puma, unicorn, passenger-enterprise, thin, passenger, other',
    ],
    ['env: {1A: x}', '4:7 env.1A: a variable is named with letters, digits and "_"'],
    [
      'load_balancers: {e: {backends: [a]}}',
      '4:18 "provider" is missing in load_balancers.e → write provider: one of haproxy, nginx, caddy, apache, aws-target-group, aws-classic, gcp, azure, digitalocean, hetzner, linode, cloudflare, health-file, command',
    ],
    [
      'load_balancers: {e: {provider: haproxy, backends: [a], hosts: [h], address: "tcp://x:1"}}',
      '4:21 load_balancers.e: exactly one of hosts and address is expected → hosts: reached over SSH; address: a socket over TCP',
    ],
    [
      'load_balancers: {e: {provider: haproxy, backends: [a]}}',
      '4:21 load_balancers.e: exactly one of hosts and address is expected → hosts: reached over SSH; address: a socket over TCP',
    ],
    [
      'load_balancers: {e: {provider: haproxy, backends: [], hosts: [h]}}',
      '4:51 load_balancers.e.backends: at least one is expected → for example: backends: ["storefront"]',
    ],
    [
      'verify: {}',
      '4:9 verify[0]: a check has exactly one of http, tcp and command → for example: verify: {http: {port: 3000, path: /up}}; several checks are a list',
    ],
    [
      'verify: {http: {expect: {status: 2xx}}}',
      '4:34 verify[0].http.expect.status[0]: a status or a range is expected: 200 or 200-299, not "2xx" → for example: status: ["200-299"]',
    ],
    [
      'verify: {http: {expect: {status: 299-200}}}',
      '4:34 verify[0].http.expect.status[0]: the smaller status comes first: 200-299, not "299-200" → for example: status: ["200-299"]',
    ],
    [
      'verify: {http: {path: up}}',
      '4:23 verify[0].http.path: a path that begins with "/", without spaces, is expected, not "up" → for example: path: /up',
    ],
    ['verify: {http: {headers: {"a b": c}}}', '4:27 verify[0].http.headers.a b: the name of a header is expected'],
    [
      'verify: {http: {headers: {a: "b\\r\\nc: d"}}}',
      '4:30 verify[0].http.headers.a: a text of one line is expected, not "b\r\\nc: d" → A header to send.',
    ],
  ])('%s', (text, expected) => expect(problems(text)).toEqual([expected]))
})

describe('the nearest known word', () => {
  it('is found over a letter more, less, other or swapped, over case and dashes', () => {
    const known = ['activate', 'application', 'max_parallelism']
    for (const word of ['activat', 'acctivate', 'actovate', 'actviate', 'Activate'])
      expect(nearest(word, known)).toBe('activate')
    expect(nearest('max-parallelism', known)).toBe('max_parallelism')
    expect(nearest('zzz', known)).toBeUndefined()
  })
  it('is measured as a distance', () =>
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        const d = editDistance(a, b)
        expect(d === 0).toBe(a === b)
        expect(d).toBe(editDistance(b, a))
        expect(d).toBeLessThanOrEqual(Math.max(a.length, b.length))
        expect(d).toBeGreaterThanOrEqual(Math.abs(a.length - b.length))
      }),
    ))
})
