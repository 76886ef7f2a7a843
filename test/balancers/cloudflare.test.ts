import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { cloudflare } from '../../src/balancers/cloudflare.ts'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { type BalancerError, messageOf } from '../../src/errors.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { keepsTheContract, type Subject } from './contract.ts'
import {
  type CloudflareFacts,
  type FakeCloudflare,
  type FakeOrigin,
  fakeCloudflare,
  monitorId,
} from './fake-cloudflare.ts'
import { server } from './fixtures.ts'
import { gatedApp } from './gated-app.ts'
import { startRouter } from './routing.ts'

const { signal } = new AbortController()
const token = 'only-for-this-test-0123456789abcdef'
const servers = [server('web1', { host: '192.0.2.1' }), server('web2', { host: '192.0.2.2' })] as const
const main = '17b5962d775c646f3f9725cbc7a53df4'
const other = '9290f38c5d07c2e2f4df57b1f61d4196'

const web1: FakeOrigin = {
  name: 'web1',
  address: '192.0.2.1',
  enabled: true,
  weight: 0.56,
  header: { Host: ['a.example'] },
}
const web2: FakeOrigin = { name: 'web2', address: '192.0.2.2', weight: 1, virtual_network_id: 'a5624d4e' }
const pools: Readonly<Record<string, readonly FakeOrigin[]>> = {
  [main]: [
    web2,
    web1,
    { name: 'spare', address: 'spare.example.com', enabled: false, weight: 0.2 },
    { name: 'twin', address: '192.0.2.3', port: 8001, enabled: false },
    { name: 'twin', address: '192.0.2.3', port: 8002, enabled: false },
    { name: 'six', address: '2001:DB8::5', enabled: true },
  ],
  [other]: [web1, web2, { name: 'twin', address: '192.0.2.3', enabled: false }],
}

const settingsOf = (more: Partial<BalancerOf<'cloudflare'>> = {}): BalancerOf<'cloudflare'> => ({
  roles: [],
  provider: 'cloudflare',
  on_drain_timeout: 'continue',
  account: '${{ env.ACCOUNT }}',
  pools: [main, other],
  ...more,
})

function tools(facts: Partial<CloudflareFacts> = {}) {
  const clock = fakeClock()
  let fake: FakeCloudflare
  return {
    clock,
    start: async (backends: CloudflareFacts['backends'] = {}) => {
      fake = await fakeCloudflare({ clock, token, pools, backends, ...facts })
      return fake
    },
    build: (
      behind: readonly Server[] = servers,
      { env = {}, ...more }: Partial<BalancerOf<'cloudflare'>> & { env?: Record<string, string> } = {},
    ) =>
      cloudflare(
        'edge',
        settingsOf(more),
        {
          servers: behind,
          resolve: (text, at) => text.replace('${{ env.ACCOUNT }}', fake.account).replace('NAME', at.name),
          runnerEnv: { CLOUDFLARE_API_TOKEN: token, CLOUDFLARE_BASE_URL: `${fake.url}/client/v4`, ...env },
        },
        clock,
      ),
  }
}

const withEnabled = (name: string, enabled: boolean) => (origins: readonly FakeOrigin[]) =>
  origins.map(o => (o.name === name ? { ...o, enabled } : o))

async function subject(): Promise<Subject> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const { clock, start, build } = tools()
  const fake = await start({ web1: apps[0], web2: apps[1] })
  const router = await startRouter(fake.routes)
  const both = (enabled: boolean) => {
    for (const pool of [main, other]) fake.write(pool, withEnabled('web1', enabled))
  }
  return {
    servers,
    apps,
    clock,
    port: router.port,
    timeouts: { drain: undefined, add: undefined },
    build: behind => build(behind),
    cannot: { 'in flight': 'the API tells nothing of requests in flight' },
    strangers: {
      unknown: [server('web8', { host: '203.0.113.8' }), server('web9', { id: '99' })],
      ambiguous: [server('twin', { host: '203.0.113.1' })],
    },
    truth: async () =>
      [main, other].some(pool => fake.origins(pool).some(o => o.name === 'web1' && o.enabled !== false))
        ? 'in'
        : 'maintenance',
    operatorTakesOut: async () => both(false),
    reload: async () => both(true),
    fault: fake.fault,
    denied: () => ({
      balancer: build(servers, { env: { CLOUDFLARE_API_TOKEN: 'not-that-one' } }),
      secret: 'not-that-one',
    }),
    reset: async () => {
      for (const app of apps) {
        app.health(200)
        app.release()
      }
      fake.settle()
    },
    stop: async () => {
      await router.stop()
      for (const app of apps) await app.stop()
      await fake.stop()
    },
  }
}
keepsTheContract('cloudflare, a fake of it', subject)

