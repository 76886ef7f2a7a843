import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import { linode } from '../../src/balancers/linode.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { type BalancerError, messageOf } from '../../src/errors.ts'
import type { BalancerOf, Server } from '../../src/manifest/manifest.ts'
import { fakeClock } from '../support/fake-clock.ts'
import { keepsTheContract, type Subject } from './contract.ts'
import { type FakeLinode, type FakeNode, fakeLinode, type LinodeFacts } from './fake-linode.ts'
import { server } from './fixtures.ts'
import { gatedApp } from './gated-app.ts'
import { startRouter } from './routing.ts'

const { signal } = new AbortController()
const token = 'only-for-this-test-0123456789abcdef'
const servers = [server('web1', { host: '192.0.2.1' }), server('web2', { host: '192.0.2.2' })] as const

const node = (id: number, label: string, host: number, port: number): FakeNode => ({
  id,
  label,
  address: `192.168.210.${host}:${port}`,
})
/** So many that one page does not hold them; those that count come last. The same Linode has another node in each config. */
const configs = {
  4567: [
    ...Array.from({ length: 105 }, (_, i) => node(1000 + i, `other${i}`, 100 + i, 80)),
    node(1, 'web1', 1, 80),
    node(2, 'web2', 2, 80),
    node(3, 'twin', 3, 80),
    node(4, 'twin', 4, 80),
    node(5, 'two-ports', 5, 80),
    node(6, 'two-ports-b', 5, 81),
  ],
  4568: [node(1, 'web1', 1, 443), node(2, 'web2', 2, 443), node(3, 'twin', 3, 443), node(5, 'two-ports', 5, 443)],
}

const settingsOf = (more: Partial<BalancerOf<'linode'>> = {}): BalancerOf<'linode'> => ({
  roles: [],
  provider: 'linode',
  on_drain_timeout: 'continue',
  nodebalancer: '${{ env.NODEBALANCER }}',
  configs: ['4567', '4568'],
  ...more,
})

function tools(facts: Partial<LinodeFacts> = {}) {
  const clock = fakeClock()
  let fake: FakeLinode
  return {
    clock,
    start: async (backends: LinodeFacts['backends'] = {}) => {
      fake = await fakeLinode({ clock, token, configs, backends, ...facts })
      return fake
    },
    build: (
      behind: readonly Server[] = servers,
      { env = {}, ...more }: Partial<BalancerOf<'linode'>> & { env?: Record<string, string> } = {},
    ) =>
      linode(
        'edge',
        settingsOf(more),
        {
          servers: behind,
          resolve: (text, at) => text.replace('${{ env.NODEBALANCER }}', String(fake.id)).replace('NAME', at.name),
          runnerEnv: { LINODE_TOKEN: token, LINODE_URL: `${fake.url}/v4`, ...env },
        },
        clock,
      ),
  }
}

const subject = (facts: Partial<LinodeFacts> = {}) =>
  async function start(): Promise<Subject> {
    const apps = [await gatedApp('web1'), await gatedApp('web2')] as const
    const { clock, start, build } = tools(facts)
    const fake = await start({ web1: apps[0], web2: apps[1] })
    const others = () => {
      for (const other of [...configs[4567], ...configs[4568]]) if (other.id > 2) fake.set(other.id, { mode: 'reject' })
    }
    const router = await startRouter(fake.routes)
    return {
      servers,
      apps,
      clock,
      port: router.port,
      timeouts: { drain: undefined, add: undefined },
      build: behind => build(behind),
      cannot: { 'in flight': 'the API has no count of connections per node' },
      strangers: {
        unknown: [server('web8', { host: '203.0.113.8' }), server('web9', { id: '99' })],
        ambiguous: [server('twin', { host: '203.0.113.1' })],
      },
      truth: async () => {
        const modes = [fake.node(4567, 1).mode, fake.node(4568, 1).mode]
        if (modes.includes('accept')) return 'in'
        return modes.includes('drain') ? 'draining' : 'maintenance'
      },
      operatorTakesOut: async () => fake.set(1, { mode: 'reject' }),
      reload: async () => fake.set(1, { mode: 'accept' }),
      fault: fake.fault,
      denied: () => ({ balancer: build(servers, { env: { LINODE_TOKEN: 'not-that-one' } }), secret: 'not-that-one' }),
      reset: async () => {
        for (const app of apps) {
          app.health(200)
          app.release()
        }
        fake.settle()
        others()
      },
      stop: async () => {
        await router.stop()
        for (const app of apps) await app.stop()
        await fake.stop()
      },
    }
  }
keepsTheContract('linode, a fake of it', subject())
keepsTheContract('linode with sticky sessions, a fake of it', subject({ settings: { stickiness: 'http_cookie' } }))

