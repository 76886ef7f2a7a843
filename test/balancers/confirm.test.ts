/** A server's own sight of its traffic: real connections behind a real HAProxy, seen through a real sshd. */

import { spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { Agent, get as httpGet } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { LoadBalancer, Receipt, Watch } from '../../src/balancers/balancer.ts'
import { confirmed } from '../../src/balancers/confirm.ts'
import { takeOut } from '../../src/balancers/controller.ts'
import { haproxy as haproxyProvider } from '../../src/balancers/haproxy.ts'
import { systemClock } from '../../src/clock.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { fleetOf } from '../fleet/reach.ts'
import { manifest } from '../plan/manifests.ts'
import { type Haproxy, startHaproxy } from '../support/haproxy.ts'
import { nameOf, processesWith } from '../support/processes.ts'
import { type Sshd, type SshdOptions, startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type CountingApp, countingApp } from './counting-app.ts'
import { haproxySettings, server } from './fixtures.ts'

const { signal } = new AbortController()
const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

let apps: readonly [CountingApp, CountingApp]
let haproxy: Haproxy
let sshd: Sshd
beforeAll(async () => {
  apps = [await countingApp('web1'), await countingApp('web2')]
  // Health checks every second, as those who watch for two have to live with.
  haproxy = await startHaproxy({
    backends: { web: { servers: apps, defaultServer: 'check inter 1s fall 2 rise 1 pool-purge-delay 60s' } },
  })
  sshd = await startSshd({ name: 'web1' })
  await waitUntil('both are up', async () => {
    const states = await Promise.all(apps.map(app => haproxy.status('web', app.name)))
    return states.every(s => s === 'UP')
  })
})
afterAll(async () => {
  await haproxy?.stop()
  await sshd?.stop()
  for (const app of apps ?? []) await app.stop()
})

const receipt: Receipt = { balancer: 'edge', server: 'web1', before: 'serving', data: {} }

/** A balancer that says yes to everything; what it knows of drained servers is `drained`. */
const yes = (drained: 'none' | 'state' = 'state'): LoadBalancer => ({
  name: 'edge',
  preflight: async () => ({ rotation: { web1: { state: 'serving' } }, warnings: [] }),
  receipt: async () => receipt,
  remove: async () => {},
  restore: async () => {},
  read: async () => ({ state: 'out', detail: '' }),
  evidence: async () => ({ drained, serving: 'none', settleMs: 0, pollMs: 200 }),
  byHand: () => '',
})

function wrapped(
  at: Sshd,
  confirm: { port?: number; quiet_for?: number; traffic_within?: number } | undefined,
  more: { balancer?: LoadBalancer; verify?: unknown } = {},
) {
  const fleet: Fleet = fleetOf([at])
  const web1 = server('web1', { host: at.host, port: at.port, user: at.user })
  const { verify } = manifest({ servers: [], keys: more.verify === undefined ? {} : { verify: more.verify } })
  const balancer = confirmed(
    more.balancer ?? yes(),
    { confirm },
    {
      manifest: { verify, servers: [web1] },
      leaving: new Set(['web1']),
      connect: (s, own) => fleet.connect(s, own),
      clock: systemClock,
    },
  )
  stops.push(() => {
    balancer.close?.()
    fleet.close()
  })
  return { balancer, preflight: () => balancer.preflight([web1], signal) }
}

async function watching(confirm: Parameters<typeof wrapped>[1], at = sshd): Promise<Watch> {
  const { balancer, preflight } = wrapped(at, confirm)
  await preflight()
  const watch = balancer.watch?.(receipt)
  if (watch === undefined) throw new Error('nothing is watched')
  stops.push(() => watch.end())
  return watch
}
const isQuiet = (watch: Watch) => watch.quiet?.() ?? Promise.reject(new Error('quiet is not asked for'))
/** Seconds until it says that the server is quiet. */
async function untilQuiet(watch: Watch, ms = 30_000): Promise<number> {
  const start = performance.now()
  await waitUntil('the server is quiet', () => isQuiet(watch), ms)
  return (performance.now() - start) / 1000
}
const request = (path: string, port: number, agent?: Agent): Promise<string> =>
  new Promise((resolve, reject) => {
    httpGet({ host: '127.0.0.1', port, path, ...(agent ? { agent } : {}) }, response => {
      let text = ''
      response.on('data', data => {
        text += data
      })
      response.once('end', () => resolve(text))
      response.once('error', reject)
    }).once('error', reject)
  })
/** Through HAProxy to web1 alone, until `work` has ended. */
async function onlyWeb1<T>(work: () => Promise<T>): Promise<T> {
  await haproxy.command('set server web/web2 state maint')
  try {
    return await work()
  } finally {
    await haproxy.command('set server web/web2 state ready')
    await haproxy.command('set server web/web1 state ready')
  }
}

describe('behind HAProxy', () => {
  it('health checks every second do not keep a server busy, nor do idle pooled connections', {
    timeout: 90_000,
  }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 12 })
    stops.push(() => agent.destroy())
    const [web1] = apps
    await onlyWeb1(() => Promise.all(Array.from({ length: 12 }, () => request('/', haproxy.port, agent))))
    expect(web1.open()).toBeGreaterThan(0)
    await haproxy.command('set server web/web1 state drain')
    const watch = await watching({ port: web1.port, quiet_for: 2 })
    const checks = web1.checks()
    const seconds = await untilQuiet(watch)
    // Two checks at least in the two seconds that count as quiet.
    expect(web1.checks() - checks).toBeGreaterThanOrEqual(2)
    expect(web1.open()).toBeGreaterThan(0)
    console.log(`quiet after ${seconds.toFixed(1)} s with a check a second and ${web1.open()} idle connections`)
    await haproxy.command('set server web/web1 state ready')
  })

  it.each(['/hold', '/drip'])('a response of six seconds is seen to its end: %s', { timeout: 90_000 }, async path => {
    const [web1] = apps
    const watch = await watching({ port: web1.port, quiet_for: 1 })
    // On a connection that has carried answers before.
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    stops.push(() => agent.destroy())
    const answer = await onlyWeb1(async () => {
      await request('/', haproxy.port, agent)
      await sleep(50)
      const pending = request(`${path}?ms=6000`, haproxy.port, agent)
      await waitUntil('it is in flight', () => web1.inFlight() === 1)
      await haproxy.command('set server web/web1 state drain')
      return { pending, at: performance.now() }
    })
    await haproxy.command('set server web/web1 state drain')
    let asked = 0
    while (web1.inFlight() > 0) {
      const quiet = await isQuiet(watch)
      if (web1.inFlight() > 0) expect(quiet, `${performance.now() - answer.at} ms after it began`).toBe(false)
      asked++
      await sleep(100)
    }
    expect(asked).toBeGreaterThan(1)
    await answer.pending
    expect(performance.now() - answer.at).toBeGreaterThan(5000)
    await untilQuiet(watch)
    await haproxy.command('set server web/web1 state ready')
  })

  it('a removal is drained only when the server is quiet: requests past the balancer hold it', {
    timeout: 90_000,
  }, async () => {
    const [web1] = apps
    const settings = haproxySettings({ hosts: [server('lb1', { host: sshd.host, port: sshd.port, user: sshd.user })] })
    const fleet = fleetOf([sshd])
    stops.push(() => fleet.close())
    const inner = haproxyProvider(
      'edge',
      { ...settings, socket: haproxy.socket },
      {
        connect: (s, own) => fleet.connect(s, own),
        resolve: text => text,
        servers: [server('web1')],
      },
    )
    const { balancer, preflight } = wrapped(sshd, { port: web1.port, quiet_for: 1 }, { balancer: inner })
    await preflight()
    const watch = balancer.watch?.(receipt)
    const own = await balancer.receipt(server('web1'), signal)
    let direct = true
    let over = 0
    const agent = new Agent({ keepAlive: true })
    // One after the other without a pause: also while a busy machine stands still, one of them waits for its answer.
    const past = (async () => {
      while (direct) await request('/hold?ms=200', web1.port, agent)
    })()
    setTimeout(() => {
      direct = false
      over = performance.now()
    }, 4000)
    const place = {
      balancer,
      receipt: own,
      quiet: watch?.quiet ?? (async () => true),
      rest: () => watch?.end(),
      settings: {
        waitAfterRemoving: 0,
        waitAfterAdding: 0,
        drainTimeout: 40,
        addTimeout: 40,
        onDrainTimeout: 'fail' as const,
      },
    }
    const out = await takeOut([place], { clock: systemClock, signal, onProgress: () => undefined })
    const after = performance.now() - over
    await past
    agent.destroy()
    expect(out).toMatchObject({ result: 'drained' })
    expect(direct).toBe(false)
    expect(after).toBeGreaterThanOrEqual(900)
    await haproxy.command('set server web/web1 state ready')
  })
})

