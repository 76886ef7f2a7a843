import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { LoadBalancer } from '../../src/balancers/balancer.ts'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import type { PlaceSettings } from '../../src/balancers/place.ts'
import { type BalancerError, messageOf } from '../../src/errors.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import type { FakeGcp } from './fake-gcp.ts'
import { server } from './fixtures.ts'
import { endpointsOf, type GroupUnderTest, servers, token, tools } from './gcp-fixture.ts'

const { signal } = new AbortController()
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
const placeOf = async (balancer: LoadBalancer, at: Server = servers[0]) => ({
  balancer,
  receipt: await balancer.receipt(at, signal),
  settings,
})

/** A fake of its own for each kind of group. */
function stage(group: GroupUnderTest) {
  let status = 200
  const app = (name: string) => ({ name, port: 1, status: () => status })
  const all = tools(group, { lagMs: 0 })
  const own = {
    ...all,
    deps: { clock: all.clock, signal, onProgress: () => undefined },
    fake: undefined as unknown as FakeGcp,
    health: (next: number) => {
      status = next
    },
  }
  beforeAll(async () => {
    const behind = { web1: app('web1'), web2: app('web2'), '192.0.2.1': app('web1'), '192.0.2.2': app('web2') }
    own.fake = await all.start(behind)
  })
  beforeEach(() => {
    status = 200
    own.fake.settle(endpointsOf(group))
  })
  afterAll(() => own.fake?.stop())
  return own
}

describe('gcp with an instance group', () => {
  const s = stage('instance group')

  it('is drained when its operation has ended and the draining timeout has passed after it', async () => {
    s.fake.set({ drainSeconds: 120, operationMs: 20_000, shown: 'at end' })
    const place = await placeOf(s.build())
    const before = s.clock.now()
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'drained' })
    expect(s.clock.now() - before).toBeGreaterThanOrEqual(140_000)
    expect(s.clock.now() - before).toBeLessThan(180_000)
  })

  it('takes 15 s at the least, where draining is off', async () => {
    s.fake.set({ drainSeconds: undefined })
    const place = await placeOf(s.build())
    const before = s.clock.now()
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'drained' })
    expect(s.clock.now() - before).toBeGreaterThanOrEqual(15_000)
    expect((await place.balancer.preflight(servers, signal)).warnings.join()).toMatch(
      /draining is off.*cut.*timeout=30/,
    )
  })

  it('tells what the draining timeout costs for each server, and what to set', async () => {
    s.fake.set({ drainSeconds: 300 })
    const { warnings } = await s.build().preflight(servers, signal)
    expect(warnings).toEqual([
      expect.stringMatching(/each server takes its whole draining timeout of 300 s.*--connection-draining-timeout=30$/),
    ])
    s.fake.set({ drainSeconds: 30, sessionAffinity: 'GENERATED_COOKIE' })
    const another = await s.build().preflight(servers, signal)
    expect(another.warnings).toEqual([
      expect.stringMatching(/timeout of 30 s to be drained$/),
      expect.stringContaining('session affinity'),
    ])
  })

  it('refuses a managed group, and says what to do', async () => {
    s.fake.set({ managed: true })
    const told = await failure(s.build().preflight(servers, signal))
    expect(told).toMatch(/web-group is managed.*→.*network endpoint group.*health-file/)
  })

  it.each([
    ['its number', [server('a', { id: '1' })], {}],
    ['its URL', [server('a', { id: 'projects/p/zones/z/instances/web1' })], {}],
    ['what `member` says', [server('1')], { member: 'webNAME' }],
    ['a private address', [server('a', { host: '10.0.0.1' })], {}],
    ['a public address', [server('a', { host: '192.0.2.1' })], {}],
  ])('finds a server by %s', async (_, those, more) => {
    const { rotation } = await s.build(those, more).preflight(those, signal)
    expect(Object.values(rotation)).toEqual([{ state: 'serving' }])
  })

  it('refuses two servers that are one instance', async () => {
    const those = [servers[0], server('b', { id: '1' })]
    expect(await failure(s.build(those).preflight(those, signal))).toContain('web1 and b are all web1')
  })

  it('asks twice for all servers: for the members and for their health', async () => {
    const balancer = s.build()
    const receipts = await Promise.all(servers.map(at => balancer.receipt(at, signal)))
    const before = s.fake.calls.length
    await s.clock.sleep(5000, signal)
    await Promise.all(receipts.map(r => balancer.read(r, signal)))
    expect(s.fake.calls.slice(before).map(c => c.slice(c.lastIndexOf('/') + 1))).toEqual(['listInstances', 'getHealth'])
  })

  it('tells the command that adds it by hand', async () => {
    const { balancer, receipt } = await placeOf(s.build())
    expect(balancer.byHand(receipt)).toBe(
      'gcloud compute instance-groups unmanaged add-instances web-group --project=shop-project --zone=europe-west1-b --instances=web1 # web1',
    )
  })
})

