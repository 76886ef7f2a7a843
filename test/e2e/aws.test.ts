/** AWS through the bundle, against the fake that really routes requests, and routes them longer than its API tells. */
import { execFileSync } from 'node:child_process'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { arnOf, ids, users } from '../balancers/aws-fixture.ts'
import { type FakeAws, startFakeAws } from '../support/fake-aws/fake-aws.ts'
import { type LoadReport, startLoad, startLoads } from '../support/load.ts'
import type { Site } from '../support/site.ts'
import { outcome, useSites } from '../support/use-site.ts'

const site = useSites()
const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

const secret = users.AKIDEXAMPLE0000000001.secret
const environment = (aws: FakeAws) => ({
  AWS_ENDPOINT_URL: aws.url,
  AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE0000000001',
  AWS_SECRET_ACCESS_KEY: secret,
})

/** Health as a balancer's own checks would find it. */
function checked(at: Site): ReadonlyMap<string, boolean> {
  const up = new Map(at.servers.map(s => [s.name, true]))
  const timer = setInterval(() => {
    for (const { name, appPort } of at.servers)
      fetch(`http://127.0.0.1:${appPort}/up`).then(
        response => up.set(name, response.ok),
        () => up.set(name, false),
      )
  }, 200)
  stops.push(() => clearInterval(timer))
  return up
}

/** The servers in a target group and behind a classic load balancer; one data plane for each. */
async function clouds(at: Site) {
  const up = checked(at)
  const machines = Object.fromEntries(at.servers.map((s, i) => [ids[i] ?? '', { name: s.name, port: s.appPort }]))
  const list = { delaySeconds: 120, intervalSeconds: 1, threshold: 2 }
  const start = (lists: Pick<Parameters<typeof startFakeAws>[0], 'groups' | 'classics' | 'lagMs'>) =>
    startFakeAws({ clock: systemClock, machines, users, isUp: machine => up.get(machine.name) ?? false, ...lists })
  const targets = at.servers.map((s, i) => ({ id: ids[i] ?? '', port: s.appPort }))
  const modern = await start({ groups: { [arnOf('web')]: { name: 'web', ...list, targets } } })
  stops.push(modern.stop)
  const classic = await start({
    classics: { web: { name: 'web', ...list, targets: targets.map(({ id }) => ({ id })) } },
    // It tells nothing of what is in flight: the last request has to be answered by the 20 s that are waited, also on a busy machine.
    lagMs: 16_000,
  })
  stops.push(classic.stop)
  return { modern, classic, urls: [modern, classic].map(f => `http://127.0.0.1:${f.router.port}/`) }
}

async function underLoad<T>(urls: readonly string[], work: () => Promise<T>) {
  const loads = await Promise.all(urls.map(url => startLoads(url, { clients: 6 })))
  await Promise.all(loads.map(load => load.more(100)))
  const result = await work()
  await Promise.all(loads.map(load => load.more(100)))
  const reports = await Promise.all(loads.map(load => load.stop()))
  return { result, reports: reports.flatMap(({ short, slow }): LoadReport[] => [short, slow]) }
}

/** What people do who take the call for the fact: deregister, restart at once, register. */
function naive(at: Site, { modern, classic }: Awaited<ReturnType<typeof clouds>>): void {
  for (const [i, { name, appPort, root, sshd }] of at.servers.entries()) {
    const target = { id: ids[i] ?? '', port: appPort }
    modern.groups.get(arnOf('web'))?.deregister(target)
    classic.classics.get('web')?.deregister({ id: target.id })
    const own = { PATH: process.env['PATH'], HOME: sshd.home, NODE: process.execPath, START_MS: '1000' }
    execFileSync('./activate', {
      cwd: `${root}/current`,
      env: { ...own, PORT: String(appPort), DEPLOY_SERVER: name, DEPLOY_RELEASE: 'naive' },
    })
    modern.groups.get(arnOf('web'))?.register(target)
    classic.classics.get('web')?.register({ id: target.id })
  }
}

