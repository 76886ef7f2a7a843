import { describe, expect, it } from 'vitest'
import { problemsIn, readAll } from './reading.ts'

const manifest = (file: string) => `application: site\nssh: {user: deploy}\nservers: ${file}\n`
const names = (text: string, file = 'servers.yml') =>
  readAll(manifest(file), { [file]: text })[0]?.servers.map(s => s.name)
const wrong = (text: string, file = 'servers.yml') => problemsIn(manifest(file), { [file]: text })

describe('a file of servers', () => {
  it.each([
    ['a YAML list', '- web1\n- {name: "w[1-2]", host: "h[1-2]"}', ['web1', 'w1', 'w2']],
    ['a JSON list', '["web1", {"host": "web2", "port": 2222}]', ['web1', 'web2']],
    ['a map with the key servers', 'servers: [web1]\nother: 1', ['web1']],
    [
      'Terraform’s outputs with one list',
      '{"zone": {"sensitive": false, "type": "string", "value": "z"}, "hosts": {"sensitive": false, "type": ["list", "string"], "value": ["web1", "web2"]}}',
      ['web1', 'web2'],
    ],
    [
      'Terraform’s outputs with one called servers',
      '{"ids": {"value": ["i-1"]}, "servers": {"value": [{"host": "web1", "id": null, "roles": ["web"], "env": {"A": null}}]}}',
      ['web1'],
    ],
  ])('may be %s', (_what, text, expected) => expect(names(text)).toEqual(expected))

  it('in JSON may say null for what is not set', () => {
    const text = '[{"host": "web1", "name": null, "id": null, "port": null, "env": {"A": null}}]'
    expect(readAll(manifest('s.json'), { 's.json': text })[0]?.servers).toMatchObject([
      { name: 'web1', port: 22, id: undefined, env: { A: null } },
    ])
  })
  it('may be another one in each environment', () => {
    const text = `${manifest('a.yml')}environments: {production: {}, staging: {servers: b.json}}`
    expect(readAll(text, { 'a.yml': '[web1]', 'b.json': '["stage1"]' }).map(m => m.servers.map(s => s.name))).toEqual([
      ['web1'],
      ['stage1'],
    ])
  })
  it('is pointed into by its mistakes', () => {
    expect(wrong('- web1\n- host: web2\n  prot: 1\n- web1')).toEqual([
      'servers.yml:3:3 unknown key "prot" in servers[1] → did you mean "port"? known: name, host, roles, id, host_key, env, user, port, bastion, connect_timeout, keepalive',
      'servers.yml:4:3 a second server is called "web1" → give each server a name of its own',
    ])
    expect(wrong('- *x')).toEqual([
      'servers.yml:1:3 *x: text that begins with "*" is an alias in YAML, and there is no anchor of that name → write it in quotes: \'*x\'',
    ])
  })
  it.each([
    ['web1', 'servers.yml:1:1 a list of servers is expected in this file → write: [web1.example.com]'],
    ['a: 1', 'servers.yml:1:1 no list of servers is in this file → write a list, or a map with the key `servers`'],
    [
      '{"a": {"value": []}, "b": {"value": []}}',
      'servers.yml:1:1 several outputs are lists: a, b → call the one with the servers `servers`',
    ],
    ['', 'servers.yml:1:1 the file is empty → write keys and values: application: my-app'],
    ['[]', '3:1 there are no servers → for example: servers: [203.0.113.10]'],
  ])('without a list is refused: %s', (text, expected) => expect(wrong(text)).toEqual([expected]))
})