describe('gcp with a network endpoint group', () => {
  const s = stage('network endpoint group')

  it('is draining while Google says so, and drained when the endpoint is gone', async () => {
    s.fake.set({ drainSeconds: 90 })
    const place = await placeOf(s.build())
    const before = s.clock.now()
    await place.balancer.remove(place.receipt, signal)
    await s.clock.sleep(60_000, signal)
    expect(await place.balancer.read(place.receipt, signal)).toEqual({
      state: 'draining',
      detail: 'web1 10.0.0.1:8080 drains',
    })
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'drained' })
    expect(s.clock.now() - before).toBeGreaterThanOrEqual(90_000)
    expect(await place.balancer.evidence(place.receipt, signal)).toMatchObject({ drained: 'state', serving: 'health' })
  })

  it('goes by the clock where the group does not tell what drains', async () => {
    s.fake.set({ tellsHealth: false, drainSeconds: 90 })
    const place = await placeOf(s.build())
    expect(await place.balancer.evidence(place.receipt, signal)).toMatchObject({ drained: 'none', settleMs: 90_000 })
    const before = s.clock.now()
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'drained' })
    expect(s.clock.now() - before).toBeGreaterThanOrEqual(90_000)
  })

  it('puts each endpoint of a server back as it was, also from another process', async () => {
    const both = [8080, 8081].map(port => ({ instance: 'web1', ipAddress: '10.0.0.1', port }))
    s.fake.settle([...both, ...endpointsOf('network endpoint group').slice(1)])
    const place = await placeOf(s.build())
    expect(place.receipt.data).toEqual({
      endpoints: [
        { ip: '10.0.0.1', port: 8080 },
        { ip: '10.0.0.1', port: 8081 },
      ],
    })
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'drained' })
    expect(s.fake.members('web1')).toEqual([])
    const another = { ...place, balancer: s.build(), receipt: JSON.parse(JSON.stringify(place.receipt)) }
    expect(await bringBack([another], s.deps)).toEqual({ result: 'serving' })
    expect(s.fake.members('web1')).toEqual(both)
    expect(another.balancer.byHand(another.receipt)).toBe(
      'gcloud compute network-endpoint-groups update web-neg --project=shop-project --zone=europe-west1-b --add-endpoint=instance=web1,ip=10.0.0.1,port=8080 --add-endpoint=instance=web1,ip=10.0.0.1,port=8081 # web1',
    )
  })

  it('attaches only what is missing', async () => {
    const both = [8080, 8081].map(port => ({ instance: 'web1', ipAddress: '10.0.0.1', port }))
    s.fake.settle(both)
    const place = await placeOf(s.build())
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'drained' })
    s.fake.put(both[1]!)
    expect(await bringBack([place], s.deps)).toEqual({ result: 'serving' })
    expect(s.fake.members('web1').map(m => m.port)).toEqual([8081, 8080])
  })

  it('leaves a server out that an operator took out a moment ago, although it drains', async () => {
    s.fake.take('web1')
    const { balancer, receipt } = await placeOf(s.build())
    expect(receipt).toMatchObject({ before: 'out', data: {} })
    await balancer.restore(receipt, signal)
    expect(s.fake.members('web1')).toEqual([])
  })

  it.each([
    [{ endpoints: [{ ip: '10.0.0.1; rm -rf /', port: 80 }] }],
    [{ endpoints: [{ ip: '10.0.0.1', port: 70_000 }] }],
    [{ endpoints: [] }],
    [{}],
  ])('uses nothing of a receipt that has another form: %j', async data => {
    const { balancer, receipt } = await placeOf(s.build())
    await balancer.remove(receipt, signal)
    const forged = { ...receipt, data }
    expect(await failure(balancer.restore(forged, signal))).toContain('cannot be used')
    expect(balancer.byHand(forged)).not.toContain('rm -rf')
    expect(balancer.byHand(forged)).toContain('instance=web1')
  })

  it('attaches no other instance, whatever a receipt says', async () => {
    const { balancer, receipt } = await placeOf(s.build())
    await balancer.remove(receipt, signal)
    const forged = { ...receipt, data: { endpoints: [{ instance: 'net-a', ip: '10.0.0.9', port: 80 }] } }
    expect(await failure(balancer.restore(forged, signal))).toMatch(/10\.0\.0\.9 does not belong to web1/)
    expect(s.fake.members('net-a')).toEqual([])
  })

  it('says that annotations are not put back', async () => {
    s.fake.set({ annotated: true })
    const { warnings } = await s.build().preflight(servers, signal)
    expect(warnings.join()).toMatch(/annotations of the endpoints of web1, web2 are not put back/)
  })

  it('refuses a group of another type', async () => {
    s.fake.set({ type: 'SERVERLESS' })
    expect(await failure(s.build().preflight(servers, signal))).toMatch(/web-neg holds SERVERLESS.*→.*GCE_VM_IP_PORT/)
  })

  it('waits for its own change to end before it believes the members', async () => {
    s.fake.set({ operationMs: 60_000, drainSeconds: undefined })
    const { balancer, receipt } = await placeOf(s.build())
    await balancer.remove(receipt, signal)
    expect(await balancer.read(receipt, signal)).toEqual({
      state: 'draining',
      detail: expect.stringContaining('RUNNING'),
    })
    await s.clock.sleep(60_000, signal)
    expect((await balancer.read(receipt, signal)).state).toBe('out')
    await balancer.restore(receipt, signal)
    expect(await balancer.read(receipt, signal)).toEqual({
      state: 'warming',
      detail: expect.stringContaining('RUNNING'),
    })
    await s.clock.sleep(60_000, signal)
    expect(await balancer.read(receipt, signal)).toEqual({ state: 'serving' })
  })

  it('does not take a server that is just leaving for one that is there', async () => {
    s.fake.set({ operationMs: 10_000, shown: 'at end' })
    const place = await placeOf(s.build())
    await place.balancer.remove(place.receipt, signal)
    const error = await place.balancer.restore(place.receipt, signal).catch((e: unknown) => e)
    expect(error).toMatchObject({ retryAfterMs: 0 })
    expect(messageOf(error)).toMatch(/web1 cannot be changed yet: operation \S+, remove, is RUNNING/)
    expect(await bringBack([place], s.deps)).toEqual({ result: 'serving' })
    expect(s.fake.members('web1')).toHaveLength(1)
  })

  it('asks for the same change once while it runs', async () => {
    s.fake.set({ operationMs: 10_000, shown: 'at end' })
    const { balancer, receipt } = await placeOf(s.build())
    const before = s.fake.calls.filter(c => c.endsWith('detachNetworkEndpoints')).length
    await balancer.remove(receipt, signal)
    await balancer.remove(receipt, signal)
    expect(s.fake.calls.filter(c => c.endsWith('detachNetworkEndpoints')).length - before).toBe(1)
  })

  it('tells of an operation that failed, and asks for it again', async () => {
    s.fake.set({ fails: { code: 'QUOTA_EXCEEDED', message: 'no\nroom' } })
    const place = await placeOf(s.build())
    await place.balancer.remove(place.receipt, signal)
    await s.clock.sleep(5000, signal)
    const error = await place.balancer.read(place.receipt, signal).catch((e: unknown) => e)
    expect(messageOf(error)).toMatch(/could not remove web1 \(operation \S+\): QUOTA_EXCEEDED: no room/)
    expect((await place.balancer.read(place.receipt, signal)).state).toBe('serving')
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'failed', back: { result: 'serving' } })
    s.fake.set({ fails: null })
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'drained' })
  })

  it('gets two servers out although the group changes one at a time', async () => {
    s.fake.set({ locks: true, operationMs: 3000 })
    const places = [await placeOf(s.build()), await placeOf(s.build(), servers[1])]
    const took = await Promise.all(places.map(place => takeOut([place], s.deps)))
    expect(took.map(t => t.result)).toEqual(['drained', 'drained'])
    const back = await Promise.all(places.map(place => bringBack([place], s.deps)))
    expect(back.map(b => b.result)).toEqual(['serving', 'serving'])
  })

  it('finds a backend service of the region, and one that is named with it', async () => {
    s.fake.set({ scopes: ['regions/europe-west1'] })
    const named = { backend_service: 'regions/europe-west1/backendServices/web' }
    for (const more of [{}, named]) {
      const { rotation } = await s.build(servers, more).preflight(servers, signal)
      expect(rotation['web1']).toEqual({ state: 'serving' })
    }
    s.fake.set({ scopes: ['global', 'regions/europe-west1'] })
    expect(await failure(s.build().preflight(servers, signal))).toMatch(
      /both have the network endpoint group web-neg.*→.*regions\//,
    )
    expect((await s.build(servers, named).preflight(servers, signal)).rotation['web1']).toEqual({ state: 'serving' })
  })

  it('refuses a group that is not behind that backend service', async () => {
    s.fake.set({ otherGroup: true })
    expect(await failure(s.build().preflight(servers, signal))).toMatch(
      /web-neg in europe-west1-b is no backend of global.*web-neg-2/,
    )
  })

  it.each([
    [
      { GOOGLE_OAUTH_ACCESS_TOKEN: '' },
      {},
      /no token.*GOOGLE_OAUTH_ACCESS_TOKEN or CLOUDSDK_AUTH_ACCESS_TOKEN is not set/,
    ],
    [{ CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: 'http://192.0.2.1/' }, {}, /OVERRIDES_COMPUTE is not the URL/],
    [{}, { network_endpoint_group: 'other' }, /there is no network endpoint group other in europe-west1-b/],
    [{}, { backend_service: 'other' }, /there is no global\/backendServices\/other and no regions\/europe-west1/],
    [{}, { zone: '../x', project: 'a b' }, /project "a b", zone "..\/x"/],
  ])('says in preflight what is wrong: %j %j', async (env, more, message) => {
    expect(await failure(s.build(servers, { env, ...more }).preflight(servers, signal))).toMatch(message)
  })

  it('takes the token by the name gcloud has for it', async () => {
    const env = { GOOGLE_OAUTH_ACCESS_TOKEN: '', CLOUDSDK_AUTH_ACCESS_TOKEN: token }
    expect((await s.build(servers, { env }).preflight(servers, signal)).rotation['web2']).toEqual({ state: 'serving' })
  })
})

