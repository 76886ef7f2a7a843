/** What AWS has and other balancers have not. */
import { afterEach, describe, expect, it } from 'vitest'
import { awsQuery } from '../../src/balancers/aws-query.ts'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import type { Place } from '../../src/balancers/place.ts'
import { BalancerError } from '../../src/errors.ts'
import { type AwsSite, arnOf, awsSite, environment, ids, token } from './aws-fixture.ts'
import { server } from './fixtures.ts'
import { get } from './gated-app.ts'

const { signal } = new AbortController()
const open: AwsSite[] = []
afterEach(async () => {
  for (const site of open.splice(0)) await site.stop()
})
const start = async (lists: Parameters<typeof awsSite>[0] = { groups: { web: {} } }) => {
  const site = await awsSite(lists)
  open.push(site)
  const deps = { clock: site.clock, signal, onProgress: () => undefined, random: () => 0.5 }
  const placeOf = async (balancer: Place['balancer'], index: 0 | 1 = 0): Promise<Place> => ({
    balancer,
    receipt: await balancer.receipt(site.servers[index], signal),
    settings: {
      waitAfterRemoving: 0,
      waitAfterAdding: 0,
      drainTimeout: undefined,
      addTimeout: undefined,
      onDrainTimeout: 'fail',
    },
  })
  const group = (name: string) => {
    const found = site.fake.groups.get(arnOf(name))
    if (!found) throw new Error(`no group ${name}`)
    return found
  }
  return { ...site, deps, placeOf, list: group }
}
const errorOf = async (work: Promise<unknown>): Promise<BalancerError> => {
  const error = await work.then(
    () => undefined,
    (e: unknown) => e,
  )
  expect(error).toBeInstanceOf(BalancerError)
  return error as BalancerError
}
const askedFor = (site: AwsSite, action: string) => site.fake.calls.filter(c => c.action === action).length

