import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import { digitalocean } from '../../src/balancers/digitalocean.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { type BalancerError, messageOf } from '../../src/errors.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { keepsTheContract, type Subject } from './contract.ts'
import { type DigitaloceanFacts, type Droplet, type FakeDigitalocean, fakeDigitalocean } from './fake-digitalocean.ts'
import { server } from './fixtures.ts'
import { gatedApp } from './gated-app.ts'
import { startRouter } from './routing.ts'

const { signal } = new AbortController()
const token = 'dop_v1_only-for-this-test'
const servers = [server('web1', { host: '192.0.2.1' }), server('web2', { host: '192.0.2.2' })] as const

/** So many that one page does not hold them; the two that count come last. */
const droplets: readonly Droplet[] = [
  ...Array.from({ length: 205 }, (_, i) => ({ id: 1000 + i, name: `other${i}`, v4: [`198.51.100.${i}`] })),
  { id: 1, name: 'web1', v4: ['192.0.2.1', '10.0.0.1'], v6: ['2001:db8::1'] },
  { id: 2, name: 'web2', v4: ['192.0.2.2', '10.0.0.2'] },
  { id: 3, name: 'twin', v4: ['192.0.2.3'] },
  { id: 4, name: 'twin', v4: ['192.0.2.4'] },
]

const settingsOf = (more: Partial<BalancerOf<'digitalocean'>> = {}): BalancerOf<'digitalocean'> => ({
  provider: 'digitalocean',
  roles: [],
  on_drain_timeout: 'continue',
  load_balancer: '${{ env.LB }}',
  ...more,
})

function tools(facts: Partial<DigitaloceanFacts> = {}) {
  const clock = fakeClock()
  let fake: FakeDigitalocean
  return {
    clock,
    start: async (backends: DigitaloceanFacts['backends'] = {}) => {
      fake = await fakeDigitalocean({ clock, token, droplets, backends, ...facts })
      fake.settle([1, 2])
      return fake
    },
    build: (
      behind: readonly Server[] = servers,
      { env = {}, ...more }: Partial<BalancerOf<'digitalocean'>> & { env?: Record<string, string> } = {},
    ) =>
      digitalocean(
        'edge',
        settingsOf(more),
        {
          servers: behind,
          resolve: (text, at) => text.replace('${{ env.LB }}', fake.id).replace('NAME', at.name),
          runnerEnv: { DIGITALOCEAN_TOKEN: token, DIGITALOCEAN_API_URL: fake.url, ...env },
        },
        clock,
      ),
  }
}

async function subject(): Promise<Subject> {
  const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
  const { clock, start, build } = tools()
  const fake = await start({ 1: apps[0], 2: apps[1] })
  const router = await startRouter(fake.routes)
  return {
    servers,
    apps,
    clock,
    port: router.port,
    timeouts: { drain: undefined, add: undefined },
    build: behind => build(behind),
    cannot: {
      'in flight': 'the API tells nothing of requests in flight',
      unhealthy: "the API tells nothing of a droplet's health",
    },
    strangers: {
      unknown: [server('web8', { host: '203.0.113.8' }), server('web9', { id: '99' })],
      ambiguous: [server('twin', { host: '203.0.113.1' })],
    },
    truth: async () => (fake.has(1) ? 'in' : 'maintenance'),
    operatorTakesOut: async () => fake.take(1),
    reload: async () => fake.put(1),
    fault: fake.fault,
    denied: () => ({
      balancer: build(servers, { env: { DIGITALOCEAN_TOKEN: 'not-that-one' } }),
      secret: 'not-that-one',
    }),
    reset: async () => {
      fake.heal()
      for (const app of apps) {
        app.health(200)
        app.release()
      }
      fake.settle([1, 2])
    },
    stop: async () => {
      await router.stop()
      for (const app of apps) await app.stop()
      await fake.stop()
    },
  }
}
keepsTheContract('digitalocean, a fake of it', subject)

