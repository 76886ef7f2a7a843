/** Clouds through the bundle, against fakes that really route requests, and route them later than their APIs tell. */
import { execFileSync } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { fakeAzure } from '../balancers/fake-azure.ts'
import { fakeCloudflare } from '../balancers/fake-cloudflare.ts'
import { fakeDigitalocean } from '../balancers/fake-digitalocean.ts'
import { fakeGcp } from '../balancers/fake-gcp.ts'
import { fakeHetzner } from '../balancers/fake-hetzner.ts'
import { fakeLinode } from '../balancers/fake-linode.ts'
import { startRouter } from '../balancers/routing.ts'
import { type LoadReport, startLoads } from '../support/load.ts'
import type { Site } from '../support/site.ts'
import { outcome, useSites } from '../support/use-site.ts'

const site = useSites()
const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

const token = 'a-token-that-no-log-shows'

/** Health as a balancer's own checks would find it. */
function checked(at: Site): ReadonlyMap<string, () => number> {
  const last = new Map(at.servers.map(s => [s.name, 200]))
  const timer = setInterval(() => {
    // As checkers do: each on a connection of its own.
    for (const { name, appPort } of at.servers)
      fetch(`http://127.0.0.1:${appPort}/up`, { headers: { connection: 'close' } }).then(
        response => last.set(name, response.status),
        () => last.set(name, 503),
      )
  }, 1000)
  stops.push(() => clearInterval(timer))
  return new Map(at.servers.map(({ name }) => [name, () => last.get(name) ?? 503]))
}

/** Two clouds before the same servers, each with requests that follow a removal after four seconds. */
async function clouds(at: Site) {
  const health = checked(at)
  const ids = at.servers.map((_, i) => i + 1)
  const behind = Object.fromEntries(
    at.servers.map(({ name, appPort }, i) => [i + 1, { name, port: appPort, status: health.get(name) ?? (() => 503) }]),
  )
  const names = at.servers.map(({ name }, i) => ({ id: i + 1, name }))
  const hetzner = await fakeHetzner({
    clock: systemClock,
    token,
    servers: names,
    behind,
    check: { interval: 1, retries: 2 },
    lagMs: 4000,
  })
  hetzner.settle(ids.map(String))
  stops.push(hetzner.stop)
  const ocean = await fakeDigitalocean({
    clock: systemClock,
    token,
    droplets: names,
    backends: behind,
    check: { check_interval_seconds: 3, healthy_threshold: 2 },
    lagMs: 4000,
  })
  ocean.settle(ids)
  stops.push(ocean.stop)
  const routers = [await startRouter(hetzner.routes), await startRouter(ocean.routes)] as const
  for (const router of routers) stops.push(router.stop)
  return { hetzner, ocean, urls: routers.map(r => `http://127.0.0.1:${r.port}/`) }
}

/** What people do who take a call for the fact: remove, restart at once, add. */
async function naive(at: Site, take: (i: number) => void, put: (i: number) => void): Promise<void> {
  for (const [i, server] of at.servers.entries()) {
    take(i)
    const { sshd, appPort, name } = server
    const own = { PATH: process.env['PATH'], HOME: sshd.home, NODE: process.execPath, START_MS: '1000' }
    execFileSync('./activate', {
      cwd: `${server.root}/current`,
      env: { ...own, PORT: String(appPort), DEPLOY_SERVER: name, DEPLOY_RELEASE: 'naive' },
    })
    put(i)
  }
}

async function underLoad<T>(urls: readonly string[], work: () => Promise<T>) {
  const loads = await Promise.all(urls.map(url => startLoads(url, { clients: 6 })))
  await Promise.all(loads.map(load => load.more(100)))
  const result = await work()
  await Promise.all(loads.map(load => load.more(100)))
  const reports = await Promise.all(loads.map(load => load.stop()))
  return { result, reports: reports.flatMap(({ short, slow }): LoadReport[] => [short, slow]) }
}