describe('a target group', () => {
  it('still sends requests when it says that the server is out: who believes it at once loses them', async () => {
    const { group, placeOf, apps, clock, fake } = await start()
    const { balancer, receipt } = await placeOf(group())
    await balancer.remove(receipt, signal)
    await clock.sleep(3000, signal)
    await balancer.read(receipt, signal)
    expect((await balancer.read(receipt, signal)).state).toBe('out')
    const before = apps[0].served()
    for (let i = 0; i < 10; i++) await get(fake.router.port)
    expect(apps[0].served()).toBeGreaterThan(before)
  })

  it('is not believed to be out before 20 s, nor to serve by an answer from before the registration', async () => {
    const { group, placeOf, deps, clock, fake, list } = await start()
    const place = await placeOf(group())
    fake.fault('stale')
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(clock.now()).toBeGreaterThanOrEqual(20_000)
    const before = clock.now()
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    fake.fault(null)
    expect(clock.now() - before).toBeGreaterThanOrEqual(14_000)
    expect(
      list('web')
        .list()
        .map(l => l.state),
    ).toEqual(['healthy', 'healthy'])
  })

  it('that answers with the past says "serving" again, and gets the removal again, not a false success', async () => {
    const { group, placeOf, deps, fake, list, servers } = await start()
    const place = await placeOf(group())
    fake.fault('stale')
    await place.balancer.remove(place.receipt, signal)
    expect((await place.balancer.read(place.receipt, signal)).state).toBe('serving')
    await takeOut([place], deps)
    expect(
      list('web')
        .list()
        .map(l => l.target.id),
    ).toEqual([servers[1].id])
  })

  it('is asked once for all servers that are polled at the same time', async () => {
    const site = await start()
    const balancer = site.group()
    const places = [await site.placeOf(balancer, 0), await site.placeOf(balancer, 1)]
    const before = askedFor(site, 'DescribeTargetHealth')
    await site.clock.sleep(5000, signal)
    for (let i = 0; i < 5; i++) await Promise.all(places.map(p => balancer.read(p.receipt, signal)))
    expect(askedFor(site, 'DescribeTargetHealth') - before).toBe(1)
    await balancer.remove((places[0] as Place).receipt, signal)
    expect((await balancer.read((places[0] as Place).receipt, signal)).state).toBe('draining')
  })

  it('tells its drain time and how long health takes, with what to set', async () => {
    const slow = { delaySeconds: 300, intervalSeconds: 30, threshold: 5, slowStartSeconds: 30 }
    const { group, servers, placeOf } = await start({ groups: { web: slow } })
    const balancer = group()
    const { warnings } = await balancer.preflight(servers, signal)
    expect(warnings.join('\n')).toMatch(/web waits up to 300 s .*deregistration_delay.timeout_seconds.*30/)
    expect(warnings.join('\n')).toMatch(/web takes 150 s .*every 5 s .*threshold of 2/)
    expect(await balancer.evidence((await placeOf(balancer)).receipt, signal)).toMatchObject({
      drained: 'state',
      longestDrainMs: 300_000,
      longestAddMs: 180_000,
      settleMs: 20_000,
      pollMs: 5000,
    })
    const quiet = await start()
    expect((await quiet.group().preflight(quiet.servers, signal)).warnings).toEqual([])
  })

  it('one of several: all are left, all are entered again, each port as it was', async () => {
    const { group, placeOf, deps, list, apps } = await start({ groups: { web: {}, api: {} } })
    const admin = { id: ids[0], port: apps[0].port + 1 }
    list('api').register(admin)
    const place = await placeOf(group({ target_groups: [arnOf('web'), arnOf('api')] }))
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    for (const name of ['web', 'api'])
      expect(
        list(name)
          .list()
          .map(l => l.target.id),
      ).toEqual([ids[1]])
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(
      list('api')
        .list()
        .map(l => l.target.port),
    ).toEqual(expect.arrayContaining([apps[0].port, admin.port]))
    expect(list('web').list()).toHaveLength(2)
  })

  it('one of several: what an operator took out of one stays out of that one', async () => {
    const { group, placeOf, deps, list, apps } = await start({ groups: { web: {}, api: {} } })
    list('api').forget({ id: ids[0], port: apps[0].port })
    const place = await placeOf(group({ target_groups: [arnOf('web'), arnOf('api')] }))
    expect(place.receipt.before).toBe('serving')
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    expect(await bringBack([place], deps)).toMatchObject({ result: 'serving' })
    expect(list('api').list()).toHaveLength(1)
    expect(list('web').list()).toHaveLength(2)
  })

  it('that no listener leads to is not used: nothing is waited for there, and nothing changed', async () => {
    const site = await start({ groups: { web: {}, spare: { used: false } } })
    const balancer = site.group({ target_groups: [arnOf('web'), arnOf('spare')] })
    const { warnings, rotation } = await balancer.preflight(site.servers, signal)
    expect(warnings.join()).toMatch(/spare is behind no load balancer.*no listener leads to targets of spare/)
    expect(rotation['web1']).toEqual({ state: 'serving' })
    const place = await site.placeOf(balancer)
    expect(await takeOut([place], site.deps)).toMatchObject({ result: 'drained' })
    expect(site.list('spare').list()).toHaveLength(2)
    expect(await bringBack([place], site.deps)).toMatchObject({ result: 'serving' })
  })

  it('sees a port that was registered while the server was out', async () => {
    const { group, placeOf, deps, list, clock } = await start()
    const place = await placeOf(group())
    await takeOut([place], deps)
    list('web').register({ id: ids[0], port: 9000 })
    // An answer is shared for a second.
    await clock.sleep(1000, signal)
    expect((await place.balancer.read(place.receipt, signal)).state).toBe('warming')
  })

  it('is told the zone of an address as it was', async () => {
    const { apps, group, placeOf, deps, list, complaints } = await (async () => {
      const site = await start({ groups: { web: { type: 'ip' } } })
      return { ...site, complaints: site.fake.complaints }
    })()
    const behind = [server('web1'), server('web2')]
    const balancer = group({ member: '127.0.0.1:PORT' }, behind)
    const place = { ...(await placeOf(balancer)), receipt: await balancer.receipt(server('web1'), signal) }
    await takeOut([place], deps)
    await bringBack([place], deps)
    expect(
      list('web')
        .list()
        .map(l => l.target),
    ).toContainEqual({ id: '127.0.0.1', port: apps[0].port, zone: 'eu-west-1a' })
    expect(complaints).toEqual([])
  })

  it('of lambdas is refused, and one that does not exist too', async () => {
    const { group, servers } = await start({ groups: { web: { type: 'lambda' } } })
    expect((await errorOf(group().preflight(servers, signal))).message).toMatch(/type lambda/)
    const gone = await errorOf(group({ target_groups: [arnOf('gone')] }).preflight(servers, signal))
    expect(gone.message).toMatch(/TargetGroupNotFound/)
    expect(gone.hint).toMatch(/region/)
  })

  it.each(['web', arnOf('web').replace(':targetgroup', ':loadbalancer'), arnOf('web', 'evil.example/')])(
    'is named by its ARN: "%s" is none',
    async text => {
      const { group } = await start()
      expect(() => group({ target_groups: [text] })).toThrow(/not the ARN of a target group/)
    },
  )
})

