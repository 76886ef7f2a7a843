import { type Agent, Agent as HttpAgent, request } from 'node:http'
import { connect as connectTcp, createServer } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { patient } from '../../src/balancers/backing-off.ts'
import { bringBack, takeOut } from '../../src/balancers/controller.ts'
import { haproxy } from '../../src/balancers/haproxy.ts'
import type { Place, PlaceSettings } from '../../src/balancers/place.ts'
import { systemClock } from '../../src/clock.ts'
import { BalancerError } from '../../src/errors.ts'
import { startHaproxy } from '../support/haproxy.ts'
import { plainConnection } from '../support/plain-connection.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { keepsTheContract } from './contract.ts'
import { haproxySettings, server } from './fixtures.ts'
import { get } from './gated-app.ts'
import { type Site, site, subject } from './haproxy-fixture.ts'
import { fill } from './haproxy-full.ts'

const signal = new AbortController().signal
const deps = { clock: systemClock, signal, onProgress: () => undefined }
const servers = [server('web1'), server('web2')] as const

const resolve = (text: string, at: { readonly name: string }) => text.replace('NAME', at.name)

let sshd: Sshd
const closing: (() => void)[] = []
beforeAll(async () => {
  sshd = await startSshd({ name: 'lb1' })
})
afterAll(async () => {
  for (const close of closing) close()
  await sshd?.stop()
})

const build = (socket: string, backends: readonly string[] = ['web'], behind = servers.map(s => s)) => {
  const balancer = haproxy(
    'edge',
    haproxySettings({ backends: [...backends], hosts: [server('lb1', { port: sshd.port })], socket }),
    { connect: () => plainConnection(sshd), servers: behind, resolve },
  )
  closing.push(() => balancer.close?.())
  return balancer
}

keepsTheContract('haproxy over SSH', () =>
  subject(
    socket =>
      (behind = servers) =>
        build(socket, ['web'], [...behind]),
  ),
)

const settings = (more: Partial<PlaceSettings> = {}): PlaceSettings => ({
  waitAfterRemoving: 0,
  waitAfterAdding: 0,
  drainTimeout: 20,
  addTimeout: 20,
  onDrainTimeout: 'fail',
  ...more,
})

describe('a socket through SSH', () => {
  it('that is full answers when a place is free, without a second in between', async () => {
    const real = await startHaproxy({
      backends: { web: { servers: [{ name: 'web1', port: 9 }] } },
      extra: ['global', '  stats timeout 5m'],
    })
    try {
      const balancer = build(real.socket, ['web'], [servers[0]])
      const release = await fill(real.socket)
      const error = await balancer.preflight([servers[0]], signal).catch((e: unknown) => e)
      expect(error).toBeInstanceOf(BalancerError)
      expect(error).toMatchObject({ retryAfterMs: 25 })
      // Time stands still for who asks how long it has been asking; the place is free after three pauses.
      const pauses: number[] = []
      const sleep = (ms: number, s: AbortSignal) => {
        if (pauses.push(ms) === 3) release()
        return systemClock.sleep(ms, s)
      }
      const clock = { ...systemClock, now: () => 0, sleep }
      const report = await patient(balancer, { clock, random: () => 0.5 }).preflight([servers[0]], signal)
      expect(Object.keys(report.rotation)).toEqual(['web1'])
      expect(pauses.slice(0, 4)).toEqual([50, 100, 100, 100].slice(0, pauses.length))
    } finally {
      await real.stop()
    }
  })

  it('that is not there is told with what to look at, after 5 s of asking again: sshd says the same of a full one', async () => {
    let now = 0
    const clock = {
      ...systemClock,
      now: () => now,
      sleep: async (ms: number) => {
        now += ms
      },
    }
    const missing = patient(build('/nonexistent/admin.sock'), { clock })
    await expect(missing.preflight(servers, signal)).rejects.toMatchObject({
      message: expect.stringContaining('lb1:/nonexistent/admin.sock does not answer'),
      hint: expect.stringContaining('the socket has to exist there'),
    })
    expect(now).toBeLessThanOrEqual(5000)
  })
})

