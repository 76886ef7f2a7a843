import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readPatterns, selectServers } from '../../src/plan/select.ts'
import { manifest } from './manifests.ts'

const { servers } = manifest({
  servers: [
    { name: 'web1', roles: ['web'] },
    { name: 'web2', roles: ['web', 'db'] },
    { name: 'job1', roles: ['worker'] },
  ],
})
const pick = (input: string) => selectServers(servers, input).map(s => s.name)

describe('the input servers', () => {
  it.each([
    ['all', ['web1', 'web2', 'job1']],
    ['web2', ['web2']],
    ['job1, web1', ['web1', 'job1']],
    ['web*', ['web1', 'web2']],
    ['web[12]', ['web1', 'web2']],
    ['role:db', ['web2']],
    ['!web1', ['web2', 'job1']],
    ['role:web !web2', ['web1']],
    ['all,!role:web', ['job1']],
    ['["web1","job1"]', ['web1', 'job1']],
    ['[]', []],
  ])('%s selects %j', (input, names) => expect(pick(input)).toEqual(names))
  it.each([
    ['web9', /"web9" matches no server/],
    ['role:cache', /"role:cache" matches no server/],
    ['!web9', /"web9" matches/],
    ['  ', /is empty/],
    ['web1 !web1', /nothing is left/],
    ['["web1"', /is not a JSON array/],
    ['["web1", 3]', /a JSON array of names/],
  ])('%s is an error', (input, message) => expect(() => pick(input)).toThrow(message))
  it('keeps the manifest’s order and doubles nobody', () =>
    fc.assert(
      fc.property(fc.array(fc.constantFrom('all', 'web*', 'web1', 'role:web', 'job1'), { minLength: 1 }), words => {
        const names = pick(words.join(' '))
        expect(names).toEqual(servers.map(s => s.name).filter(n => names.includes(n)))
      }),
    ))
  it('takes an earlier run’s retry as it stands', () =>
    expect(pick(JSON.stringify(['web2', 'job1']))).toEqual(['web2', 'job1']))
  it('reads words separated by commas, blanks and line ends', () =>
    expect(readPatterns('a, b\n c')).toEqual(['a', 'b', 'c']))
})
