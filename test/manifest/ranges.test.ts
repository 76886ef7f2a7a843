import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { expand, isBad } from '../../src/manifest/ranges.ts'

const list = (texts: Readonly<Record<string, string>>) => {
  const result = expand(texts)
  if (isBad(result)) throw new Error(result.problem)
  return result
}
const wrong = (texts: Readonly<Record<string, string>>) => {
  const result = expand(texts)
  return isBad(result) ? result.problem : null
}

describe('ranges', () => {
  it('expand side by side', () =>
    expect(list({ name: 'web[01-03]', host: '10.0.0.[11-13]', id: 'i' })).toEqual([
      { name: 'web01', host: '10.0.0.11', id: 'i' },
      { name: 'web02', host: '10.0.0.12', id: 'i' },
      { name: 'web03', host: '10.0.0.13', id: 'i' },
    ]))
  it('of one text are counted through together too', () =>
    expect(list({ name: 'rack[1-2]-web[08-09]' }).map(o => o['name'])).toEqual(['rack1-web08', 'rack2-web09']))
  it('keep zeros, and add none', () => {
    expect(list({ n: '[08-11]' }).map(o => o['n'])).toEqual(['08', '09', '10', '11'])
    expect(list({ n: '[8-11]' }).map(o => o['n'])).toEqual(['8', '9', '10', '11'])
    expect(list({ n: '[0-2]' }).map(o => o['n'])).toEqual(['0', '1', '2'])
  })
  it('leave IPv6 addresses alone', () =>
    expect(list({ host: 'd@[2001:db8::1]:22' })).toEqual([{ host: 'd@[2001:db8::1]:22' }]))
  it.each([
    [{ name: 'web[1-2]', host: 'h[1-3]' }, 'ranges of unequal length: name has 2, host has 3'],
    [{ name: 'a[1-2]b[1-3]' }, 'ranges of unequal length: name has 2, name has 3'],
    [{ name: 'web[3-1]' }, 'name: [3-1]: the smaller number comes first'],
    [{ name: 'web[01-100]' }, 'name: [01-100]: both ends need the same number of digits'],
    [{ name: 'web[1-10001]' }, 'name: [1-10001]: more than 10000 of them'],
    [{ name: 'web[a-c]' }, 'name: "[a-c]" is no range'],
    [{ host: 'web[1..3]' }, 'host: "[1..3]" is no range'],
    [{ host: 'web[1-3' }, 'host: "[1-3" is no range'],
  ])('that cannot be counted are refused: %j', (texts, problem) => expect(wrong(texts)).toBe(problem))
  it('as long as the limit are counted', () => expect(list({ n: 'w[1-10000]' })).toHaveLength(10_000))

  it('give as many as there are numbers, all different, of one width, in order', () =>
    fc.assert(
      fc.property(fc.nat(9000), fc.nat(300), fc.boolean(), (from, count, pad) => {
        const to = from + count
        const first = pad ? String(from).padStart(String(to).length + 1, '0') : String(from)
        const last = pad ? `0${to}` : String(to)
        const names = list({ n: `w[${first}-${last}].x` }).map(o => o['n'] ?? '')
        expect(names).toHaveLength(count + 1)
        expect(names.map(n => Number(n.slice(1, -2)))).toEqual(Array.from({ length: count + 1 }, (_, i) => from + i))
        if (pad) expect(new Set(names.map(n => n.length)).size).toBe(1)
      }),
    ))
  it('that are none leave the text alone', () =>
    fc.assert(
      fc.property(
        fc.string().filter(t => !t.includes('[')),
        t => void expect(list({ t })).toEqual([{ t }]),
      ),
    ))
})
