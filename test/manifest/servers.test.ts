import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseAddress } from '../../src/manifest/servers.ts'
import { problemsIn, readAll } from './reading.ts'

const servers = (list: string, ssh = '{user: deploy}') =>
  readAll(`application: site\nssh: ${ssh}\nservers: ${list}\n`)[0]?.servers ?? []
const wrong = (list: string, ssh = '{user: deploy}') => problemsIn(`application: site\nssh: ${ssh}\nservers: ${list}\n`)

describe('an address', () => {
  it.each([
    ['web1', { user: undefined, host: 'web1', port: undefined }],
    ['deploy@web1.example.com:2222', { user: 'deploy', host: 'web1.example.com', port: 2222 }],
    ['203.0.113.10:22', { user: undefined, host: '203.0.113.10', port: 22 }],
    ['[2001:db8::1]', { user: undefined, host: '2001:db8::1', port: undefined }],
    ['d@[fe80::1%eth0]:22', { user: 'd', host: 'fe80::1%eth0', port: 22 }],
  ])('is taken apart: %s', (written, expected) => expect(parseAddress(written)).toEqual(expected))
  it.each([
    ['2001:db8::1', '"2001:db8::1": an IPv6 address stands in brackets: [2001:db8::1]:22'],
    ['web1:0', '"web1:0": a port from 1 to 65535 is expected'],
    ['web1:99999', '"web1:99999": a port from 1 to 65535 is expected'],
    ['web 1', '"web 1": [user@]host[:port] is expected'],
    ['web1:', '"web1:": [user@]host[:port] is expected'],
    ['@web1', '"@web1": [user@]host[:port] is expected'],
    ['ssh://web1', '"ssh://web1": [user@]host[:port] is expected'],
    ['-oProxyCommand=x', '"-oProxyCommand=x" is no name or address of a host'],
    ['-x@web1', '"-x" is no user name'],
    ['web1;reboot', '"web1;reboot" is no name or address of a host'],
    ['x'.repeat(700), 'an address this long is none'],
  ])('that is none is refused: %s', (written, problem) => expect(parseAddress(written)).toBe(problem))
  it('of parts that are right is always read', () =>
    fc.assert(
      fc.property(
        fc.option(fc.stringMatching(/^[a-z_][a-z0-9_-]{0,8}$/)),
        fc.oneof(fc.domain(), fc.ipV4()),
        fc.option(fc.integer({ min: 1, max: 65535 })),
        (user, host, port) => {
          const written = `${user === null ? '' : `${user}@`}${host}${port === null ? '' : `:${port}`}`
          expect(parseAddress(written)).toEqual({ user: user ?? undefined, host, port: port ?? undefined })
        },
      ),
    ))
})

describe('a server', () => {
  it('takes a host’s own parts before its keys, and those before ssh', () => {
    const ssh = '{user: a, port: 1, bastion: b, connect_timeout: 3s, keepalive: 4s}'
    expect(
      servers(
        '[web1, {host: web2, user: b, port: 2, bastion: x@y:5, connect_timeout: 1, keepalive: 2}, {host: "c@web3:3", user: b, port: 2, bastion: none}]',
        ssh,
      ),
    ).toMatchObject([
      {
        name: 'web1',
        user: 'a',
        port: 1,
        bastions: [{ user: 'a', host: 'b', port: 22 }],
        connectTimeout: 3,
        keepalive: 4,
      },
      {
        name: 'web2',
        user: 'b',
        port: 2,
        bastions: [{ user: 'x', host: 'y', port: 5 }],
        connectTimeout: 1,
        keepalive: 2,
      },
      { name: 'web3', user: 'c', port: 3, bastions: [] },
    ])
  })
  it('has defaults', () =>
    expect(servers('[web1]')).toEqual([
      {
        name: 'web1',
        user: 'deploy',
        host: 'web1',
        port: 22,
        roles: [],
        id: undefined,
        hostKeys: [],
        env: {},
        bastions: [],
        connectTimeout: 10,
        keepalive: 15,
      },
    ]))
  it('has all of its keys', () =>
    expect(
      servers('{name: w, host: h, roles: web, id: i-0, host_key: ssh-ed25519 AAAA, env: {PORT: 3000, X: }}'),
    ).toMatchObject([
      {
        name: 'w',
        host: 'h',
        roles: ['web'],
        id: 'i-0',
        hostKeys: ['ssh-ed25519 AAAA'],
        env: { PORT: '3000', X: null },
      },
    ]))
  it('goes through several bastions in order', () =>
    expect(servers('[{host: h, bastion: "a@b:1, [::1]:2,c"}]')[0]?.bastions).toEqual([
      { user: 'a', host: 'b', port: 1 },
      { user: 'deploy', host: '::1', port: 2 },
      { user: 'deploy', host: 'c', port: 22 },
    ]))
  it('with ranges becomes several', () =>
    expect(
      servers('[{name: "web[09-10]", host: "10.0.0.[1-2]", id: "i-[5-6]"}]').map(s => [s.name, s.host, s.id]),
    ).toEqual([
      ['web09', '10.0.0.1', 'i-5'],
      ['web10', '10.0.0.2', 'i-6'],
    ]))
  it('of a balancer is read the same way', () => {
    const [manifest] = readAll(
      'application: site\nssh: {user: d, port: 5}\nservers: [h]\nload_balancers: {e: {provider: haproxy, backends: b, hosts: ["lb[1-2]", x@lb3]}}',
    )
    expect(manifest?.load_balancers['e']).toMatchObject({
      hosts: [{ name: 'lb1', user: 'd', port: 5 }, { name: 'lb2' }, { name: 'lb3', user: 'x' }],
    })
  })
})