describe('linode', () => {
  const { clock, start, build } = tools({ lagMs: 0 })
  let fake: FakeLinode
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
  const modes = () => [fake.node(4567, 1).mode, fake.node(4568, 1).mode]
  const placeNow = async (balancer = build()) => ({
    balancer,
    receipt: await balancer.receipt(servers[0], signal),
    settings,
  })

  it('drains the node of every config, and waits what nobody tells: 15 s, and for the next check after an addition', async () => {
    const place = await placeNow()
    const before = clock.now()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(Math.round(clock.now() - before)).toBeGreaterThanOrEqual(15_000)
    expect(clock.now() - before).toBeLessThan(60_000)
    expect(modes()).toEqual(['drain', 'drain'])
    expect([fake.node(4567, 2).mode, fake.node(4568, 2).mode]).toEqual(['accept', 'accept'])
    const out = clock.now()
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(Math.round(clock.now() - out)).toBeGreaterThanOrEqual(5000)
    expect(modes()).toEqual(['accept', 'accept'])
  })

  it('puts back mode and weight as they were, each config its own', async () => {
    fake.set(1, { weight: 7 }, 4567)
    fake.set(1, { mode: 'backup', weight: 255 }, 4568)
    const { balancer, receipt } = await placeNow()
    expect(receipt.before).toBe('serving')
    await balancer.remove(receipt, signal)
    await balancer.insist?.(receipt, signal)
    expect(modes()).toEqual(['reject', 'reject'])
    fake.set(1, { weight: 1 })
    await balancer.restore(JSON.parse(JSON.stringify(receipt)), signal)
    expect([fake.node(4567, 1), fake.node(4568, 1)]).toEqual([
      { mode: 'accept', weight: 7 },
      { mode: 'backup', weight: 255 },
    ])
    expect(await balancer.read(receipt, signal)).toEqual({ state: 'serving' })
  })

  it('leaves a node that an operator rejects in one config alone, and judges by the other', async () => {
    fake.set(1, { mode: 'reject' }, 4568)
    const place = await placeNow()
    expect(place.receipt.before).toBe('warming')
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(modes()).toEqual(['drain', 'reject'])
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(modes()).toEqual(['accept', 'reject'])
  })

  it('is not out while one config still sends it requests', async () => {
    const { balancer, receipt } = await placeNow()
    await balancer.remove(receipt, signal)
    fake.set(1, { mode: 'accept' }, 4568)
    await clock.sleep(2000, signal)
    expect((await balancer.read(receipt, signal)).state).toBe('warming')
  })

  it('ends sticky sessions by reject, once drain_timeout is over and not before', async () => {
    fake.configure(4568, { stickiness: 'table' })
    const { balancer, ...rest } = await placeNow()
    let insisted: { after: number; modes: string[] } | undefined
    const before = clock.now()
    const insist = async (...args: Parameters<typeof balancer.read>) => {
      insisted = { after: clock.now() - before, modes: modes() }
      await balancer.insist?.(...args)
    }
    const place = { balancer: { ...balancer, insist }, ...rest }
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained', left: { edge: 0 } })
    expect(insisted).toEqual({ after: expect.any(Number), modes: ['drain', 'drain'] })
    // Fractions of a millisecond are rounded somewhere in sixty seconds of polls.
    expect(Math.round(insisted?.after ?? 0)).toBeGreaterThanOrEqual(60_000)
    expect(Math.round(clock.now() - before)).toBeGreaterThanOrEqual(75_000)
    expect(modes()).toEqual(['reject', 'reject'])
    expect(await place.balancer.isOurs?.(place.receipt, signal)).toBe(true)
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
  })

  it('knows its own removal from an operator’s', async () => {
    const { balancer, receipt } = await placeNow()
    await balancer.remove(receipt, signal)
    expect(await build().isOurs?.(receipt, signal)).toBe(true)
    fake.set(1, { mode: 'reject' })
    await clock.sleep(2000, signal)
    expect(await balancer.isOurs?.(receipt, signal)).toBe(false)
    await balancer.insist?.(receipt, signal)
    expect(await balancer.isOurs?.(receipt, signal)).toBe(true)
    fake.configure(4567, { stickiness: 'table' })
    fake.configure(4568, { stickiness: 'table' })
    expect(await build().isOurs?.(receipt, signal)).toBe(true)
  })

  it('says in preflight what it cannot know, what that costs, and what to set', async () => {
    expect((await build().preflight(servers, signal)).warnings).toEqual([expect.stringMatching(/in flight.* 15 s /)])
    fake.configure(4567, { check: 'none', stickiness: 'http_cookie' })
    fake.set(2, { mode: 'backup' }, 4568)
    const { warnings } = await build().preflight(servers, signal)
    expect(warnings.slice(1)).toEqual([
      expect.stringMatching(/config 4567 checks no node.*set check/),
      expect.stringMatching(/config 4567 has sticky sessions.*drain_timeout/),
      expect.stringMatching(/web2 is a backup in config 4568/),
    ])
  })

  it('takes a node without checks for serving at once, and one not checked yet not', async () => {
    fake.configure(4567, { check: 'none' })
    const { balancer, receipt } = await placeNow()
    expect(receipt.before).toBe('serving')
    expect(await balancer.evidence(receipt, signal)).toMatchObject({ drained: 'none', serving: 'state' })
    fake.configure(4567, { check: 'http', check_interval: 31, check_attempts: 3, check_timeout: 30 })
    await clock.sleep(2000, signal)
    expect((await balancer.read(receipt, signal)).state).toBe('warming')
    expect(await balancer.evidence(receipt, signal)).toMatchObject({
      serving: 'health',
      addSettleMs: 31_000,
      longestAddMs: 123_000,
    })
  })

  it.each([
    ['its label', [server('web1')], {}],
    ['its label, by `member`', [server('1')], { member: 'webNAME' }],
    ['its private address', [server('a', { host: '192.168.210.1' })], {}],
    ['the address in `id`', [server('a', { id: '192.168.210.1' })], {}],
    ['its number', [server('a', { id: '1' })], {}],
    ['address and port', [server('a')], { member: '192.168.210.5:80', configs: ['4567'] }],
  ])('finds a node by %s', async (_, behind, more) => {
    const { rotation } = await build(behind, more).preflight(behind, signal)
    expect(Object.values(rotation)).toEqual([{ state: 'serving' }])
  })

  it('names every config in which a server is missing or could be several nodes', async () => {
    const behind = [server('other0', { host: '203.0.113.1' }), server('b', { host: '192.168.210.5' })]
    const told = await failure(build(behind).preflight(behind, signal))
    expect(told).toMatch(/other0: of the nodes in config 4568 none is called other0/)
    expect(told).toMatch(/b: of the nodes in config 4567 2 are called b or at 192\.168\.210\.5/)
    expect(told).toMatch(/→.*`member`/)
  })

  it('refuses two servers that are one node', async () => {
    const behind = [server('web1'), server('b', { host: '192.168.210.1' })]
    expect(await failure(build(behind).preflight(behind, signal))).toContain('web1 and b are all 1')
  })

  it('writes the other configs although one refuses, and says which', async () => {
    const { balancer, receipt } = await placeNow()
    const gone = build(servers, { configs: ['4567', '9999'] })
    expect(await failure(gone.remove(receipt, signal))).toContain('there is no config 9999 of NodeBalancer 12345')
    await balancer.remove(receipt, signal)
    expect(modes()).toEqual(['drain', 'drain'])
  })

  it('asks once for all servers', async () => {
    const balancer = build()
    const receipts = await Promise.all(servers.map(s => balancer.receipt(s, signal)))
    const before = fake.calls.length
    await clock.sleep(5000, signal)
    await Promise.all(receipts.map(r => balancer.read(r, signal)))
    // Two configs, of which one has two pages of nodes.
    expect(fake.calls.slice(before)).toHaveLength(5)
  })

  it.each([
    [{ env: { LINODE_TOKEN: '' } }, /no token.*LINODE_TOKEN is not set/],
    [{ env: { LINODE_URL: 'http://192.0.2.1/v4' } }, /LINODE_URL is not the URL/],
    [{ nodebalancer: '1' }, /there is no config 4567 of NodeBalancer 1/],
    [{ nodebalancer: '../1' }, /cannot be the id of a NodeBalancer/],
    [{ configs: ['80/../..'] }, /cannot be the id of a config/],
  ])('says in preflight what is wrong: %j', async (more, message) => {
    expect(await failure(build(servers, more).preflight(servers, signal))).toMatch(message)
  })

  it.each([
    { nodes: [{ config: 4567, node: 1, mode: 'accept', weight: 0 }] },
    { nodes: [{ config: 4567, node: 1, mode: 'accept; rm', weight: 1 }] },
    { nodes: [{ config: '4567', node: 1, mode: 'accept', weight: 1 }] },
    {},
  ])('uses nothing of a receipt that has another form: %j', async data => {
    const { balancer, receipt } = await placeNow()
    const before = fake.calls.length
    expect(await failure(balancer.restore({ ...receipt, data }, signal))).toMatch(/cannot be used → .*by hand/)
    expect(fake.calls.length).toBe(before)
  })

  it('types the command that puts a server back', async () => {
    const { balancer, receipt } = await placeNow()
    expect(balancer.byHand(receipt).split('\n')).toEqual([
      'linode-cli nodebalancers node-update 12345 4567 1 --mode accept --weight 50 # web1',
      'linode-cli nodebalancers node-update 12345 4568 1 --mode accept --weight 50 # web1',
    ])
  })
})

describe('the fake of linode', () => {
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
    const one = '/v4/nodebalancers/12345/configs/4567/nodes/1'
    expect(await send('PATCH', one, { mode: 'drain' })).toBe(404)
    expect(await send('PUT', one, { mode: 'off' })).toBe(422)
    expect(await send('PUT', one, { mode: 'drain', status: 'UP' })).toBe(422)
    expect(await send('PUT', one, { mode: 'drain', weight: 0 })).toBe(422)
    expect(await send('GET', '/v4/nodebalancers/12345/configs/4567/nodes?page_size=10')).toBe(400)
    expect((await fetch(fake.url + one)).status).toBe(401)
    expect(fake.node(4567, 1).mode).toBe('accept')
    await expect(fake.stop()).rejects.toThrow(/do not fit the description(.*\n){5}/)
  })
})
