import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { type BalancerError, messageOf } from '../../src/errors.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import { servers, token, tools } from './azure-fixture.ts'
import type { AzureAddress, FakeAzure } from './fake-azure.ts'
import { server } from './fixtures.ts'

const { signal } = new AbortController()

describe('azure', () => {
  const { clock, start, build } = tools({ lagMs: 0 })
  let fake: FakeAzure
  let firstWrite = 0
  beforeAll(async () => {
    fake = await start()
  })
  beforeEach(() => {
    fake.settle()
    firstWrite = fake.writes.length
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
  const writes = () => fake.writes.slice(firstWrite)
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
  const warnings = async () => (await build().preflight(servers, signal)).warnings.join('\n')

  it('is drained 15 s after a removal at the soonest, since nothing tells what is in flight', async () => {
    const place = await placeOf()
    const before = clock.now()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(clock.now() - before).toBeGreaterThanOrEqual(15_000)
    expect(await place.balancer.evidence(place.receipt, signal)).toMatchObject({ drained: 'none', serving: 'none' })
  })

  it('serves when its probes had the time to pass, after the change had ended', async () => {
    fake.set({ operationMs: 30_000 })
    const place = await placeOf()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    const before = clock.now()
    expect(await bringBack([place], deps)).toEqual({ result: 'serving' })
    // 5 s × 2 of the probe.
    expect(clock.now() - before).toBeGreaterThanOrEqual(40_000)
  })

  it('writes nothing of the pool but the one admin state, and only if nobody else wrote', async () => {
    const pool = fake.shown()
    const place = await placeOf()
    await place.balancer.remove(place.receipt, signal)
    const bytes = JSON.stringify(pool)
    const port = '"inboundNatRulesPortMapping":[{"inboundNatRuleName":"ssh","frontendPort":50001,"backendPort":22}]'
    const own = bytes.indexOf(port, bytes.indexOf('"name":"web1"')) + port.length
    const expected = `${bytes.slice(0, own)},"adminState":"Down"${bytes.slice(own)}`
    expect(writes().map(w => JSON.stringify(w.body))).toEqual([expected])
    expect(writes().map(w => w.ifMatch)).toEqual([pool['etag']])
  })

  it.each([
    ['None', 'None'],
    [undefined, 'None'],
    ['Up', 'None'],
  ])('puts back None, never Up: %s', async (adminState, after) => {
    fake.settle([{ name: 'web1', ip: '10.0.0.1', ...(adminState === undefined ? {} : { adminState }) }])
    const place = await placeOf()
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(fake.adminState('web1')).toBe('Down')
    const forged = { ...place.receipt, data: { adminState: 'Up' } }
    expect(await bringBack([{ ...place, balancer: build(), receipt: forged }], deps)).toEqual({ result: 'serving' })
    expect(fake.adminState('web1')).toBe(after)
  })

  it('says that an admin state Up does not come back', async () => {
    fake.put('web2', 'Up')
    expect(await warnings()).toMatch(/web2 had the admin state Up.*put back as None/)
  })

  it('leaves everything as it is, where a server was Down before and the pool is being changed', async () => {
    fake.put('web1', 'Down')
    const other = await placeOf(build(), servers[1])
    await other.balancer.remove(other.receipt, signal)
    const { balancer, receipt } = await placeOf()
    expect(receipt.before).toBe('out')
    await balancer.restore(receipt, signal)
    expect(fake.adminState('web1')).toBe('Down')
  })

  it.each(['Azure-AsyncOperation', 'Location', 'nothing'] as const)('follows a change by %s', async by => {
    fake.set({ by })
    const place = await placeOf()
    await place.balancer.remove(place.receipt, signal)
    const running = by === 'nothing' ? 'out' : 'draining'
    expect((await place.balancer.read(place.receipt, signal)).state).toBe(running)
    await clock.sleep(3000, signal)
    expect((await place.balancer.read(place.receipt, signal)).state).toBe('out')
    expect(await bringBack([place], deps)).toEqual({ result: 'serving' })
  })

  it('does not take the pool of a change that runs for the end of it', async () => {
    fake.set({ shown: 'at end', operationMs: 60_000 })
    const { balancer, receipt } = await placeOf()
    await balancer.remove(receipt, signal)
    expect((await balancer.read(receipt, signal)).state).toBe('warming')
    const error = await balancer.restore(receipt, signal).catch((e: unknown) => e)
    expect(error).toMatchObject({ retryAfterMs: 0 })
    expect(messageOf(error)).toMatch(/web1 cannot be changed yet.*InProgress/)
    await balancer.remove(receipt, signal)
    expect(writes()).toHaveLength(1)
    await clock.sleep(60_000, signal)
    expect((await balancer.read(receipt, signal)).state).toBe('out')
  })

  it.each(['Azure-AsyncOperation', 'Location'] as const)('tells of a change that failed, by %s', async by => {
    fake.set({ by, fails: { code: 'InternalServerError', message: 'no\nluck' } })
    const place = await placeOf()
    await place.balancer.remove(place.receipt, signal)
    await clock.sleep(5000, signal)
    const error = await place.balancer.read(place.receipt, signal).catch((e: unknown) => e)
    expect(messageOf(error)).toMatch(/InternalServerError: no luck/)
    expect((await place.balancer.read(place.receipt, signal)).state).toBe('serving')
    fake.set({ fails: null })
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
  })

  it('says that somebody else wrote in between, writes nothing, and does it when told again', async () => {
    const { balancer, receipt } = await placeOf()
    fake.set({ between: () => fake.put('web2', 'Up') })
    const error = await balancer.remove(receipt, signal).catch((e: unknown) => e)
    expect(error).toMatchObject({ retryAfterMs: 0, server: 'web1' })
    expect(messageOf(error)).toMatch(/HTTP 412.*nothing was written/)
    expect([fake.adminState('web1'), fake.adminState('web2')]).toEqual([undefined, 'Up'])
    await balancer.remove(receipt, signal)
    expect([fake.adminState('web1'), fake.adminState('web2')]).toEqual(['Down', 'Up'])
  })

  it('gets a server out although somebody else writes in between once', async () => {
    fake.set({ between: () => fake.put('other', 'Up') })
    expect(await takeOut([await placeOf()], deps)).toMatchObject({ result: 'drained' })
    expect(fake.adminState('other')).toBe('Up')
  })

  it.each(['refuse', 'supersede', 'queue'] as const)(
    'gets two servers out and back, where a second change is: %s',
    async meanwhile => {
      fake.set({ meanwhile })
      const balancer = build()
      const places = [await placeOf(balancer), await placeOf(balancer, servers[1])]
      const took = await Promise.all(places.map(place => takeOut([place], deps)))
      expect(took.map(t => t.result)).toEqual(['drained', 'drained'])
      expect([fake.adminState('web1'), fake.adminState('web2')]).toEqual(['Down', 'Down'])
      const back = await Promise.all(places.map(place => bringBack([place], deps)))
      expect(back.map(b => b.result)).toEqual(['serving', 'serving'])
      expect(writes().every(w => w.ifMatch?.startsWith('W/'))).toBe(true)
    },
  )

  it('waits for the probes also where another process put it back', async () => {
    const { balancer, receipt } = await placeOf()
    await balancer.remove(receipt, signal)
    await balancer.restore(receipt, signal)
    const another = build()
    await another.restore(receipt, signal)
    expect((await another.read(receipt, signal)).state).toBe('warming')
    await clock.sleep(10_000, signal)
    expect((await another.read(receipt, signal)).state).toBe('serving')
  })

  it('warns where no health probe is set: the admin state does nothing there', async () => {
    expect(await warnings()).not.toMatch(/no health probe|no rule/)
    fake.set({ probe: false })
    expect(await warnings()).toMatch(/no health probe is set in http: the admin state does nothing there/)
    fake.set({ rules: false })
    expect(await warnings()).toMatch(/no rule leads to web/)
  })

  it('tells what becomes of open connections', async () => {
    expect(await warnings()).toMatch(/open connections go on after a removal/)
    fake.set({ drainPeriodInSeconds: 45, loadDistribution: 'SourceIP' })
    expect(await warnings()).toMatch(/open connections are reset 45 s after[\s\S]*session persistence/)
    const { balancer, receipt } = await placeOf()
    expect(await balancer.evidence(receipt, signal)).toMatchObject({ longestDrainMs: 45_000, longestAddMs: 10_000 })
  })

  const nics: readonly AzureAddress[] = [{ name: 'shop-prod_nic-oneipconfig1', nic: 'nic-one' }]
  const nicId =
    '/subscriptions/8f3c0e1a-0000-4000-8000-2a1b3c4d5e6f/resourceGroups/shop-prod/providers/Microsoft.Network/networkInterfaces/nic-one'
  it.each([
    ['its IP address', undefined, [server('a', { host: '10.0.0.1' })], {}],
    ['its name in the pool', undefined, [server('a', { id: 'WEB1' })], {}],
    ['what `member` says', undefined, [server('1')], { member: 'webNAME' }],
    ['the name of its network interface', nics, [server('a', { id: 'nic-one' })], {}],
    ['the id of its network interface', nics, [server('a', { id: nicId })], {}],
    ['the id of its IP configuration', nics, [server('a', { id: `${nicId}/ipConfigurations/ipconfig1` })], {}],
  ])('finds a server by %s', async (_, pool, those, more) => {
    fake.settle(pool)
    const balancer = build(those, more)
    expect(Object.values((await balancer.preflight(those, signal)).rotation)).toEqual([{ state: 'serving' }])
    const receipt = await balancer.receipt(those[0]!, signal)
    await balancer.remove(receipt, signal)
    expect(fake.adminState(pool?.[0]?.name ?? 'web1')).toBe('Down')
  })

  it('refuses two servers that are one address', async () => {
    const those = [servers[0], server('b', { host: '10.0.0.1' })]
    expect(await failure(build(those).preflight(those, signal))).toContain('web1 and b are all web1')
  })

  it('asks once for all servers', async () => {
    const balancer = build()
    const receipts = await Promise.all(servers.map(at => balancer.receipt(at, signal)))
    const before = fake.calls.length
    await clock.sleep(5000, signal)
    await Promise.all(receipts.map(r => balancer.read(r, signal)))
    expect(fake.calls.length - before).toBe(1)
  })

  it('tells the command that puts it back by hand', async () => {
    const { balancer, receipt } = await placeOf()
    expect(balancer.byHand(receipt)).toBe(
      'az network lb address-pool address update --subscription 8f3c0e1a-0000-4000-8000-2a1b3c4d5e6f -g shop-prod --lb-name shop-lb --pool-name web -n web1 --admin-state None # web1',
    )
  })

  it.each([
    [{ AZURE_ACCESS_TOKEN: '' }, {}, /no token.*AZURE_ACCESS_TOKEN is not set/],
    [{ AZURE_RESOURCE_MANAGER_ENDPOINT: 'http://192.0.2.1/' }, {}, /AZURE_RESOURCE_MANAGER_ENDPOINT is not the URL/],
    [{}, { backend_pool: '${{ env.POOL }}2' }, /there is no backend pool web2 of load balancer shop-lb/],
    [{}, { backend_pool: 'web' }, /"web" cannot be the resource id/],
    [{}, { backend_pool: '${{ env.POOL }}/../../x' }, /cannot be the resource id/],
    [
      {},
      {
        backend_pool:
          '/subscriptions/../resourceGroups/a/providers/Microsoft.Network/loadBalancers/b/backendAddressPools/c',
      },
      /cannot be the resource id/,
    ],
  ])('says in preflight what is wrong: %j %j', async (env, more, message) => {
    expect(await failure(build(servers, { env, ...more }).preflight(servers, signal))).toMatch(message)
  })

  it('refuses a pool of an application gateway, and says what to do', async () => {
    const told = await failure(build(servers, { backend_pool: fake.application }).preflight(servers, signal))
    expect(told).toMatch(/application gateway.*→.*health-file/)
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
    const at = (version: string) => `${fake.pool}?api-version=${version}`
    const shown = fake.shown() as { properties: object }
    expect(await send('PATCH', at('2024-05-01'), shown)).toBe(404)
    expect(await send('GET', at('2000-01-01'))).toBe(400)
    expect(await send('PUT', at('2024-05-01'), { ...shown, extra: 1 })).toBe(422)
    const wrong = {
      ...shown,
      properties: { loadBalancerBackendAddresses: [{ name: 'a', properties: { adminState: 'down' } }] },
    }
    expect(await send('PUT', at('2024-05-01'), wrong)).toBe(422)
    expect(await send('GET', fake.pool)).toBe(400)
    expect((await fetch(`${fake.url}${at('2024-05-01')}`)).status).toBe(401)
    await expect(fake.stop()).rejects.toThrow(/do not fit the description/)
    expect(fake.misfits).toHaveLength(4)
  })
})
