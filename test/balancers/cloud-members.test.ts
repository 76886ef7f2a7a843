import { describe, expect, it } from 'vitest'
import { hasAddress, machineOf, sameMachine } from '../../src/balancers/cloud-members.ts'

const machines = [
  { id: 1, name: 'web1', addresses: ['192.0.2.1', '10.0.0.1', '2001:db8:1::/64'] },
  { id: 2, name: 'Web2.example.com', addresses: ['192.0.2.2', '10.0.0.2', '2001:db8:2::5'] },
  { id: 3, name: 'twin', addresses: ['192.0.2.3', '10.0.0.9'] },
  { id: 4, name: 'twin', addresses: ['192.0.2.4', '10.0.0.9'] },
]
const of = (name: string, host: string, wanted?: string) => machineOf({ name, host }, wanted, machines)

describe('a machine is found', () => {
  it.each([
    ['by the name of the server', of('web1', '198.51.100.1'), 1],
    ['by its address', of('app', '192.0.2.2'), 2],
    ['by its private address', of('app', '10.0.0.1'), 1],
    ['by an IPv6 address in its network', of('app', '2001:DB8:1:0::42'), 1],
    ['by an IPv6 address written otherwise', of('app', '2001:0db8:0002:0::5'), 2],
    ['by what it is said to be called, whatever its own name', of('web1', '192.0.2.1', 'web2.EXAMPLE.com'), 2],
    ['by an address that it is said to have', of('web1', '192.0.2.1', '192.0.2.4'), 4],
    ['by its name before any address', of('web1', '192.0.2.2'), 1],
  ])('%s', (_, found, id) => {
    expect(found).toMatchObject({ id })
  })

  it('never where nothing fits: what is there is told', () => {
    expect(of('app', '203.0.113.1')).toMatch(/^none is called app and none at 203\.0\.113\.1; there are: web1 \(1, 192/)
    expect(of('app', 'app.example.com')).toMatch(/^none is called app; there are: /)
    expect(of('web1', '192.0.2.1', 'web7')).toMatch(/^none is called web7; /)
    expect(machineOf({ name: 'a', host: 'b' }, undefined, [])).toBe('none is called a; there are: none')
  })

  it('never where several fit', () => {
    expect(of('twin', '203.0.113.1')).toMatch(/^2 are called twin .*twin \(3, .*twin \(4, /)
    expect(of('app', '10.0.0.9')).toMatch(/^2 are called app or at 10\.0\.0\.9/)
  })
})

it('does not take what is no address for one', () => {
  expect(hasAddress({ addresses: ['x', '192.0.2.0/99', ''] }, '192.0.2.1')).toBe(false)
  expect(hasAddress({ addresses: ['192.0.2.0/24'] }, 'web1')).toBe(false)
})

it('tells servers that are the same machine', () => {
  expect(
    sameMachine([
      { server: 'a', id: 1 },
      { server: 'b', id: 2 },
      { server: 'c', id: 1 },
    ]),
  ).toEqual(['a and c are all 1'])
})