describe('hetzner and digitalocean at once, fakes of them, under keep-alive load', () => {
  it('fail no request although requests follow a removal late; a naive restart loses some', {
    timeout: 900_000,
  }, async () => {
    const at = await site({ servers: 2, startMs: 1000 })
    const cloud = await clouds(at)
    at.manifest({
      load_balancers: {
        hel: { provider: 'hetzner', roles: ['web'], load_balancer: '4711' },
        nyc: { provider: 'digitalocean', roles: ['web'], load_balancer: cloud.ocean.id },
      },
    })
    at.change({ version: '2' })
    const env = {
      HCLOUD_TOKEN: token,
      HCLOUD_ENDPOINT: cloud.hetzner.url,
      DIGITALOCEAN_TOKEN: token,
      DIGITALOCEAN_API_URL: cloud.ocean.url,
    }
    const { result, reports } = await underLoad(cloud.urls, () => at.deploy({}, { env }))
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    for (const { failed, problems, served, byRelease } of reports) {
      expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
      expect(served).toBeGreaterThan(100)
      expect(Object.keys(byRelease)).toContain(result.outputs['release'])
    }
    expect([1, 2].map(i => [cloud.hetzner.target(String(i)), cloud.ocean.has(i)])).toEqual([
      [{ use_private_ip: true }, true],
      [{ use_private_ip: true }, true],
    ])
    const shown = `${result.log}${result.summary}${JSON.stringify(result.outputs)}`
    expect(shown).not.toContain(token)
    expect(shown).toContain('neither what is in flight nor who is healthy')

    const take = (i: number) => {
      cloud.hetzner.take(String(i + 1))
      cloud.ocean.take(i + 1)
    }
    const put = (i: number) => {
      cloud.hetzner.put(String(i + 1))
      cloud.ocean.put(i + 1)
    }
    const lost = await underLoad(cloud.urls, () => naive(at, take, put))
    expect(lost.reports.reduce((sum, r) => sum + r.failed, 0)).toBeGreaterThan(0)
    console.log(
      `${result.seconds.toFixed(0)} s; ${reports.reduce((n, r) => n + r.served, 0)} requests, 0 failed; naive: ${lost.reports.reduce((n, r) => n + r.failed, 0)} failed`,
    )
  })

  it('say before anything is changed that a token is missing', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest({ load_balancers: { hel: { provider: 'hetzner', roles: ['web'], load_balancer: '4711' } } })
    at.change({ version: '2' })
    const before = at.current('web1')
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(result.log).toContain('HCLOUD_TOKEN is not set')
    expect(at.current('web1')).toBe(before)
  })
})

describe('linode and cloudflare at once, fakes of them, under keep-alive load', () => {
  it('fail no request although requests follow a removal late, and are left as they were; a naive restart loses some', {
    timeout: 900_000,
  }, async () => {
    const at = await site({ servers: 2, startMs: 1000 })
    const health = checked(at)
    const backends = Object.fromEntries(
      at.servers.map(({ name, appPort }) => [name, { name, port: appPort, status: health.get(name) ?? (() => 503) }]),
    )
    const nodes = at.servers.map(({ name }, i) => ({ id: i + 1, label: name, address: `192.168.210.${i + 1}:80` }))
    const linode = await fakeLinode({
      clock: systemClock,
      token,
      configs: { 80: nodes, 443: nodes },
      backends,
      settings: { check_interval: 2, check_timeout: 1 },
      lagMs: 4000,
    })
    stops.push(linode.stop)
    const pool = '17b5962d775c646f3f9725cbc7a53df4'
    const origins = at.servers.map(({ name }, i) => ({ name, address: `192.0.2.${i + 1}`, weight: 0.25 * (i + 1) }))
    const cloudflare = await fakeCloudflare({
      clock: systemClock,
      token,
      pools: { [pool]: origins },
      backends,
      monitor: { interval: 2, timeout: 1 },
      lagMs: 4000,
    })
    stops.push(cloudflare.stop)
    const urls: string[] = []
    for (const fake of [linode, cloudflare]) {
      const router = await startRouter(fake.routes)
      stops.push(router.stop)
      urls.push(`http://127.0.0.1:${router.port}/`)
    }
    at.manifest({
      load_balancers: {
        ams: { provider: 'linode', roles: ['web'], nodebalancer: String(linode.id), configs: [80, 443] },
        world: { provider: 'cloudflare', roles: ['web'], account: cloudflare.account, pools: [pool] },
      },
    })
    at.change({ version: '2' })
    const env = {
      LINODE_TOKEN: token,
      LINODE_URL: `${linode.url}/v4`,
      CLOUDFLARE_API_TOKEN: token,
      CLOUDFLARE_BASE_URL: `${cloudflare.url}/client/v4`,
    }
    const { result, reports } = await underLoad(urls, () => at.deploy({}, { env }))
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    for (const { failed, problems, served, byRelease } of reports) {
      expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
      expect(served).toBeGreaterThan(100)
      expect(Object.keys(byRelease)).toContain(result.outputs['release'])
    }
    for (const config of [80, 443])
      for (const id of [1, 2]) expect(linode.node(config, id)).toEqual({ mode: 'accept', weight: 50 })
    expect(cloudflare.origins(pool)).toEqual(origins.map(o => ({ ...o, enabled: true })))
    expect(`${result.log}${result.summary}${JSON.stringify(result.outputs)}`).not.toContain(token)

    const enable = (i: number, enabled: boolean) =>
      cloudflare.write(pool, list => list.map((o, at) => (at === i ? { ...o, enabled } : o)))
    const take = (i: number) => {
      linode.set(i + 1, { mode: 'drain' })
      enable(i, false)
    }
    const put = (i: number) => {
      linode.set(i + 1, { mode: 'accept' })
      enable(i, true)
    }
    const lost = await underLoad(urls, () => naive(at, take, put))
    expect(lost.reports.reduce((sum, r) => sum + r.failed, 0)).toBeGreaterThan(0)
    console.log(
      `${result.seconds.toFixed(0)} s; ${reports.reduce((n, r) => n + r.served, 0)} requests, 0 failed; naive: ${lost.reports.reduce((n, r) => n + r.failed, 0)} failed`,
    )
  })
})