describe('putting back', () => {
  let here: Site
  beforeAll(async () => {
    here = await site()
  })
  beforeEach(() => here.reset())
  afterAll(() => here?.stop())

  it.each(['maint', 'drain'])('sends a server that is broken nothing after %s, not one request', async state => {
    const balancer = build(here.haproxy.socket)
    const [web1] = here.apps
    const receipt = await balancer.receipt(servers[0], signal)
    await balancer.remove(receipt, signal)
    if (state === 'maint') await balancer.insist?.(receipt, signal)
    web1.health(500)
    // In drain HAProxy goes on checking; in maintenance it does not, and believes its last check.
    if (state === 'drain')
      await waitUntil('HAProxy notices', async () => (await here.haproxy.status('web', 'web1')) === 'DOWN')
    const before = web1.served()
    await balancer.restore(receipt, signal)
    for (let i = 0; i < 300; i++) await get(here.haproxy.port)
    expect(web1.served()).toBe(before)
    expect((await balancer.read(receipt, signal)).state).toBe('unhealthy')
    web1.health(200)
    await waitUntil('it serves', async () => (await balancer.read(receipt, signal)).state === 'serving')
  })

  it('would send it requests without that: the test above can fail', async () => {
    const [web1] = here.apps
    await here.haproxy.command('set server web/web1 state maint')
    web1.health(500)
    const before = web1.served()
    await here.haproxy.command('set server web/web1 state ready')
    for (let i = 0; i < 20; i++) await get(here.haproxy.port)
    expect(web1.served()).toBeGreaterThan(before)
  })

  it('restores the weight and the drain it found', async () => {
    const balancer = build(here.haproxy.socket)
    await here.haproxy.command('set server web/web1 weight 7')
    await here.haproxy.command('set server web/web1 state drain')
    const receipt = await balancer.receipt(servers[0], signal)
    expect(receipt.before).toBe('draining')
    await here.haproxy.command('set server web/web1 weight 1')
    await here.haproxy.command('set server web/web1 state maint')
    await balancer.restore(receipt, signal)
    expect(await here.haproxy.status('web', 'web1')).toMatch(/^DRAIN/)
    expect((await here.haproxy.command('get weight web/web1')).trim()).toBe('7 (initial 1)')
  })

  it('does not take a weight of 0 for serving', async () => {
    const balancer = build(here.haproxy.socket)
    await here.haproxy.command('set server web/web1 weight 0')
    expect((await balancer.preflight(servers, signal)).rotation['web1']?.state).toBe('draining')
  })

  it('reads a drained server whose check fails as drained, not as down', async () => {
    const balancer = build(here.haproxy.socket)
    const receipt = await balancer.receipt(servers[0], signal)
    await balancer.remove(receipt, signal)
    here.apps[0].health(500)
    await waitUntil('HAProxy notices', async () => (await here.haproxy.status('web', 'web1')) === 'DOWN')
    expect(await balancer.read(receipt, signal)).toMatchObject({ state: 'draining', inFlight: 0 })
  })

  it('removes a server again that stays unhealthy until add_timeout', async () => {
    const balancer = build(here.haproxy.socket)
    const receipt = await balancer.receipt(servers[0], signal)
    const place: Place = { balancer, receipt, settings: settings({ addTimeout: 1 }) }
    expect(await takeOut([place], deps)).toMatchObject({ result: 'drained' })
    here.apps[0].health(500)
    await waitUntil('HAProxy notices', async () => (await here.haproxy.status('web', 'web1')) === 'DOWN')
    expect(await bringBack([place], deps)).toMatchObject({ result: 'left-out', confirmed: true })
    here.apps[0].health(200)
    await waitUntil('its check passes', async () => (await here.haproxy.status('web', 'web1')) === 'DRAIN')
    expect(await balancer.read(receipt, signal)).toMatchObject({ state: 'draining' })
  })

  it('refuses a receipt that holds other commands', async () => {
    const balancer = build(here.haproxy.socket)
    const receipt = await balancer.receipt(servers[0], signal)
    const forged = {
      ...receipt,
      data: { members: [{ where: 'lb1', backend: 'web', member: 'web2; x', admin: 'ready', weight: 1 }] },
    }
    await expect(balancer.restore(forged, signal)).rejects.toThrow('cannot be used')
  })
})