describe('a receipt that comes back from a server', () => {
  const forged: readonly (readonly [string, unknown, RegExp])[] = [
    ['another target group', [{ list: arnOf('other'), state: 'registered', port: 80 }], /does not name .*other/],
    ['a port that is none', [{ list: arnOf('web'), state: 'registered', port: 99_999 }], /cannot be used/],
    [
      'a zone that is a text',
      [{ list: arnOf('web'), state: 'registered', port: 80, zone: 'x,Id=i-1' }],
      /cannot be used/,
    ],
    ['no list at all', 'all of them', /cannot be used/],
  ]
  it.each(forged)('is refused with %s', async (_, members, message) => {
    const { group, placeOf, fake } = await start()
    const { balancer, receipt } = await placeOf(group())
    const before = fake.calls.length
    await expect(balancer.restore({ ...receipt, data: { members } }, signal)).rejects.toThrow(message)
    expect(fake.calls.slice(before).filter(c => c.action === 'RegisterTargets')).toEqual([])
  })

  it('never says which machine: that is the manifest’s', async () => {
    const { group, placeOf, list } = await start()
    const { balancer, receipt } = await placeOf(group())
    const members = [{ list: arnOf('web'), state: 'registered', port: 8080, id: 'i-0bad0bad0bad0bad0' }]
    await balancer.restore({ ...receipt, data: { members } }, signal)
    expect(
      list('web')
        .list()
        .map(l => l.target.id),
    ).not.toContain('i-0bad0bad0bad0bad0')
  })
})

describe('a classic load balancer', () => {
  it('that says InService of a draining instance is not believed', async () => {
    const { classic, placeOf, apps, deps, fake } = await start({ classics: { web: {} } })
    const place = await placeOf(classic())
    const held = get(fake.router.port, '/hold')
    const other = get(fake.router.port, '/hold')
    while (apps[0].held() === 0) await new Promise(resolve => setTimeout(resolve, 10))
    await place.balancer.remove(place.receipt, signal)
    expect(await place.balancer.read(place.receipt, signal)).toMatchObject({
      state: 'draining',
      detail: expect.stringContaining('InService, Instance deregistration currently in progress'),
    })
    for (const app of apps) app.release()
    await Promise.all([held, other])
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
  })

  it('without connection draining proves nothing, and is warned of', async () => {
    const { classic, placeOf, servers } = await start({ classics: { web: { draining: false } } })
    const balancer = classic()
    expect((await balancer.preflight(servers, signal)).warnings.join()).toMatch(/connection draining switched off/)
    expect(await balancer.evidence((await placeOf(balancer)).receipt, signal)).toMatchObject({
      drained: 'none',
      longestDrainMs: 0,
    })
  })

  it('has a region that can be part of a host, and a name', async () => {
    const { classic } = await start()
    expect(() => classic({ region: 'evil.example/#' })).toThrow(/cannot be a region/)
    expect(() => classic({ load_balancers: ['arn:aws:x'] })).toThrow(/cannot be the name/)
  })
})