describe('digitalocean', () => {
  const { clock, start, build } = tools({ lagMs: 0 })
  let fake: FakeDigitalocean
  beforeAll(async () => {
    fake = await start()
  })
  beforeEach(() => fake.settle([1, 2]))
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

  it('waits what nobody tells: 15 s after a removal, interval × healthy threshold after an addition', async () => {
    const balancer = build()
    const place = { balancer, receipt: await balancer.receipt(servers[0], signal), settings }
    const before = clock.now()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(clock.now() - before).toBeGreaterThanOrEqual(15_000)
    const out = clock.now()
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(clock.now() - out).toBeGreaterThanOrEqual(30_000)
    expect(clock.now() - out).toBeLessThan(60_000)
  })

  it('is warming, and not serving, for every asker until then', async () => {
    const balancer = build()
    const receipt = await balancer.receipt(servers[0], signal)
    await balancer.remove(receipt, signal)
    await balancer.restore(receipt, signal)
    const { rotation } = await balancer.preflight(servers, signal)
    expect(rotation).toMatchObject({ web1: { state: 'warming' }, web2: { state: 'serving' } })
    expect((await balancer.evidence(receipt, signal)).longestAddMs).toBe(30_000)
  })

  it('waits for nothing where a server was never taken out', async () => {
    const balancer = build()
    const receipt = await balancer.receipt(servers[0], signal)
    await balancer.restore(receipt, signal)
    expect(await balancer.read(receipt, signal)).toEqual({ state: 'serving' })
  })

  it('says in preflight what it cannot know, and what that costs', async () => {
    const { warnings } = await build().preflight(servers, signal)
    expect(warnings).toEqual([expect.stringMatching(/neither what is in flight nor who is healthy.* 15 s .* 30 s /)])
  })

  it('refuses a load balancer that chooses droplets by a tag, and says what to do', async () => {
    fake.set({ tag: 'prod:web' })
    expect(await failure(build().preflight(servers, signal))).toMatch(/by the tag prod:web.*→.*by id.*health-file/)
  })

  it('refuses a global load balancer, and warns of one that is not active', async () => {
    fake.set({ type: 'GLOBAL' })
    expect(await failure(build().preflight(servers, signal))).toMatch(/global.*→.*regional/)
    fake.set({ type: 'REGIONAL', status: 'errored' })
    expect((await build().preflight(servers, signal)).warnings.join()).toContain('is errored')
  })

  it.each([
    ['its id', [server('a', { id: '1' })], {}],
    ['what `member` says', [server('web1')], { member: '1' }],
    ['its name, by `member`', [server('1')], { member: 'webNAME' }],
    ['a private address', [server('a', { host: '10.0.0.1' })], {}],
    ['an IPv6 address', [server('a', { host: '2001:0db8:0::1' })], {}],
  ])('finds a droplet by %s', async (_, behind, more) => {
    const { rotation } = await build(behind, more).preflight(behind, signal)
    expect(Object.values(rotation)).toEqual([{ state: 'serving' }])
  })

  it('needs no right to read droplets where ids are given and in the list', async () => {
    const behind = [server('a', { id: '1' })]
    const before = fake.calls.length
    await build(behind).preflight(behind, signal)
    expect(fake.calls.slice(before)).toEqual([`GET /v2/load_balancers/${fake.id}`])
  })

  it('tells a droplet that exists and is not in the list from one that does not exist', async () => {
    const behind = [server('a', { id: '3' })]
    expect((await build(behind).preflight(behind, signal)).rotation['a']?.state).toBe('out')
  })

  it('refuses two servers that are one droplet', async () => {
    const behind = [server('web1', { host: '192.0.2.1' }), server('b', { host: '10.0.0.1' })]
    expect(await failure(build(behind).preflight(behind, signal))).toContain('web1 and b are all 1')
  })

  it('asks once for all servers', async () => {
    const balancer = build()
    const receipts = await Promise.all(servers.map(s => balancer.receipt(s, signal)))
    const before = fake.calls.length
    await clock.sleep(5000, signal)
    await Promise.all(receipts.map(r => balancer.read(r, signal)))
    expect(fake.calls.length - before).toBe(1)
  })

  it('says of a load balancer that is busy that it is to be told again, not that a right is missing', async () => {
    fake.set({ busyMs: 20_000 })
    const [one, two] = [build(), build()]
    const receipts = [await one.receipt(servers[0], signal), await two.receipt(servers[1], signal)] as const
    await one.remove(receipts[0], signal)
    const error = await two.remove(receipts[1], signal).catch((e: unknown) => e)
    expect(error).toMatchObject({ retryAfterMs: 0 })
    expect(messageOf(error)).toContain('busy with another change')
    const place = { balancer: two, receipt: receipts[1], settings }
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
  })

  it.each([
    [{ DIGITALOCEAN_TOKEN: '' }, /no token.*DIGITALOCEAN_TOKEN or DIGITALOCEAN_ACCESS_TOKEN is not set/],
    [{ DIGITALOCEAN_API_URL: 'http://192.0.2.1/' }, /DIGITALOCEAN_API_URL is not the URL/],
  ])('says in preflight what is missing: %j', async (env, message) => {
    expect(await failure(build(servers, { env }).preflight(servers, signal))).toMatch(message)
  })

  it('says of a load balancer that is not there what was looked for', async () => {
    const load_balancer = '00000000-0000-4000-8000-000000000000'
    const told = await failure(build(servers, { load_balancer }).preflight(servers, signal))
    expect(told).toContain(`there is no load balancer ${load_balancer}`)
    expect(await failure(build(servers, { load_balancer: '../droplets' }).preflight(servers, signal))).toContain(
      'cannot',
    )
  })

  it('types the command that puts a server back', async () => {
    const balancer = build()
    const receipt = await balancer.receipt(servers[0], signal)
    expect(balancer.byHand(receipt)).toBe(`doctl compute load-balancer add-droplets ${fake.id} --droplet-ids 1 # web1`)
  })
})

describe('the fake', () => {
  it('refuses what the description does not know, and fails the test that sent it', async () => {
    const { start } = tools()
    const fake = await start()
    const send = async (method: string, path: string, body?: unknown) =>
      (
        await fetch(fake.url + path, {
          method,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
      ).status
    expect(await send('PUT', `/v2/load_balancers/${fake.id}/droplets`, {})).toBe(404)
    expect(await send('POST', `/v2/load_balancers/${fake.id}/droplets`, { droplet_ids: ['1'] })).toBe(422)
    expect(await send('POST', `/v2/load_balancers/${fake.id}/droplets`, { droplet_ids: [1], more: 1 })).toBe(422)
    expect(await send('GET', '/v2/droplets?per_page=201')).toBe(400)
    expect((await fetch(`${fake.url}/v2/droplets`)).status).toBe(401)
    await expect(fake.stop()).rejects.toThrow(/do not fit the description(.*\n){4}/)
  })
})
