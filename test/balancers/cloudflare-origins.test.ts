import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { PoolRead } from '../../src/balancers/cloudflare-api.ts'
import { originOf, othersChanged, withEnabled } from '../../src/balancers/cloudflare-origins.ts'
import { server } from './fixtures.ts'

type Raw = Readonly<Record<string, unknown>>

const poolOf = (raw: readonly Raw[]): PoolRead => ({
  id: 'p',
  name: 'p',
  enabled: true,
  minimum_origins: 1,
  raw,
  origins: raw.map(r => ({ ...r, name: String(r['name'] ?? ''), address: String(r['address'] ?? '') })),
})

/** Origins with what the API knows today and what it may know tomorrow. */
const origin: fc.Arbitrary<Raw> = fc.record(
  {
    name: fc.constantFrom('web1', 'web2', 'web3', ''),
    address: fc.constantFrom('192.0.2.1', '192.0.2.2', 'a.example'),
    enabled: fc.boolean(),
    weight: fc.constantFrom(0, 0.01, 0.56, 1),
    disabled_at: fc.constantFrom('2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'),
    healthy: fc.boolean(),
    failure_reason: fc.constantFrom('No failures', 'TCP connection failed'),
    tomorrow: fc.jsonValue(),
  },
  { requiredKeys: ['address'] },
)
const origins = fc.array(origin, { minLength: 1, maxLength: 6 })
const indexed = origins.chain(list => fc.tuple(fc.constant(list), fc.nat(list.length - 1)))

describe('the list that is written', () => {
  it('is what was read, but for one word, and for what only the API says', () => {
    fc.assert(
      fc.property(indexed, fc.boolean(), ([list, index], enabled) => {
        const written = withEnabled(poolOf(list), index, enabled)
        expect(written).toHaveLength(list.length)
        for (const [i, before] of list.entries()) {
          const { disabled_at: _, healthy: __, failure_reason: ___, ...kept } = before
          expect(written[i]).toEqual(i === index ? { ...kept, enabled } : kept)
        }
      }),
    )
  })
})

describe('the comparison after a write', () => {
  it('finds nothing in our own change, in health, or in another order', () => {
    fc.assert(
      fc.property(indexed, fc.boolean(), ([list, index], enabled) => {
        const after = list.map((o, i) => {
          const { healthy: _, failure_reason: __, ...kept } = o
          return i === index
            ? { ...o, enabled, disabled_at: 'now' }
            : { failure_reason: 'new', ...kept, healthy: false }
        })
        const turned = { before: index, after: list.length - 1 - index }
        expect(othersChanged(poolOf(list), poolOf(after.toReversed()), turned)).toEqual([])
      }),
    )
  })

  it('finds every other change', () => {
    fc.assert(
      fc.property(indexed, origin, fc.nat(10), ([list, index], another, where) => {
        const own = { before: index, after: index }
        const added = [...list, another]
        expect(othersChanged(poolOf(list), poolOf(added), own)).toHaveLength(1)
        expect(othersChanged(poolOf(added), poolOf(list), own)).toHaveLength(1)
        const other = where % list.length
        if (other === index) return
        const changed = list.map((o, i) => (i === other ? { ...o, weight: 0.33 } : o))
        expect(othersChanged(poolOf(list), poolOf(changed), own)).toHaveLength(1)
      }),
    )
  })
})

describe('the origin of a server', () => {
  const list = poolOf([
    { name: 'a', address: '2001:DB8::5' },
    { name: 'b', address: 'Host.Example.' },
    { name: 'c', address: '192.0.2.1', port: 80 },
    { name: 'd', address: '192.0.2.1', port: 81 },
  ]).origins
  it.each([
    ['a name before an address', server('b', { host: '192.0.2.9' }), undefined, 1],
    ['an IPv6 address written otherwise', server('x', { host: '2001:0db8:0::5' }), undefined, 0],
    ['a host name', server('x', { host: 'host.example' }), undefined, 1],
    ['an address with its port', server('x'), '192.0.2.1:81', 3],
    ['an IPv6 address with its port', server('x'), '[2001:DB8::5]:0', 0],
  ])('is found by %s', (_, at, wanted, index) => {
    expect(originOf(at, wanted, list)).toBe(index)
  })

  it('is none where several fit', () => {
    expect(originOf(server('x', { host: '192.0.2.1' }), undefined, list)).toMatch(/2 are called x or at 192\.0\.2\.1/)
  })
})
