import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type AdminHost, cutOff } from '../../src/balancers/admin-http.ts'
import { writtenAt } from '../../src/balancers/backing-off.ts'
import { milliseconds, readHandler } from '../../src/balancers/caddy-api.ts'
import { withAgain } from '../../src/balancers/caddy-members.ts'
import { countsRemoved, versionIn } from '../../src/balancers/caddy-version.ts'
import { systemClock } from '../../src/clock.ts'
import { BalancerError } from '../../src/errors.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type CaddySite, caddySite } from './caddy-fixture.ts'
import { keepsTheContract } from './contract.ts'
import { server } from './fixtures.ts'

const { signal } = new AbortController()

keepsTheContract('caddy 2.6', () =>
  caddySite(
    {},
    {
      'in flight': 'before 2.11.2 Caddy forgets a removed upstream with what it still answers',
      unhealthy: 'this Caddy checks the health of nobody; see below for one that does',
    },
  ),
)

keepsTheContract('caddy 2.11', () =>
  caddySite({ program: 'newer' }, { unhealthy: 'this Caddy checks the health of nobody; see below for one that does' }),
)

describe("Caddy's list of upstreams", () => {
  let here: CaddySite
  beforeAll(async () => {
    here = await caddySite()
  })
  beforeEach(() => here.reset())
  afterAll(() => here?.stop())
  const upstreams = async () => JSON.parse(await here.real.api('GET', '/id/app/upstreams'))

  it('gets an upstream back where it was and as it was', async () => {
    const [one, two] = here.dials
    const before = [{ dial: 'tcp/10.0.0.9:80' }, { '@id': 'first', dial: one, max_requests: 7 }, { dial: two }]
    await here.real.api('PATCH', '/id/app/upstreams', before)
    const balancer = here.build()
    const receipts = [await balancer.receipt(here.servers[0], signal), await balancer.receipt(here.servers[1], signal)]
    for (const receipt of receipts) await balancer.remove(receipt, signal)
    expect(await upstreams()).toEqual([{ dial: 'tcp/10.0.0.9:80' }])
    for (const receipt of receipts.toReversed()) await balancer.restore(receipt, signal)
    expect(await upstreams()).toEqual(before)
  })

  it('is written by two at once without a loss, also when they meet every time', async () => {
    const work = await Promise.all(
      here.servers.map(async s => {
        const balancer = here.build()
        return { balancer, receipt: await balancer.receipt(s, signal) }
      }),
    )
    const met = () => here.real.log().includes('If-Match header did not match')
    // As the controller writes: who comes while Caddy opens its admin address anew is cut, and asks again.
    const write = (one: () => Promise<void>) => writtenAt({ clock: systemClock, signal, random: Math.random }, one)
    for (let round = 0; round < 5 || !met(); round++) {
      await Promise.all(work.map(w => write(() => w.balancer.remove(w.receipt, signal))))
      expect(await here.real.dials()).toEqual([])
      await Promise.all(work.map(w => write(() => w.balancer.restore(w.receipt, signal))))
      expect(await here.real.dials()).toEqual(here.dials)
    }
  })

  it('is asked again where Caddy cuts who comes while its configuration changes', async () => {
    const cut = (cause: Error) => ({
      where: 'lb1',
      ask: () => Promise.reject(new BalancerError('does not answer', { cause, hint: 'does it listen there?' })),
    })
    const asked = (cause: Error) => readHandler(cut(cause) as unknown as AdminHost, '/id/app', signal)
    const reset = Object.assign(new Error('socket hang up'), { code: 'ECONNRESET' })
    await expect(asked(reset)).rejects.toMatchObject({ retryAfterMs: 25, hint: 'does it listen there?' })
    await expect(asked(new Error(cutOff))).rejects.toMatchObject({ retryAfterMs: 25 })
    await expect(asked(new Error('nothing within 10 s'))).rejects.toMatchObject({ retryAfterMs: undefined })
  })

  it('takes no upstream from a receipt that the manifest would not take for that server', async () => {
    const balancer = here.build()
    const receipt = await balancer.receipt(here.servers[0], signal)
    const [entry] = (receipt.data as { members: object[] }).members
    await balancer.remove(receipt, signal)
    for (const bad of [{ dial: '10.6.6.6:80' }, { dial: here.dials[1] }, { maxRequests: -1 }, { handler: 'x' }]) {
      const forged = { ...receipt, data: { members: [{ ...entry, ...bad }] } }
      await expect(balancer.restore(forged, signal)).rejects.toThrow('cannot be used')
    }
    expect(await here.real.dials()).toEqual([here.dials[1]])
  })

  it('says in preflight which Caddy counts nothing, and who is taken for out', async () => {
    await here.operatorTakesOut()
    const { warnings, rotation } = await here.build().preflight(here.servers, signal)
    expect(rotation['web1']?.state).toBe('out')
    expect(warnings).toEqual([
      expect.stringMatching(/is 2\.6\.2, which does not count/),
      expect.stringMatching(/web1 is no upstream of app .*taken for out/),
    ])
  })

  it('knows a server by its host alone only while it is there, and says so', async () => {
    const [one, two] = here.dials
    const byHost = [server('web1', { host: 'localhost' }), server('web2', { id: two })]
    await here.real.api('PATCH', '/id/app/upstreams', [{ dial: one.replace('127.0.0.1', 'localhost') }, { dial: two }])
    const balancer = here.build(byHost)
    const { warnings } = await balancer.preflight(byHost, signal)
    expect(warnings).toContainEqual(expect.stringMatching(/web1 is known by the host alone/))
    const receipt = await balancer.receipt(server('web1', { host: 'localhost' }), signal)
    await balancer.remove(receipt, signal)
    expect((await balancer.preflight(byHost, signal)).rotation['web1']?.state).toBe('out')
    await expect(here.build(byHost).preflight(byHost, signal)).rejects.toThrow(/web1 at lb1.*there are: 127/)
    await here.build(byHost).restore(receipt, signal)
    expect(await here.real.dials()).toContain(one.replace('127.0.0.1', 'localhost'))
  })

  it('is refused where it is another handler, finds its upstreams itself, or an upstream could not be put back', async () => {
    const refusal = (id: string) =>
      here
        .build(here.servers, { id })
        .receipt(here.servers[0], signal)
        .catch((e: unknown) => e)
    const shown = async (id: string) => {
      const error = await refusal(id)
      expect(error).toBeInstanceOf(BalancerError)
      return (error as BalancerError).message
    }
    expect(await shown('nope')).toMatch(/HTTP 404.*unknown object ID/)
    expect(await shown('/config/apps')).toMatch(/something else than a reverse_proxy handler/)
    await here.real.api('PATCH', '/id/app/upstreams', [{ dial: here.dials[0] }, { dial: here.dials[1], '@id': 'x' }])
    expect(await shown('x')).toMatch(/something else than a reverse_proxy handler/)
    const path = '/config/apps/http/servers/main/routes/0/handle/0'
    const balancer = here.build(here.servers, { id: path })
    await balancer.remove(await balancer.receipt(here.servers[0], signal), signal)
    expect(await here.real.dials()).toEqual([here.dials[1]])
    await here.real.api('PUT', `${path}/dynamic_upstreams`, { source: 'a', name: 'localhost', port: '80' })
    expect(await shown('app')).toMatch(/finds its upstreams itself/)
    expect(() => here.build(here.servers, { admin: '10.0.0.2:2019' })).toThrow(/no admin address/)
  })

  it('of a Caddy with an admin socket is written there too', async () => {
    const socket = `/tmp/caddy-admin-${process.pid}.sock`
    await here.real.api('POST', '/config/admin', { listen: `unix/${socket}` })
    const balancer = here.build(here.servers, { admin: `unix/${socket}` })
    const receipt = await balancer.receipt(here.servers[0], signal)
    await balancer.remove(receipt, signal)
    expect(await balancer.read(receipt, signal)).toMatchObject({ state: 'out' })
    await balancer.restore(receipt, signal)
    expect(await balancer.read(receipt, signal)).toEqual({ state: 'serving' })
    expect(balancer.byHand(receipt)).toMatch(/--unix-socket/)
    await here.stop()
    here = await caddySite()
  })
})

