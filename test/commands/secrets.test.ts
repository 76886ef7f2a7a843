import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { secretsOf } from '../../src/commands/secrets.ts'
import { readRequest } from '../../src/inputs.ts'

describe('what must not be shown', () => {
  it('is every key and token, and what the manifest names', () => {
    const env = { 'INPUT_SSH-KEY': 'key', HCLOUD_TOKEN: 'cloud', DATABASE_URL: 'db', OTHER: 'x' }
    expect(secretsOf(readRequest(env, [], '/'), { secrets: ['DATABASE_URL', 'ABSENT'] })).toEqual([
      'key',
      'cloud',
      'db',
    ])
  })
  it('is every token that a provider asks for', () => {
    const sources = readdirSync('src/balancers').map(file => readFileSync(`src/balancers/${file}`, 'utf8'))
    const asked = sources.flatMap(text =>
      [...text.matchAll(/tokens: \[([^\]]*)\]/g)].flatMap(([, list = '']) =>
        [...list.matchAll(/'(\w+)'/g)].map(([, name = '']) => name),
      ),
    )
    expect(asked.length).toBeGreaterThan(4)
    const env = Object.fromEntries(asked.map(name => [name, `secret of ${name}`]))
    expect(secretsOf(readRequest(env, [], '/'), null).toSorted()).toEqual(Object.values(env).toSorted())
  })
})