describe('members', () => {
  let here: Site
  beforeAll(async () => {
    here = await site({}, ['web', 'api'])
  })
  beforeEach(() => here.reset())
  afterAll(() => here?.stop())

  it('are one in each backend: removed from all, restored in all', async () => {
    const balancer = build(here.haproxy.socket, ['web', 'api'])
    const receipt = await balancer.receipt(servers[0], signal)
    await balancer.remove(receipt, signal)
    expect(await here.haproxy.status('web', 'web1')).toBe('DRAIN')
    expect(await here.haproxy.status('api', 'web1')).toBe('DRAIN')
    await here.haproxy.command('set server api/web1 state ready')
    expect((await balancer.read(receipt, signal)).state).toBe('warming')
    await balancer.remove(receipt, signal)
    await balancer.restore(receipt, signal)
    await waitUntil('it serves', async () => (await balancer.read(receipt, signal)).state === 'serving')
  })

  it("keep an operator's maintenance in one backend while the other is restored", async () => {
    await here.haproxy.command('set server api/web1 state maint')
    const balancer = build(here.haproxy.socket, ['web', 'api'])
    const receipt = await balancer.receipt(servers[0], signal)
    await balancer.remove(receipt, signal)
    await balancer.restore(receipt, signal)
    expect(await here.haproxy.status('api', 'web1')).toBe('MAINT')
    await waitUntil('web is up', async () => (await here.haproxy.status('web', 'web1')) === 'UP')
  })

  it('that are unknown or ambiguous are named with what is there, all at once', async () => {
    const unknown = server('web9', { host: '10.9.9.9' })
    const ambiguous = server('other')
    const balancer = build(here.haproxy.socket, ['web', 'nope'], [unknown, ambiguous])
    const error = await balancer.preflight([unknown, ambiguous], signal).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(BalancerError)
    const { message } = error as BalancerError
    expect(message).toMatch(/web9 at lb1:.*no server called web9 and none at 10.9.9.9; there are: web1 .*, web2 /)
    expect(message).toMatch(/other at lb1:.*2 servers of backend "web" have the address 127.0.0.1/)
    expect(message).toMatch(/no backend "nope"/)
  })

  it('are found by the id that the server has there', async () => {
    const called = server('storefront-1', { id: 'web1' })
    const balancer = build(here.haproxy.socket, ['web'], [called])
    expect((await balancer.preflight([called], signal)).rotation).toEqual({ 'storefront-1': { state: 'serving' } })
  })

  it('are found by what `member` says, and only by that', async () => {
    const called = server('1')
    const with1 = (member: string) =>
      haproxy(
        'edge',
        haproxySettings({ hosts: [server('lb1', { port: sshd.port })], socket: here.haproxy.socket, member }),
        {
          connect: () => plainConnection(sshd),
          servers: [called],
          resolve,
        },
      )
    for (const member of ['webNAME', `127.0.0.1:${here.apps[0].port}`]) {
      const balancer = with1(member)
      closing.push(() => balancer.close?.())
      expect((await balancer.preflight([called], signal)).rotation).toEqual({ '1': { state: 'serving' } })
    }
    const wrong = with1('appNAME')
    closing.push(() => wrong.close?.())
    await expect(wrong.preflight([called], signal)).rejects.toThrow('no server called app1')
  })

  it('are never searched in a backend whose name would be a command', () => {
    expect(() => build(here.haproxy.socket, ['web; disable server web/web1'])).toThrow(BalancerError)
  })
})

