import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import { hetzner } from '../../src/balancers/hetzner.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { type BalancerError, messageOf } from '../../src/errors.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { keepsTheContract, type Subject } from './contract.ts'
import { type FakeHetzner, fakeHetzner, type HetznerFacts, type HetznerServer } from './fake-hetzner.ts'
import { server } from './fixtures.ts'
import { type GatedApp, gatedApp } from './gated-app.ts'
import { startRouter } from './routing.ts'

const { signal } = new AbortController()
const token = 'only-for-this-test'
const servers = [server('web1', { host: '192.0.2.1' }), server('web2', { host: '192.0.2.2' })] as const

/** So many that one page does not hold them; the two that count come last. */
const machines: readonly HetznerServer[] = [
  ...Array.from({ length: 105 }, (_, i) => ({ id: 1000 + i, name: `other${i}`, ipv4: `198.51.100.${i}` })),
  { id: 1, name: 'web1', ipv4: '192.0.2.1', ipv6: '2001:db8:1::/64', private: ['10.0.0.1'] },
  { id: 2, name: 'web2', ipv4: '192.0.2.2', private: ['10.0.0.2'] },
  { id: 3, name: 'net-a', private: ['10.0.0.9'] },
  { id: 4, name: 'net-b', private: ['10.0.0.9'] },
]

const settingsOf = (more: Partial<BalancerOf<'hetzner'>> = {}): BalancerOf<'hetzner'> => ({
  provider: 'hetzner',
  roles: [],
  on_drain_timeout: 'continue',
  load_balancer: '4711',
  ...more,
})

function tools(facts: Partial<HetznerFacts> = {}) {
  const clock = fakeClock()
  let fake: FakeHetzner
  return {
    clock,
    start: async (behind: HetznerFacts['behind'] = {}) => {
      fake = await fakeHetzner({ clock, token, servers: machines, behind, ...facts })
      fake.settle(['1', '2'])
      return fake
    },
    build: (
      those: readonly Server[] = servers,
      { env = {}, ...more }: Partial<BalancerOf<'hetzner'>> & { env?: Record<string, string> } = {},
    ) =>
      hetzner(
        'edge',
        settingsOf(more),
        {
          servers: those,
          resolve: (text, at) => text.replace('NAME', at.name),
          runnerEnv: { HCLOUD_TOKEN: token, HCLOUD_ENDPOINT: fake.url, ...env },
        },
        clock,
      ),
  }
}

/** The service on 443 is the one whose health a test changes. */
const behindOf = (app: GatedApp) => ({
  name: app.name,
  port: app.port,
  status: (port: number) => (port === 443 ? app.status() : 200),
})

async function subject(): Promise<Subject> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const { clock, start, build } = tools()
  const fake = await start({ 1: behindOf(apps[0]), 2: behindOf(apps[1]) })
  const router = await startRouter(fake.routes)
  return {
    servers,
    apps,
    clock,
    port: router.port,
    timeouts: { drain: undefined, add: undefined },
    build: those => build(those),
    cannot: { 'in flight': 'the API tells nothing of requests in flight' },
    strangers: {
      unknown: [server('web8', { host: '203.0.113.8' }), server('web9', { id: '99' })],
      ambiguous: [server('inner', { host: '10.0.0.9' })],
    },
    truth: async () => (fake.target('1') ? 'in' : 'maintenance'),
    operatorTakesOut: async () => fake.take('1'),
    reload: async () => fake.put('1'),
    fault: fake.fault,
    denied: () => ({ balancer: build(servers, { env: { HCLOUD_TOKEN: 'not-that-one' } }), secret: 'not-that-one' }),
    reset: async () => {
      fake.heal()
      for (const app of apps) {
        app.health(200)
        app.release()
      }
      fake.settle(['1', '2'])
    },
    stop: async () => {
      await router.stop()
      for (const app of apps) await app.stop()
      await fake.stop()
    },
  }
}
keepsTheContract('hetzner, a fake of it', subject)