describe('servers that are wrong', () => {
  it.each([
    ['[web1, web1]', '3:17 a second server is called "web1" → give each server a name of its own'],
    [
      '[{name: a, host: h1}, {name: a, host: h2}]',
      '3:39 a second server is called "a" → give each server a name of its own',
    ],
    [
      '[{name: web, host: "10.0.0.[1-2]"}]',
      '3:18 a second server is called "web" → put a range into its name: web[01-20]',
    ],
    [
      '[{name: "web[1-2]", host: "10.0.0.[1-3]"}]',
      '3:36 ranges of unequal length: host has 3, name has 2 → ranges are counted through together, so all of one server have the same length',
    ],
    [
      '[{name: "web[2-1]", host: h}]',
      '3:18 name: [2-1]: the smaller number comes first → a range is two numbers: web[01-20]',
    ],
    [
      '["2001:db8::1"]',
      '3:11 "2001:db8::1": an IPv6 address stands in brackets: [2001:db8::1]:22 → for example: deploy@web1.example.com:2222',
    ],
    [
      '[{name: all, host: h}]',
      '3:18 "all" cannot be the name of a server → letters, digits, ".", "_" and "-", and neither "all" nor "role:…", which select servers',
    ],
    [
      '[{name: "a,b", host: h}]',
      '3:18 "a,b" cannot be the name of a server → letters, digits, ".", "_" and "-", and neither "all" nor "role:…", which select servers',
    ],
    [
      '[{host: h, bastion: "a b"}]',
      '3:30 bastion: "a b": [user@]host[:port] is expected → for example: jump@bastion.example.com:22',
    ],
    ['["a[1-9999].b", "c[1-9999].d", e]', '3:1 there are more than 10000 servers → is a range too long?'],
    ['[]', '3:1 there are no servers → for example: servers: [203.0.113.10]'],
    ['', '3:1 there are no servers → for example: servers: [203.0.113.10]'],
    [
      '[{name: x}]',
      '3:11 "host" is missing in servers[0] → [user@]host[:port]; a range makes several: 10.0.0.[11-30]. for example: host: 10.0.0.[11-30]',
    ],
    [
      '[{host: h, port: 70000}]',
      '3:27 servers[0].port: a whole number from 1 to 65535 is expected, not "70000" → The SSH port; default 22.',
    ],
  ])('%s', (list, expected) => expect(wrong(list)).toEqual([expected]))
  it('without a user say where to write one', () =>
    expect(wrong('[web1, {host: web2, user: u}]', '{}')).toEqual([
      '3:11 no user to log in to web1 as → write ssh: {user: deploy}, or user@host',
    ]))
  it('are all told, also when one cannot be read', () =>
    expect(wrong('[{host: h, port: x}, {hots: y}, "z["]').map(p => p.split(' ')[0])).toEqual(['3:27', '3:32', '3:42']))
})