describe('at the server itself', () => {
  const direct = () => apps[1].port
  const second = (confirm: { quiet_for?: number; traffic_within?: number }, at?: Sshd) =>
    watching({ port: direct(), ...confirm }, at)

  it('requests that each have a connection of their own are seen', { timeout: 60_000 }, async () => {
    const watch = await second({ quiet_for: 1 })
    let on = true
    const at = [performance.now()]
    const load = (async () => {
      while (on) {
        await request('/', direct(), new Agent({ keepAlive: false }))
        at.push(performance.now())
        await sleep(300 + Math.random() * 300)
      }
    })()
    const until = performance.now() + 8000
    const said: number[] = []
    while (performance.now() < until) {
      if (await isQuiet(watch)) said.push(performance.now())
      await sleep(100)
    }
    on = false
    await load
    // Where a busy machine sent none for most of a second, quiet was no more than the truth.
    const pauses = at.flatMap((end, i) => (end - (at[i - 1] ?? end) > 750 ? [{ start: at[i - 1] ?? end, end }] : []))
    expect(said.filter(t => !pauses.some(({ start, end }) => start < t && end > t - 4000))).toEqual([])
    await untilQuiet(watch)
  })

  it('a new connection with data is no health check, and one without is nothing', { timeout: 60_000 }, async () => {
    const watch = await second({ quiet_for: 1 })
    await untilQuiet(watch)
    const socket = connect(direct(), '127.0.0.1')
    stops.push(() => socket.destroy())
    await sleep(1500)
    await untilQuiet(watch)
    socket.write('GET /hold?ms=3000 HTTP/1.1\r\nHost: a\r\n\r\n')
    await waitUntil('it is seen', async () => !(await isQuiet(watch)))
    await waitUntil('it is answered', () => apps[1].inFlight() === 0)
    await untilQuiet(watch)
  })

  it('IPv6 is seen as well', { timeout: 60_000 }, async () => {
    const app = await countingApp('six', '::1')
    stops.push(() => app.stop())
    const watch = await watching({ port: app.port, quiet_for: 1 })
    await untilQuiet(watch)
    const agent = new Agent({ keepAlive: true })
    stops.push(() => agent.destroy())
    const pending = new Promise(resolve =>
      httpGet({ host: '::1', port: app.port, path: '/hold?ms=3000', agent }, r => r.resume().once('end', resolve)),
    )
    await waitUntil('it is seen', async () => !(await isQuiet(watch)))
    await pending
    await untilQuiet(watch)
  })

  it('traffic that arrives is seen, and health checks alone are none', { timeout: 180_000 }, async () => {
    await haproxy.command('set server web/web2 state drain')
    let watch = await second({ traffic_within: 10 })
    // What keeps no time is no health check: a busy machine's are waited for until they do.
    const keptTime = async () => {
      const begun = apps[1].checks()
      const answers: boolean[] = []
      while (apps[1].checks() < begun + 8) {
        answers.push(await watch.arrived(false))
        await sleep(100)
      }
      answers.push(await watch.arrived(true))
      const times = apps[1].checkTimes().slice(begun)
      const gaps = times.slice(1).map((t, i) => t - (times[i] ?? t))
      if (Math.max(...gaps) - Math.min(...gaps) <= 100) {
        expect(answers).not.toContain(true)
        return true
      }
      watch.end()
      watch = await second({ traffic_within: 10 })
      return false
    }
    await waitUntil('the health checks keep their time', keptTime, 120_000)
    await haproxy.command('set server web/web2 state ready')
    const agent = new Agent({ keepAlive: true, maxSockets: 2 })
    stops.push(() => agent.destroy())
    await waitUntil('it arrived', async () => {
      await request('/', haproxy.port, agent)
      return watch.arrived(false)
    })
  })

  it('begins anew when the connection is lost, and says so', { timeout: 60_000 }, async () => {
    const own = await startSshd({ name: 'web1' })
    stops.push(() => own.stop())
    await haproxy.command('set server web/web2 state maint')
    const watch = await second({ quiet_for: 1 }, own)
    await untilQuiet(watch)
    for (const pid of own.sessions()) process.kill(pid, 'SIGKILL')
    await waitUntil('it is told', () =>
      isQuiet(watch).then(
        () => false,
        (error: Error) => /cannot be seen: /.test(error.message),
      ),
    )
    expect(await isQuiet(watch)).toBe(false)
    await untilQuiet(watch)
    await haproxy.command('set server web/web2 state ready')
  })

  it('leaves nothing running there', { timeout: 60_000 }, async () => {
    const own = await startSshd({ name: 'web1' })
    stops.push(() => own.stop())
    const watch = await second({ quiet_for: 1 }, own)
    await waitUntil('it looks', async () => (await isQuiet(watch)) || childrenNamed(own, 'ss').length > 0)
    watch.end()
    await waitUntil('nothing is left', () => childrenNamed(own, 'ss', 'sleep').length === 0)
  })
})