describe('hetzner', () => {
  let status = 200
  const behind = { 1: { name: 'web1', port: 1, status: (port: number) => (port === 443 ? status : 200) } }
  const { clock, start, build } = tools({ lagMs: 0 })
  let fake: FakeHetzner
  beforeAll(async () => {
    fake = await start(behind)
  })
  beforeEach(() => {
    status = 200
    fake.settle(['1', '2'])
  })
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
  const placeOf = async (balancer = build(), at: Server = servers[0]) => ({
    balancer,
    receipt: await balancer.receipt(at, signal),
    settings,
  })

  it('is drained 15 s after a removal at the soonest, since nothing tells what is in flight', async () => {
    const place = await placeOf()
    const before = clock.now()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(clock.now() - before).toBeGreaterThanOrEqual(15_000)
    expect((await place.balancer.preflight(servers, signal)).warnings).toEqual([expect.stringContaining('15 s')])
  })

  it.each([true, false])('puts a target back as it was: use_private_ip %s', async usePrivateIp => {
    fake.settle(['1', '2'], usePrivateIp)
    const place = await placeOf()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(fake.target('1')).toBeUndefined()
    const another = { ...place, balancer: build(), receipt: JSON.parse(JSON.stringify(place.receipt)) }
    expect(await bringBack([another], deps)).toMatchObject({ result: 'serving' })
    expect(fake.target('1')).toEqual({ use_private_ip: usePrivateIp })
    const net = usePrivateIp ? ' --use-private-ip' : ''
    expect(another.balancer.byHand(another.receipt)).toBe(
      `hcloud load-balancer add-target 4711 --server 1${net} # web1`,
    )
  })

  it('takes the target of a dedicated server out and puts it back, by its IP', async () => {
    const root = server('root', { host: 'root.example.com', id: '203.0.113.5' })
    fake.settle(['1', '203.0.113.5'])
    const place = await placeOf(build([root]), root)
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(fake.target('203.0.113.5')).toBeUndefined()
    const report = await build([root]).preflight([root], signal)
    expect(report.rotation['root']?.state).toBe('out')
    expect(report.warnings.join()).toMatch(/dedicated servers that are out.*root \(203\.0\.113\.5\)/)
    expect(await bringBack([{ ...place, balancer: build([root]) }], deps)).toMatchObject({ result: 'serving' })
    expect(fake.target('203.0.113.5')).toBeDefined()
    expect(place.balancer.byHand(place.receipt)).toContain('--ip 203.0.113.5 ')
  })

  it('does not guess that an address nobody has is a dedicated server: its target may have another IP', async () => {
    const root = server('root', { host: '203.0.113.5' })
    expect(await failure(build([root]).preflight([root], signal))).toMatch(/root: .*none at 203\.0\.113\.5.*its IP/)
  })

  it('refuses servers that a label selector chose, all of them at once, and says what to do', async () => {
    fake.settle([])
    fake.set({ chosen: [1, 2] })
    const told = await failure(build().preflight(servers, signal))
    expect(told).toMatch(/web1 \(role=web\), web2 \(role=web\) by label.*→.*target of its own.*health-file/)
    expect(await failure(build().receipt(servers[0], signal))).toContain('by label')
  })

  it('refuses a server that is a target twice: a removal would leave the other one', async () => {
    fake.set({ chosen: [1] })
    expect(await failure(build().preflight(servers, signal))).toMatch(/web1 \(role=web\) by label/)
  })

  it('serves only when it is healthy in every service', async () => {
    status = 500
    const { rotation } = await build().preflight(servers, signal)
    expect(rotation).toEqual({
      web1: { state: 'unhealthy', detail: 'port 443: unhealthy' },
      web2: { state: 'serving' },
    })
  })

  it('does not know where a server stands at a load balancer without services', async () => {
    fake.set({ services: false })
    expect((await build().preflight(servers, signal)).rotation['web1']?.state).toBe('unknown')
  })

  it('waits for its own change to end before it believes the list', async () => {
    fake.set({ actionMs: 60_000 })
    const { balancer, receipt } = await placeOf()
    await balancer.remove(receipt, signal)
    expect(await balancer.read(receipt, signal)).toEqual({ state: 'draining', detail: expect.stringContaining('runs') })
    await clock.sleep(60_000, signal)
    expect((await balancer.read(receipt, signal)).state).toBe('out')
    await balancer.restore(receipt, signal)
    expect(await balancer.read(receipt, signal)).toEqual({ state: 'warming', detail: expect.stringContaining('runs') })
    await clock.sleep(60_000, signal)
    expect(await balancer.read(receipt, signal)).toEqual({ state: 'serving' })
  })

  it('does not take a server that is just leaving for one that is there', async () => {
    fake.set({ actionMs: 10_000, shown: 'at end' })
    const place = await placeOf()
    await place.balancer.remove(place.receipt, signal)
    const error = await place.balancer.restore(place.receipt, signal).catch((e: unknown) => e)
    expect(error).toMatchObject({ retryAfterMs: 0 })
    expect(messageOf(error)).toMatch(/web1 cannot be changed yet: action \d+, remove_target, runs/)
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(fake.target('1')).toBeDefined()
  })

  it('asks for the same change once while it runs', async () => {
    fake.set({ actionMs: 10_000, shown: 'at end' })
    const { balancer, receipt } = await placeOf()
    const before = fake.calls.filter(c => c.startsWith('POST')).length
    await balancer.remove(receipt, signal)
    await balancer.remove(receipt, signal)
    expect(fake.calls.filter(c => c.startsWith('POST')).length - before).toBe(1)
  })

  it('tells of a change that failed, and asks for it again', async () => {
    fake.set({ fails: { code: 'action_failed', message: 'no\nroom' } })
    const place = await placeOf()
    await place.balancer.remove(place.receipt, signal)
    await clock.sleep(5000, signal)
    const error = await place.balancer.read(place.receipt, signal).catch((e: unknown) => e)
    expect(messageOf(error)).toMatch(/remove_target of web1 failed \(action \d+\): action_failed: no room/)
    expect((await place.balancer.read(place.receipt, signal)).state).toBe('serving')
    expect(await takeOut([place], deps)).toMatchObject({ result: 'failed', back: { result: 'serving' } })
    fake.set({ fails: null })
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
  })

  it('takes a target that is there already for added, and one that is gone for removed', async () => {
    const [one, two] = [await placeOf(), await placeOf()]
    await one.balancer.remove(one.receipt, signal)
    await two.balancer.remove(two.receipt, signal)
    expect(fake.target('1')).toBeUndefined()
    await one.balancer.restore(one.receipt, signal)
    await two.balancer.restore(two.receipt, signal)
    expect(fake.target('1')).toBeDefined()
  })

  it('gets two servers out although one change locks the load balancer', async () => {
    fake.set({ locks: true, actionMs: 3000 })
    const places = [await placeOf(), await placeOf(build(), servers[1])]
    const took = await Promise.all(places.map(place => takeOut([place], deps)))
    expect(took.map(t => t.result)).toEqual(['drained', 'drained'])
    const back = await Promise.all(places.map(place => bringBack([place], deps)))
    expect(back.map(b => b.result)).toEqual(['serving', 'serving'])
  })

  it.each([
    ['its number', [server('a', { id: '1' })], {}],
    ['what `member` says', [server('1')], { member: 'webNAME' }],
    ['a private address', [server('a', { host: '10.0.0.1' })], {}],
    ['an address in its IPv6 network', [server('a', { host: '2001:db8:1::5' })], {}],
  ])('finds a server by %s', async (_, those, more) => {
    const { rotation } = await build(those, more).preflight(those, signal)
    expect(Object.values(rotation)).toEqual([{ state: 'serving' }])
  })

  it('refuses two servers that are one machine', async () => {
    const those = [servers[0], server('b', { id: '1' })]
    expect(await failure(build(those).preflight(those, signal))).toContain('web1 and b are all 1')
  })

  it('asks once for all servers', async () => {
    const balancer = build()
    const receipts = await Promise.all(servers.map(s => balancer.receipt(s, signal)))
    const before = fake.calls.length
    await clock.sleep(5000, signal)
    await Promise.all(receipts.map(r => balancer.read(r, signal)))
    expect(fake.calls.length - before).toBe(1)
  })

  it('uses nothing of a receipt that has another form', async () => {
    const { balancer, receipt } = await placeOf()
    await balancer.remove(receipt, signal)
    const forged = { ...receipt, data: { usePrivateIp: 'yes; rm -rf /' } }
    expect(await failure(balancer.restore(forged, signal))).toContain('cannot be used')
  })

  it.each([
    [{ HCLOUD_TOKEN: '' }, {}, /no token.*HCLOUD_TOKEN is not set/],
    [{ HCLOUD_ENDPOINT: 'http://192.0.2.1/' }, {}, /HCLOUD_ENDPOINT is not the URL/],
    [{}, { load_balancer: '4712' }, /there is no load balancer 4712/],
    [{}, { load_balancer: 'my-lb' }, /"my-lb" cannot be the id.*numbers/],
  ])('says in preflight what is wrong: %j %j', async (env, more, message) => {
    expect(await failure(build(servers, { env, ...more }).preflight(servers, signal))).toMatch(message)
  })
})

describe('the fake', () => {
  it('refuses what the description does not know, and fails the test that sent it', async () => {
    const fake = await tools().start()
    const send = async (method: string, path: string, body?: unknown) =>
      (
        await fetch(fake.url + path, {
          method,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
      ).status
    const actions = '/load_balancers/4711/actions'
    expect(await send('DELETE', '/load_balancers/4711/targets/1')).toBe(404)
    expect(await send('POST', `${actions}/add_target`, { type: 'server', server: 1 })).toBe(422)
    expect(
      await send('POST', `${actions}/remove_target`, { type: 'server', server: { id: 1 }, use_private_ip: true }),
    ).toBe(422)
    expect(
      await send('POST', `${actions}/add_target`, { type: 'ip', ip: { ip: '192.0.2.9' }, use_private_ip: true }),
    ).toBe(422)
    expect(await send('GET', '/servers?per_page=51')).toBe(400)
    expect((await fetch(`${fake.url}/servers`)).status).toBe(401)
    await expect(fake.stop()).rejects.toThrow(/do not fit the description/)
    expect(fake.misfits).toHaveLength(5)
  })
})