describe('gcp and azure at once, fakes of them, under keep-alive load', () => {
  it('fail no request although requests follow a removal late, and are left as they were; a naive restart loses some', {
    timeout: 900_000,
  }, async () => {
    const at = await site({ servers: 2, startMs: 1000 })
    const health = checked(at)
    const behind = Object.fromEntries(
      at.servers.map(({ name, appPort }) => [name, { name, port: appPort, status: health.get(name) ?? (() => 503) }]),
    )
    const instances = at.servers.map(({ name }, i) => ({ id: String(i + 1), name, ip: `10.0.0.${i + 1}` }))
    const endpoints = instances.map(({ name, ip }) => ({ instance: name, ipAddress: ip, port: 8080 }))
    const google = await fakeGcp({
      clock: systemClock,
      token,
      instances,
      behind,
      check: { checkIntervalSec: 1, healthyThreshold: 2, timeoutSec: 1 },
      lagMs: 4000,
      state: { drainSeconds: 6 },
    })
    google.settle(endpoints)
    stops.push(google.stop)
    const azure = await fakeAzure({
      clock: systemClock,
      token,
      addresses: at.servers.map(({ name }, i) => ({ name, ip: `10.0.0.${i + 1}` })),
      behind,
      probe: { intervalInSeconds: 2, probeThreshold: 2 },
      lagMs: 4000,
    })
    azure.settle()
    stops.push(azure.stop)
    const urls: string[] = []
    for (const fake of [google, azure]) {
      const router = await startRouter(fake.routes)
      stops.push(router.stop)
      urls.push(`http://127.0.0.1:${router.port}/`)
    }
    at.manifest({
      load_balancers: {
        bel: {
          provider: 'gcp',
          roles: ['web'],
          network_endpoint_group: 'web-neg',
          backend_service: 'web',
          project: 'shop-project',
          zone: 'europe-west1-b',
        },
        // Without confirm: what is looked at here is what the provider itself waits for.
        ams: { provider: 'azure', roles: ['web'], backend_pool: azure.pool, confirm: { quiet_for: 0 } },
      },
    })
    at.change({ version: '2' })
    const env = {
      GOOGLE_OAUTH_ACCESS_TOKEN: token,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_COMPUTE: google.url,
      AZURE_ACCESS_TOKEN: token,
      AZURE_RESOURCE_MANAGER_ENDPOINT: azure.url,
    }
    const { result, reports } = await underLoad(urls, () => at.deploy({}, { env }))
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    for (const { failed, problems, served, byRelease } of reports) {
      expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
      expect(served).toBeGreaterThan(100)
      expect(Object.keys(byRelease)).toContain(result.outputs['release'])
    }
    for (const [i, { name }] of at.servers.entries()) {
      expect(google.members(name)).toEqual([endpoints[i]])
      expect(azure.adminState(name)).toBe('None')
    }
    const shown = `${result.log}${result.summary}${JSON.stringify(result.outputs)}`
    expect(shown).not.toContain(token)
    expect(shown).toContain('each server drains for up to 6 s')
    // Drained, and not waited for until drain_timeout.
    expect(shown).not.toContain('old connections')

    const names = at.servers.map(s => s.name)
    const take = (i: number) => {
      google.take(names[i]!)
      azure.put(names[i]!, 'Down')
    }
    const put = (i: number) => {
      google.put(endpoints[i]!)
      azure.put(names[i]!, 'None')
    }
    const lost = await underLoad(urls, () => naive(at, take, put))
    expect(lost.reports.reduce((sum, r) => sum + r.failed, 0)).toBeGreaterThan(0)
    console.log(
      `${result.seconds.toFixed(0)} s; ${reports.reduce((n, r) => n + r.served, 0)} requests, 0 failed; naive: ${lost.reports.reduce((n, r) => n + r.failed, 0)} failed`,
    )
  })
})