const childrenNamed = (of: Sshd, ...names: string[]) =>
  processesWith('HOME', of.home).filter(pid => names.includes(nameOf(pid)))

describe('a server without the tools', () => {
  const without = async (mounts: NonNullable<SshdOptions['mounts']>) => {
    const own = await startSshd({ name: 'web1', mounts })
    stops.push(() => own.stop())
    return own
  }
  const nothing = { directory: '/dev/null' }

  it('without ss: says what that means, and an open connection counts as traffic', { timeout: 60_000 }, async () => {
    const app = await countingApp('web3')
    stops.push(() => app.stop())
    const own = await without({ '/usr/bin/ss': nothing })
    const { balancer, preflight } = wrapped(own, { port: app.port, quiet_for: 1 })
    expect((await preflight()).warnings).toEqual([
      `edge: at port ${app.port} of web1, nobody can see what a connection carries, so each open one counts as traffic, also an idle one: there is no ss (iproute2), or it may not ask the kernel.`,
    ])
    const watch = balancer.watch?.(receipt)
    if (watch === undefined) throw new Error('nothing is watched')
    stops.push(() => watch.end())
    await untilQuiet(watch)
    const socket = connect(app.port, '127.0.0.1')
    await waitUntil('it is seen', async () => !(await isQuiet(watch)))
    await sleep(3000)
    expect(await isQuiet(watch)).toBe(false)
    socket.destroy()
    await untilQuiet(watch)
  })

  it('without stdbuf: short connections may be missed, lasting ones are not', { timeout: 60_000 }, async () => {
    const app = await countingApp('web3')
    stops.push(() => app.stop())
    const own = await without({ '/usr/bin/stdbuf': nothing })
    const { balancer, preflight } = wrapped(own, { port: app.port, quiet_for: 1 })
    expect((await preflight()).warnings.join()).toContain('short connections that come between two looks may be missed')
    const watch = balancer.watch?.(receipt)
    if (watch === undefined) throw new Error('nothing is watched')
    stops.push(() => watch.end())
    await untilQuiet(watch)
    const pending = request('/hold?ms=3000', app.port)
    await waitUntil('it is seen', async () => !(await isQuiet(watch)))
    await pending
    await untilQuiet(watch)
  })

  it('without anything that tells: refused before anything is changed, with the way on', {
    timeout: 60_000,
  }, async () => {
    const own = await without({ '/usr/bin/mawk': nothing })
    const { preflight } = wrapped(own, { port: apps[0].port })
    await expect(preflight()).rejects.toMatchObject({
      message: `edge: nobody can see what arrives at port ${apps[0].port} of web1: there is no awk`,
      hint: expect.stringContaining('confirm: {quiet_for: 0}'),
    })
  })
})