describe('a Caddy that checks health', () => {
  let here: CaddySite
  beforeAll(async () => {
    here = await caddySite({
      program: 'newer',
      handler: { health_checks: { active: { uri: '/up', interval: '200ms', timeout: '1s' } } },
      routes: [
        { match: [{ path: ['/other'] }], handle: [{ handler: 'reverse_proxy', upstreams: [{ dial: '127.0.0.1:9' }] }] },
      ],
    })
  })
  beforeEach(() => here.reset())
  afterAll(() => here?.stop())

  it('is not believed that a server is healthy before it can know, and then is', { timeout: 60_000 }, async () => {
    const [app1] = here.apps
    const balancer = here.build()
    const receipt = await balancer.receipt(here.servers[0], signal)
    expect(await balancer.evidence(receipt, signal)).toMatchObject({
      drained: 'connections',
      serving: 'health',
      longestAddMs: 10_500,
    })
    await balancer.remove(receipt, signal)
    app1.health(500)
    await balancer.restore(receipt, signal)
    expect(await balancer.read(receipt, signal)).toMatchObject({ state: 'warming' })
    const served = app1.served()
    const states = new Set<string>()
    await waitUntil('Caddy tells', async () => {
      const { state } = await balancer.read(receipt, signal)
      states.add(state)
      return state === 'unhealthy'
    })
    expect(states).toEqual(new Set(['warming', 'unhealthy']))
    expect(app1.served()).toBe(served)
    app1.health(200)
    await waitUntil('it serves', async () => (await balancer.read(receipt, signal)).state === 'serving')
  })

  it('has nothing to warn of', async () => {
    expect((await here.build().preflight(here.servers, signal)).warnings).toEqual([])
  })

  it('is told of by a warning where a server stands twice', async () => {
    await here.real.api('PATCH', '/config/apps/http/servers/main/routes/0/handle/0/upstreams', [
      { dial: here.dials[0] },
    ])
    const { warnings } = await here.build().preflight(here.servers, signal)
    expect(warnings).toEqual([expect.stringMatching(/web1 stands more than once in the configuration/)])
  })
})