describe('gcp with endpoints outside of Google', () => {
  const s = stage('hybrid')

  it('goes by their addresses, which come from the manifest alone', async () => {
    const place = await placeOf(s.build())
    expect(await takeOut([place], s.deps)).toMatchObject({ result: 'drained' })
    expect(s.fake.members('192.0.2.1')).toEqual([])
    const forged = { ...place.receipt, data: { endpoints: [{ ip: '192.0.2.99', port: 8080 }] } }
    expect(await bringBack([{ ...place, receipt: forged }], s.deps)).toEqual({ result: 'serving' })
    expect(s.fake.members('192.0.2.1')).toEqual([{ ipAddress: '192.0.2.1', port: 8080 }])
    expect(s.fake.members('192.0.2.99')).toEqual([])
  })

  it('asks for the address where the host is a name', async () => {
    const those = [server('root', { host: 'root.example.com' })]
    expect(await failure(s.build(those).preflight(those, signal))).toMatch(
      /root: .*root\.example\.com is none; endpoints: 192\.0\.2\.1:8080/,
    )
  })
})

describe('the fake', () => {
  it('refuses what the description does not know, and fails the test that sent it', async () => {
    const fake = await tools('network endpoint group').start()
    const send = async (method: string, path: string, body?: unknown) =>
      (
        await fetch(`${fake.url}projects/shop-project${path}`, {
          method,
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        })
      ).status
    const neg = '/zones/europe-west1-b/networkEndpointGroups/web-neg'
    expect(await send('DELETE', neg)).toBe(404)
    expect(await send('POST', `${neg}/detachNetworkEndpoints`, { endpoints: [] })).toBe(422)
    expect(await send('POST', `${neg}/attachNetworkEndpoints`, { networkEndpoints: [{ port: '80' }] })).toBe(422)
    expect(await send('POST', `${neg}/listNetworkEndpoints`, { healthStatus: true })).toBe(422)
    expect(await send('POST', '/zones/europe-west1-b/instanceGroups/g/addInstances', { instances: ['web1'] })).toBe(422)
    expect(await send('GET', '/zones/europe-west1-b/instances?maxResults=501')).toBe(400)
    expect((await fetch(`${fake.url}projects/shop-project/zones/europe-west1-b/instances`)).status).toBe(401)
    await expect(fake.stop()).rejects.toThrow(/do not fit the description/)
    expect(fake.misfits).toHaveLength(6)
  })
})