describe('what is in force', () => {
  const verify = () => ({ http: { port: String(apps[0].port) } })
  const inForce = async (...words: Parameters<typeof wrapped> extends [unknown, ...infer R] ? R : never) => {
    const { balancer, preflight } = wrapped(sshd, ...words)
    const { warnings } = await preflight()
    return { watch: balancer.watch?.(receipt), warnings }
  }

  it('is two seconds at the port that verify asks, where the balancer itself cannot tell', async () => {
    expect((await inForce(undefined, { balancer: yes('none'), verify: verify() })).watch?.quiet).toBeDefined()
    expect((await inForce(undefined, { balancer: yes('state'), verify: verify() })).watch).toBeUndefined()
  })
  it('is nothing where it is switched off', async () => {
    const off = await inForce({ quiet_for: 0 }, { balancer: yes('none'), verify: verify() })
    expect(off).toEqual({ watch: undefined, warnings: [] })
  })
  it('is said to be nothing where nobody knows the port, and refused where it was asked for', async () => {
    const { watch, warnings } = await inForce(undefined, { balancer: yes('none') })
    expect(watch).toBeUndefined()
    expect(warnings.join()).toContain('Write load_balancers.edge.confirm.port')
    await expect(inForce({ quiet_for: 1 })).rejects.toThrow('confirm names no port')
  })
  it('is warned of where nothing listens: it would always look quiet', async () => {
    expect((await inForce({ port: 1 })).warnings.join()).toContain('nothing listens at port 1 of web1')
  })
  it('is refused where a container has the port, and without a word for it only warned of', async () => {
    // A program of that name and with those words, as docker starts it for each published port.
    const proxy = await dockerProxy(apps[0].port)
    stops.push(proxy)
    await expect(inForce({ port: apps[0].port })).rejects.toThrow('forwarded into a container by docker-proxy')
    const { watch, warnings } = await inForce(undefined, { balancer: yes('none'), verify: verify() })
    expect(watch).toBeUndefined()
    expect(warnings.join()).toContain('forwarded into a container')
  })
})

async function dockerProxy(port: number): Promise<() => void> {
  const directory = mkdtempSync(join(tmpdir(), 'docker-proxy-'))
  const program = join(directory, 'docker-proxy')
  copyFileSync('/bin/sh', program)
  const words = ['-c', 'read line', '-proto', 'tcp', '-host-ip', '0.0.0.0', '-host-port', String(port)]
  const child = spawn(program, words, { stdio: ['pipe', 'ignore', 'ignore'] })
  await new Promise((resolve, reject) => child.once('spawn', () => resolve(undefined)).once('error', reject))
  return () => {
    child.kill()
    rmSync(directory, { recursive: true, force: true })
  }
}