describe("Caddy's version", () => {
  const args = ['caddy', 'run']
  const output = (more: Partial<Record<'path' | 'placed' | 'version' | 'started', string>>) =>
    Object.entries({ path: '/usr/bin/caddy', placed: '100', version: 'v2.11.7 h1:x', started: '200', ...more })
      .map(([word, value]) => `${word} ${value}`)
      .join('\n')

  it('is that of the program on the host, unless that was replaced since or may be another', () => {
    expect(versionIn(output({}), args)).toBe('2.11.7')
    expect(versionIn(output({}), ['/usr/bin/caddy', 'run'])).toBe('2.11.7')
    expect(versionIn(output({ version: '2.6.2' }), args)).toBe('2.6.2')
    expect(versionIn(output({ placed: '300' }), args)).toBeNull()
    expect(versionIn(output({}), ['/opt/caddy', 'run'])).toBeNull()
    expect(versionIn(output({ version: 'v2.12.0-beta.1' }), args)).toBeNull()
    expect(versionIn('path /usr/bin/caddy\nplaced 100\nversion v2.11.7', args)).toBeNull()
    expect(versionIn('', args)).toBeNull()
  })

  it('counts what a removed upstream still answers from 2.11.2 on', () => {
    for (const version of ['2.11.2', '2.11.7', '2.12.0', '3.0.0']) expect(countsRemoved(version)).toBe(true)
    for (const version of ['2.6.2', '2.11.1', '1.99.99', null]) expect(countsRemoved(version)).toBe(false)
  })
})

it('reads durations as Caddy writes them', () => {
  expect([1_500_000_000, '1m30s', '200ms', '1d', 'x', undefined].map(d => milliseconds(d, 7))).toEqual([
    1500, 90_000, 200, 86_400_000, 7, 7,
  ])
})

it('puts an upstream at the end where none of those that stood after it is left', () => {
  const before = { where: 'lb1', dial: 'b:1', listed: true, order: ['a:1', 'b:1', 'c:1'] }
  expect(withAgain([{ dial: 'a:1' }, { dial: 'z:1' }], before).map(u => u.dial)).toEqual(['a:1', 'z:1', 'b:1'])
  expect(withAgain([{ dial: 'c:1' }], before).map(u => u.dial)).toEqual(['b:1', 'c:1'])
})