describe('a target group and a classic load balancer at once, fakes of them, under keep-alive load', () => {
  it('fail no request although requests follow a removal for 19 s; a naive restart loses some', {
    timeout: 900_000,
  }, async () => {
    const at = await site({ servers: 2, startMs: 1000 })
    const aws = await clouds(at)
    at.manifest({
      servers: at.servers.map((s, i) => ({
        name: s.name,
        id: ids[i],
        host: `127.0.0.1:${s.sshd.port}`,
        roles: ['web', s.name],
        env: { PORT: String(s.appPort) },
      })),
      load_balancers: {
        alb: { provider: 'aws-target-group', roles: ['web'], target_groups: [arnOf('web')] },
        elb: { provider: 'aws-classic', roles: ['web'], load_balancers: ['web'], region: 'eu-west-1' },
      },
    })
    at.change({ version: '2' })
    const env = {
      ...environment(aws.modern),
      AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING: aws.classic.url,
    }
    // A response of six seconds is under way when its server leaves.
    // So many that always one is: a drain that ends in a moment without any would not wait for those that still come.
    const long = await startLoad(`${aws.urls[0]}slow?ms=6000`, { clients: 20, timeoutMs: 60_000 })
    const { result, reports } = await underLoad(aws.urls, () => at.deploy({}, { env }))
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    for (const { failed, problems, served, byRelease } of [...reports, await long.stop()]) {
      expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
      expect(served).toBeGreaterThan(10)
      expect(Object.keys(byRelease)).toContain(result.outputs['release'])
    }
    expect(result.log).toMatch(/web waits up to 120 s .*deregistration_delay/)
    // The log is without the lines that tell the runner what to mask.
    expect(result.log + result.summary).not.toContain(secret)
    for (const fake of [aws.modern, aws.classic]) {
      expect(fake.complaints).toEqual([])
      const lists = [...fake.groups.values(), ...fake.classics.values()]
      expect(lists.flatMap(l => l.list().map(t => t.state))).toEqual(['healthy', 'healthy'])
    }
    const counted = (fake: FakeAws) => fake.calls.filter(c => c.action.startsWith('Describe')).length
    console.log(
      `aws: ${Math.round(result.seconds)} s for 2 servers, ${reports.reduce((n, r) => n + r.served, 0)} requests, 0 failed; reads: ${counted(aws.modern)} and ${counted(aws.classic)}`,
    )

    const lost = await underLoad(aws.urls, async () => naive(at, aws))
    expect(lost.reports.reduce((n, r) => n + r.failed, 0)).toBeGreaterThan(0)
    console.log(`aws: a naive restart lost ${lost.reports.reduce((n, r) => n + r.failed, 0)} requests`)
  })

  it('change nothing where the role may only read, and say what it lacks', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    const aws = await clouds(at)
    at.manifest({
      servers: at.servers.map((s, i) => ({
        name: s.name,
        id: ids[i],
        host: `127.0.0.1:${s.sshd.port}`,
        roles: ['web', s.name],
        env: { PORT: String(s.appPort) },
      })),
      load_balancers: { alb: { provider: 'aws-target-group', roles: ['web'], target_groups: [arnOf('web')] } },
    })
    const before = at.servers.map(s => at.current(s.name))
    at.change({ version: '2' })
    const { secret: own, token } = users.ASIAEXAMPLE0000000002
    const env = {
      AWS_ENDPOINT_URL: aws.modern.url,
      AWS_ACCESS_KEY_ID: 'ASIAEXAMPLE0000000002',
      AWS_SECRET_ACCESS_KEY: own,
      AWS_SESSION_TOKEN: token,
    }
    const result = await at.deploy({}, { env })
    expect(result.code).toBe(1)
    expect(result.log).toMatch(/elasticloadbalancing:DeregisterTargets/)
    // The log is without the lines that tell the runner what to mask.
    expect(result.log + result.summary).not.toContain(token)
    expect(at.servers.map(s => at.current(s.name))).toEqual(before)
    expect(
      aws.modern.groups
        .get(arnOf('web'))
        ?.list()
        .map(t => t.state),
    ).toEqual(['healthy', 'healthy'])
  })
})