describe('what drain alone does not end', () => {
  it('is ended by maintenance: a sticky server under load drains with no failed request', async () => {
    const here = await site({ options: ['stick-table type ip size 1k expire 1m', 'stick on src', 'option redispatch'] })
    const balancer = build(here.haproxy.socket)
    const stuckTo = await get(here.haproxy.port)
    const receipt = await balancer.receipt(server(stuckTo), signal)
    const answers: string[] = []
    let going = true
    const client = async () => {
      while (going) answers.push(await get(here.haproxy.port).catch(error => `failed: ${error}`))
    }
    const load = [client(), client(), client()]
    try {
      const result = await takeOut([{ balancer, receipt, settings: settings({ drainTimeout: 2 }) }], deps)
      expect(result).toMatchObject({ result: 'drained' })
      expect(await here.haproxy.status('web', stuckTo)).toBe('MAINT')
    } finally {
      going = false
      await Promise.all(load)
      await here.stop()
    }
    expect(answers.filter(a => a !== 'web1' && a !== 'web2')).toEqual([])
  })

  it('is cut only by force: a kept TCP connection', async () => {
    const here = await site({ mode: 'tcp' })
    const balancer = build(here.haproxy.socket)
    const agent: Agent = new HttpAgent({ keepAlive: true, maxSockets: 1 })
    const ask = () =>
      new Promise<string>((resolve, reject) => {
        request({ host: '127.0.0.1', port: here.haproxy.port, agent }, response => {
          let text = ''
          response.setEncoding('utf8').on('data', data => {
            text += data
          })
          response.once('end', () => resolve(text))
        })
          .once('error', reject)
          .end()
      })
    try {
      const kept = await ask()
      const receipt = await balancer.receipt(server(kept), signal)
      const place = (more: Partial<PlaceSettings>): Place => ({
        balancer,
        receipt,
        settings: settings({ drainTimeout: 3, ...more }),
      })
      expect(await takeOut([place({ onDrainTimeout: 'continue' })], deps)).toMatchObject({ left: { edge: 1 } })
      expect(await ask()).toBe(kept)
      expect(await takeOut([place({ onDrainTimeout: 'force' })], deps)).toEqual({
        result: 'drained',
        left: { edge: 0 },
        cut: { edge: 1 },
      })
    } finally {
      agent.destroy()
      await here.stop()
    }
  })
})

describe('the admin socket', () => {
  let here: Site
  beforeAll(async () => {
    here = await site()
  })
  afterAll(() => here?.stop())

  it('that is not there is an error that says where it was looked for', async () => {
    const error = await build('/run/no-such.sock')
      .preflight(servers, signal)
      .catch((e: unknown) => e)
    expect(error).toBeInstanceOf(BalancerError)
    expect((error as BalancerError).message).toContain('lb1:/run/no-such.sock')
    expect((error as BalancerError).hint).toContain('has to exist')
  })

  it('is spoken to over TCP just as well', async () => {
    const relay = await tcpRelay(here.haproxy.socket)
    const balancer = haproxy('edge', haproxySettings({ address: `tcp://127.0.0.1:${relay.port}` }), {
      connect: () => Promise.reject(new Error('no SSH is needed')),
      servers,
      resolve,
    })
    expect((await balancer.preflight(servers, signal)).rotation['web1']).toEqual({ state: 'serving' })
    relay.stop()
    await expect(balancer.preflight(servers, signal)).rejects.toThrow(BalancerError)
  })

  it('of one host is written also when another host is away', async () => {
    await here.reset()
    let away = false
    const hosts = ['lb1', 'lb2'].map(name => server(name, { port: sshd.port }))
    const balancer = haproxy('edge', haproxySettings({ hosts, socket: here.haproxy.socket }), {
      connect: host => (host.name === 'lb2' && away ? Promise.reject(new Error('lb2 is away')) : plainConnection(sshd)),
      servers,
      resolve,
    })
    const receipt = await balancer.receipt(servers[0], signal)
    balancer.close?.()
    away = true
    await expect(balancer.remove(receipt, signal)).rejects.toThrow('lb2 is away')
    expect(await here.haproxy.status('web', 'web1')).toBe('DRAIN')
    balancer.close?.()
  })
})

/** A TCP port that leads to a unix socket, as `stats socket ipv4@…` would be. */
async function tcpRelay(path: string): Promise<{ port: number; stop: () => void }> {
  const relay = createServer({ allowHalfOpen: true }, client => {
    const inner = connectTcp({ path, allowHalfOpen: true })
    client.pipe(inner).pipe(client)
    for (const socket of [client, inner]) socket.on('error', () => socket.destroy())
  })
  await new Promise<void>(resolve => relay.listen(0, '127.0.0.1', resolve))
  const address = relay.address()
  if (typeof address !== 'object' || address === null) throw new Error('no port was given')
  return { port: address.port, stop: () => relay.close() }
}