describe('cloudflare', () => {
  const { clock, start, build } = tools({ lagMs: 0 })
  let fake: FakeCloudflare
  beforeAll(async () => {
    fake = await start()
  })
  beforeEach(() => fake.settle())
  afterAll(() => fake?.stop())

  const deps = { clock, signal, onProgress: () => undefined }
  const settings: PlaceSettings = {
    waitAfterRemoving: 0,
    waitAfterAdding: 0,
    drainTimeout: undefined,
    addTimeout: undefined,
    onDrainTimeout: 'fail',
  }
  const failure = async (work: Promise<unknown>) => {
    const error = await work.then(
      () => new Error('it was no failure'),
      (e: unknown) => e,
    )
    return `${messageOf(error)} → ${(error as BalancerError).hint}`
  }
  const placeNow = async (balancer = build()) => ({
    balancer,
    receipt: await balancer.receipt(servers[0], signal),
    settings,
  })
  const writes = () => fake.calls.filter(c => c.startsWith('PATCH')).length
  const enabled = (name = 'web1') =>
    [main, other].map(pool => fake.origins(pool).find(o => o.name === name)?.enabled !== false)
  const stateNow = async (behind: readonly Server[] = servers) =>
    (await build(behind).preflight(behind, signal)).rotation[behind[0]?.name ?? '']

  it('disables the origin in every pool, and waits what nobody tells: 30 s, and for the next check after an addition', async () => {
    const place = await placeNow()
    const before = clock.now()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(Math.round(clock.now() - before)).toBeGreaterThanOrEqual(30_000)
    expect(clock.now() - before).toBeLessThan(60_000)
    expect(enabled()).toEqual([false, false])
    const out = clock.now()
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(Math.round(clock.now() - out)).toBeGreaterThanOrEqual(15_000)
    expect(enabled()).toEqual([true, true])
  })

  it('leaves everything else in the list as it was: order, weights, headers, and what is not set', async () => {
    const place = await placeNow()
    await place.balancer.remove(place.receipt, signal)
    for (const pool of [main, other]) expect(fake.origins(pool)).toEqual(withEnabled('web1', false)(pools[pool] ?? []))
    await place.balancer.restore(place.receipt, signal)
    for (const pool of [main, other]) expect(fake.origins(pool)).toEqual(pools[pool])
  })

  it('writes nothing where it is so already', async () => {
    const { balancer, receipt } = await placeNow()
    const before = writes()
    await balancer.restore(receipt, signal)
    expect(writes()).toBe(before)
    await balancer.remove(receipt, signal)
    await balancer.remove(receipt, signal)
    expect(writes()).toBe(before + 2)
  })

  it('keeps an origin disabled that an operator disabled in one pool, and judges by the other', async () => {
    fake.write(other, withEnabled('web1', false))
    const place = await placeNow()
    expect(place.receipt.before).toBe('warming')
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(enabled()).toEqual([true, false])
  })

  it('judges by the other pools where an operator disables a whole one meanwhile', async () => {
    const place = await placeNow()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    fake.configure(other, { enabled: false })
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(enabled()).toEqual([true, true])
  })

  it.each([
    ['weight 0', () => fake.write(main, list => list.map(o => (o.name === 'web1' ? { ...o, weight: 0 } : o)))],
    ['pool-17b5 is disabled', () => fake.configure(main, { enabled: false })],
  ])('takes %s for out, and leaves it so', async (what, set) => {
    set()
    const balancer = build(servers, { pools: [main] })
    const receipt = await balancer.receipt(servers[0], signal)
    expect(receipt.before).toBe('out')
    expect(await balancer.read(receipt, signal)).toMatchObject({ state: 'out', detail: expect.stringContaining(what) })
    await balancer.remove(receipt, signal)
    await balancer.restore(receipt, signal)
    await clock.sleep(2000, signal)
    expect((await balancer.read(receipt, signal)).state).toBe('out')
  })

  describe('two writers', () => {
    it('of this process never lose each other’s changes, also not as two balancers', async () => {
      const [one, two] = [build(), build()]
      const receipts = [await one.receipt(servers[0], signal), await two.receipt(servers[1], signal)] as const
      await Promise.all([one.remove(receipts[0], signal), two.remove(receipts[1], signal)])
      expect([enabled('web1'), enabled('web2')]).toEqual([
        [false, false],
        [false, false],
      ])
      await Promise.all([one.restore(receipts[0], signal), two.restore(receipts[1], signal)])
      expect([enabled('web1'), enabled('web2')]).toEqual([
        [true, true],
        [true, true],
      ])
    })

    it('are told from each other: what another one changed after our write', async () => {
      const { balancer, receipt } = await placeNow()
      fake.once('after write', () => fake.write(main, withEnabled('web2', false)))
      const told = await failure(balancer.remove(receipt, signal))
      expect(told).toMatch(
        /pool-17b5 was written by somebody else while web1 was disabled, last at .*: web2 was changed/,
      )
      expect(told).toMatch(/→.*as a whole.*audit log/)
      // What the other one wrote is left as it is, and ours is done.
      expect(enabled('web2')).toEqual([false, true])
      await balancer.remove(receipt, signal)
      expect(enabled('web1')).toEqual([false, false])
    })

    it.each([
      ['spare was taken away', (list: readonly FakeOrigin[]) => list.filter(o => o.name !== 'spare')],
      ['new was added', (list: readonly FakeOrigin[]) => [...list, { name: 'new', address: '192.0.2.9' }]],
      [
        'web2 was changed',
        (list: readonly FakeOrigin[]) => list.map(o => (o.name === 'web2' ? { ...o, weight: 0.5 } : o)),
      ],
    ])('are told from each other: %s', async (what, change) => {
      const { balancer, receipt } = await placeNow()
      fake.once('after write', () => fake.write(main, change))
      expect(await failure(balancer.remove(receipt, signal))).toContain(what)
    })

    it('are told from each other: another one writes its older list over ours', async () => {
      const { balancer, receipt } = await placeNow()
      const stale = fake.origins(main)
      fake.once('after write', () => fake.write(main, () => stale))
      expect(await failure(balancer.remove(receipt, signal))).toMatch(
        /web1 is not disabled although Cloudflare said so: it ignored the change, or somebody else wrote the list after us/,
      )
      await balancer.remove(receipt, signal)
      expect(enabled()).toEqual([false, false])
    })

    it('are both told, where one overwrote the other', async () => {
      // The other one read before our write and writes after it; then it looks, as we do.
      const [ours, theirs] = [build(), build()]
      const receipts = [await ours.receipt(servers[0], signal), await theirs.receipt(servers[1], signal)] as const
      const read = fake.origins(main)
      fake.once('after write', () => fake.write(main, () => withEnabled('web2', false)(read)))
      expect(await failure(ours.remove(receipts[0], signal))).toContain('written by somebody else')
      expect(enabled('web1')[0]).toBe(true)
      await ours.remove(receipts[0], signal)
      await theirs.remove(receipts[1], signal)
      expect([enabled('web1'), enabled('web2')]).toEqual([
        [false, false],
        [false, false],
      ])
    })

    it('are told from each other also when the list could not be read back at once', async () => {
      const { balancer, receipt } = await placeNow()
      fake.once('after write', () => {
        fake.write(main, withEnabled('web2', false))
        fake.instead('GET', { status: 503, body: { success: false, errors: [], messages: [], result: null } }, 2)
      })
      const told = await failure(balancer.remove(receipt, signal))
      expect(told).toContain('a fault of its own')
      expect(await failure(balancer.remove(receipt, signal))).toContain('written by somebody else')
      await balancer.remove(receipt, signal)
    })

    it('are not seen in health, which changes by itself', async () => {
      const { balancer, receipt } = await placeNow()
      await clock.sleep(20_000, signal)
      await balancer.remove(receipt, signal)
      await balancer.restore(receipt, signal)
      expect(enabled()).toEqual([true, true])
    })

    it('end in a removal that is written again when its loss is seen later', async () => {
      const balancer = build(servers, { pools: [main] })
      const stale = fake.origins(main)
      let reads = 0
      const read = async (...args: Parameters<typeof balancer.read>) => {
        if (++reads === 2) fake.write(main, () => stale)
        return balancer.read(...args)
      }
      const place = { ...(await placeNow(balancer)), balancer: { ...balancer, read } }
      expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
      expect(reads).toBeGreaterThan(6)
      expect(enabled()[0]).toBe(false)
    })
  })

  describe('health', () => {
    it('is the worst of several regions', async () => {
      fake.region('Singapore, SG', { '192.0.2.1': false })
      expect(await stateNow()).toMatchObject({
        state: 'unhealthy',
        detail: expect.stringContaining('Singapore, SG: HTTP timeout occurred'),
      })
      fake.region('Singapore, SG', { '192.0.2.1': undefined })
      expect(await stateNow()).toEqual({ state: 'serving' })
    })

    it('finds an IPv6 origin however its address is written', async () => {
      const six = [server('six', { host: '2001:db8:0:0::5' })]
      fake.region('Amsterdam, NL', { '2001:DB8::5': undefined, '2001:db8:0::5': false })
      expect((await build(six, { pools: [main] }).preflight(six, signal)).rotation['six']).toEqual({ state: 'serving' })
      fake.region('Amsterdam, NL', { '2001:DB8::5': false })
      expect((await build(six, { pools: [main] }).preflight(six, signal)).rotation['six']?.state).toBe('unhealthy')
    })

    it('is not asked for where the pool has no monitor: enabled is serving then', async () => {
      for (const pool of [main, other]) fake.configure(pool, { monitor: null })
      const before = fake.calls.length
      const { balancer, receipt } = await placeNow()
      expect(receipt.before).toBe('serving')
      expect(await balancer.evidence(receipt, signal)).toMatchObject({ serving: 'state', addSettleMs: 0 })
      expect(fake.calls.slice(before).filter(c => c.endsWith('/health'))).toEqual([])
    })

    it('that is not known yet is not good', async () => {
      const unavailable = { errors: [{ code: 1002, message: 'Health info unavailable' }], success: false }
      fake.write(main, list => [...list, { name: 'new', address: '192.0.2.9' }])
      fake.instead('GET', { status: 200, body: { success: true, result: { ...poolBody, origins: [{ ...web1 }] } } })
      const balancer = build(servers, { pools: [main] })
      fake.instead('health' as 'GET', { status: 404, body: unavailable })
      expect((await balancer.preflight([servers[0]], signal)).rotation['web1']?.state).toBe('warming')
    })
  })
  const poolBody = { id: main, name: 'pool-17b5', enabled: true, minimum_origins: 1, monitor: monitorId }

  it('says in preflight what it cannot know, what that costs, and what to set', async () => {
    expect((await build().preflight(servers, signal)).warnings).toEqual([expect.stringMatching(/in flight.* 30 s /)])
    fake.configure(main, { minimum_origins: 3 })
    fake.configure(other, { monitor: null })
    expect((await build().preflight(servers, signal)).warnings.slice(1)).toEqual([
      expect.stringMatching(/pool-17b5 needs 3 healthy origins and 3 are enabled.*lower minimum_origins/),
      expect.stringMatching(/pool-9290 has no monitor.*give it a monitor/),
    ])
  })

  it('believes "serving" no sooner than the next check, and waits as long as the monitor may take', async () => {
    const { balancer, receipt } = await placeNow()
    expect(await balancer.evidence(receipt, signal)).toEqual({
      drained: 'none',
      serving: 'health',
      settleMs: 30_000,
      addSettleMs: 15_000,
      pollMs: 5000,
      longestAddMs: 30_000,
    })
  })

  it.each([
    ['its name', [server('web1')], {}],
    ['its name, by `member`', [server('1')], { member: 'webNAME' }],
    ['its address', [server('a', { host: '192.0.2.1' })], {}],
    ['the address in `id`', [server('a', { id: '192.0.2.1' })], {}],
    ['address and port', [server('a')], { member: '192.0.2.1:0' }],
  ])('finds an origin by %s', async (_, behind, more) => {
    const { rotation } = await build(behind, more).preflight(behind, signal)
    expect(Object.values(rotation)).toEqual([{ state: 'serving' }])
  })

  it('finds an origin by a host name, and one of several ports', async () => {
    const behind = [server('a', { host: 'Spare.Example.com' }), server('b', { id: '192.0.2.3:8002' })]
    const { rotation } = await build(behind, { pools: [main] }).preflight(behind, signal)
    expect(rotation).toMatchObject({ a: { state: 'out' }, b: { state: 'out' } })
  })

  it('names every pool in which a server is missing or could be several origins', async () => {
    const behind = [server('spare'), server('twin')]
    const told = await failure(build(behind).preflight(behind, signal))
    expect(told).toMatch(/spare: of the origins of pool pool-9290 none is called spare/)
    expect(told).toMatch(/twin: of the origins of pool pool-17b5 2 are called twin.*192\.0\.2\.3:8001/)
    expect(told).toMatch(/→.*`member`/)
  })

  it('refuses two servers that are one origin', async () => {
    const behind = [server('web1'), server('b', { host: '192.0.2.1' })]
    expect(await failure(build(behind).preflight(behind, signal))).toContain('web1 and b are all web1')
  })

  it('tells its own removal from none, and from an operator’s weight 0', async () => {
    const { balancer, receipt } = await placeNow()
    expect(await balancer.isOurs?.(receipt, signal)).toBe(false)
    await balancer.remove(receipt, signal)
    expect(await build().isOurs?.(receipt, signal)).toBe(true)
  })

  it('asks once for all servers', async () => {
    const balancer = build()
    const receipts = await Promise.all(servers.map(s => balancer.receipt(s, signal)))
    const before = fake.calls.length
    await clock.sleep(5000, signal)
    await Promise.all(receipts.map(r => balancer.read(r, signal)))
    // Two pools, each with its health.
    expect(fake.calls.slice(before)).toHaveLength(4)
  })

  it.each([
    [{ env: { CLOUDFLARE_API_TOKEN: '' } }, /no token.*CLOUDFLARE_API_TOKEN is not set/],
    [{ env: { CLOUDFLARE_BASE_URL: 'http://192.0.2.1/client/v4' } }, /CLOUDFLARE_BASE_URL is not the URL/],
    [{ account: '0'.repeat(32) }, /may not do that.*→.*Load Balancing: Monitors and Pools Read/],
    [{ pools: ['0'.repeat(32)] }, /there is no pool 0{32} in account/],
    [{ account: '../zones' }, /cannot be the id of a Cloudflare account/],
    [{ pools: ['a/../b'] }, /cannot be the id of a Cloudflare pool/],
  ])('says in preflight what is wrong: %j', async (more, message) => {
    expect(await failure(build(servers, more).preflight(servers, signal))).toMatch(message)
  })

  it('says which right a token lacks that may only read', async () => {
    const { balancer, receipt } = await placeNow()
    fake.instead('PATCH', { status: 403, body: { success: false, errors: [{ code: 10000, message: 'Auth' }] } }, 2)
    expect(await failure(balancer.remove(receipt, signal))).toMatch(/Load Balancing: Monitors and Pools Write/)
  })

  it.each([
    { pools: [{ pool: '../zones', enabled: true, traffic: true }] },
    { pools: [{ pool: main, enabled: 'true', traffic: true }] },
    {},
  ])('uses nothing of a receipt that has another form: %j', async data => {
    const { balancer, receipt } = await placeNow()
    const before = fake.calls.length
    expect(await failure(balancer.restore({ ...receipt, data }, signal))).toMatch(/cannot be used → .*by hand/)
    expect(fake.calls.length).toBe(before)
  })

  it('writes no pool that the manifest does not name, whatever a receipt says', async () => {
    const balancer = build(servers, { pools: [main] })
    const receipt = await balancer.receipt(servers[0], signal)
    const before = writes()
    const more = { pools: [{ pool: other, enabled: true, traffic: true }] }
    await balancer.remove({ ...receipt, data: more }, signal)
    expect(writes()).toBe(before)
  })

  it('types the command that puts a server back, without the token', async () => {
    const { balancer, receipt } = await placeNow()
    const command = balancer.byHand(receipt)
    expect(command.split('\n')).toHaveLength(2)
    expect(command).toMatch(new RegExp(`jq .*name == "web1" then .enabled = true.*pools/${main}.*# web1`))
    expect(command).not.toContain(token)
  })
})

describe('the fake of cloudflare', () => {
  it('refuses what the description does not know, and fails the test that sent it', async () => {
    const fake = await tools().start()
    const send = async (method: string, path: string, body?: unknown) =>
      (
        await fetch(`${fake.url}/client/v4/accounts/${fake.account}/load_balancers/${path}`, {
          method,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
      ).status
    expect(await send('POST', `pools/${main}`, { origins: [] })).toBe(404)
    expect(await send('PATCH', `pools/${main}`, { origins: [{ ...web1, disabled_at: '2026-01-01T00:00:00Z' }] })).toBe(
      422,
    )
    expect(await send('PATCH', `pools/${main}`, { origins: [{ ...web1, healthy: true }] })).toBe(422)
    expect(await send('PATCH', `pools/${main}`, { origins: [{ ...web1, weight: 2 }] })).toBe(422)
    expect(await send('GET', 'pools/short')).toBe(404)
    expect(fake.origins(main)).toEqual(pools[main])
    await expect(fake.stop()).rejects.toThrow(/do not fit the description(.*\n){5}/)
  })
})