describe('credentials', () => {
  it('that are missing are named, all of them', async () => {
    const { group, servers, fake } = await start()
    const error = await errorOf(group({}, servers, { AWS_ENDPOINT_URL: fake.url }).preflight(servers, signal))
    expect(error.message).toMatch(/AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY not set/)
    expect(error.hint).toMatch(/configure-aws-credentials/)
    const half = { AWS_ENDPOINT_URL: fake.url, AWS_ACCESS_KEY_ID: 'ASIA0', AWS_SECRET_ACCESS_KEY: 'x' }
    expect((await errorOf(group({}, servers, half).preflight(servers, signal))).message).toMatch(
      /AWS_SESSION_TOKEN not set/,
    )
    expect(fake.calls).toEqual([])
  })

  it('that are wrong are in no text, also where AWS quotes the request', async () => {
    const { group, servers, fake } = await start()
    const secret = 'not-the-secret-of-that-key'
    const wrong = { ...environment(fake, 'ASIAEXAMPLE0000000002'), AWS_SECRET_ACCESS_KEY: secret }
    const error = await errorOf(group({}, servers, wrong).preflight(servers, signal))
    const text = `${error.message} ${error.hint} ${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`
    expect(error.message).toMatch(/SignatureDoesNotMatch/)
    for (const hidden of [secret, token]) expect(text).not.toContain(hidden)
    const broken = { ...environment(fake), AWS_SECRET_ACCESS_KEY: `${secret}\nx` }
    const refused = await errorOf(group({}, servers, broken).preflight(servers, signal))
    expect(refused.message).toMatch(/AWS_SECRET_ACCESS_KEY holds what cannot be/)
    expect(refused.message).not.toContain(secret)
  })

  it('without a right say which one is missing', async () => {
    const { group, servers, fake, placeOf } = await start()
    const reader = group({}, servers, environment(fake, 'ASIAEXAMPLE0000000002'))
    await reader.preflight(servers, signal)
    const error = await errorOf(reader.remove((await placeOf(reader)).receipt, signal))
    expect(error.hint).toContain('elasticloadbalancing:DeregisterTargets')
  })

  it.each(['http://elb.example', 'https://user:pw@elb.example', 'ftp://127.0.0.1', 'https://elb.example/?x'])(
    'are never sent to %s',
    async url => {
      const { group, servers, fake } = await start()
      const env = { ...environment(fake), AWS_ENDPOINT_URL: url }
      const error = await errorOf(group({}, servers, env).preflight(servers, signal))
      expect(error.message).toMatch(/AWS_ENDPOINT_URL/)
    },
  )

  it("go to the service's own endpoint where one is set", async () => {
    const { group, servers, fake } = await start()
    const env = {
      ...environment(fake),
      AWS_ENDPOINT_URL: 'http://127.0.0.1:9',
      AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2: fake.url,
    }
    expect((await group({}, servers, env).preflight(servers, signal)).rotation['web1']).toEqual({ state: 'serving' })
  })
})

describe('an API that is asked too often', () => {
  it('says with 503 how long it wants to be left alone', async () => {
    const { group, servers, fake } = await start()
    fake.fault('too many requests')
    const error = await errorOf(group().preflight(servers, signal))
    expect(error.retryAfterMs).toBe(7000)
    fake.fault('throttling')
    const other = await errorOf(group().preflight(servers, signal))
    expect(other.retryAfterMs).toBe(0)
    expect(other.message).toMatch(/asked too often: HTTP 400 Throttling: Rate exceeded/)
  })
})

describe('an answer', () => {
  it('that is not the one expected is an error, not an empty list', async () => {
    const { fake } = await start()
    const api = (path: string) =>
      awsQuery({
        name: 'edge',
        env: { ...environment(fake), AWS_ENDPOINT_URL: `http://127.0.0.1:${fake.router.port}${path}` },
        region: 'eu-west-1',
        version: '2015-12-01',
        endpointVariable: 'NONE',
      })
    const ask = api('/').call('DescribeTargetHealth', {}, { doing: 'read', read: r => r }, signal)
    const error = await errorOf(ask)
    expect(error.message).toMatch(/another form than published/)
  })
})
