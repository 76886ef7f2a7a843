import { execFileSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { startLoad, startLoads } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { balancerWith, type Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const names = ['web1', 'web2', 'web3', 'web4']

/** What people do without this action: restart one server after the other, and leave the balancer to find out. */
async function naiveRestart(at: Site): Promise<void> {
  for (const server of at.servers) {
    const { sshd, appPort, name } = server
    const env = {
      PATH: process.env['PATH'],
      HOME: sshd.home,
      NODE: process.execPath,
      PORT: String(appPort),
      START_MS: '1000',
    }
    execFileSync('./activate', {
      cwd: `${server.root}/current`,
      env: { ...env, DEPLOY_SERVER: name, DEPLOY_RELEASE: 'naive' },
    })
  }
}

describe('serial, behind a real HAProxy, under keep-alive load', () => {
  it('fails no request, takes each server out and back, never two at once; a naive restart loses some', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ startMs: 1000 })
    const before = at.current('web1')
    at.change({ version: '2' })
    const load = await startLoads(at.url)
    await load.more(500)
    const rotation = watchRotation(at)
    const result = await at.deploy()
    const seen = await rotation.stop()
    await load.more(500)
    const { short: requests, slow } = await load.stop()

    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: names })
    expect(result.outputs).toMatchObject({ result: 'success', strategy: 'serial', migrate: 'false' })
    for (const { failed, problems } of [requests, slow])
      expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
    expect(requests.served).toBeGreaterThan(1000)
    expect(Object.keys(slow.byServer).sort()).toEqual(names)
    expect(seen.left).toEqual({ web1: 1, web2: 1, web3: 1, web4: 1 })
    expect(seen.mostOut).toBe(1)
    for (const name of names) {
      expect(await at.rotation(name)).toBe('serving')
      expect(at.current(name)).toBe(result.outputs['release'])
    }
    // each server answered for the old release before it left and for the new one after it was back, and for none in between
    for (const name of names) {
      const own = requests.timeline.filter(a => a.server === name)
      const firstNew = own.findIndex(a => a.release === result.outputs['release'])
      expect(firstNew).toBeGreaterThan(0)
      expect(new Set(own.slice(0, firstNew).map(a => a.release))).toEqual(new Set([before]))
      expect(new Set(own.slice(firstNew).map(a => a.release))).toEqual(new Set([result.outputs['release']]))
      expect(own[firstNew]?.at).toBeGreaterThanOrEqual(seen.wentOut(name)?.after ?? Number.POSITIVE_INFINITY)
    }

    const naive = await startLoads(at.url)
    await naive.more(200)
    await naiveRestart(at)
    await naive.more(200)
    const lost = await naive.stop()
    expect(lost.short.failed + lost.slow.failed).toBeGreaterThan(0)
  })

  it('activates the same release again when it is deployed again', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    const release = at.current('web1')
    const pid = async () =>
      ((await (await fetch(`http://127.0.0.1:${at.server('web1').appPort}/stats`)).json()) as { pid: number }).pid
    const before = await pid()
    const result = await at.deploy()
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    expect(result.outputs['release']).toBe(release)
    expect(await pid()).not.toBe(before)
    expect(at.releases('web1')).toEqual([release])
  })

  it('keeps a server an operator took out, out', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 3 })
    await at.haproxy.command('set server app/web2 state maint')
    at.change({ version: '2' })
    const result = await at.deploy()
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2', 'web3'] })
    expect([listed(result, 'kept-out'), listed(result, 'left-out')]).toEqual([['web2'], []])
    expect(at.current('web2')).toBe(result.outputs['release'])
    expect([await at.rotation('web1'), await at.rotation('web2')]).toEqual(['serving', 'maint'])
  })

  it('deploys the only server of a balancer in place, and says so', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1 })
    at.change({ version: '2' })
    const rotation = watchRotation(at)
    const result = await at.deploy()
    expect(result.code, result.log).toBe(0)
    expect((await rotation.stop()).mostOut).toBe(0)
    expect(result.log).toMatch(/web1 is deployed in place/)
  })

  it('removes a server once more that came back by itself before the switch', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    // Long enough for a reload of HAProxy and a look at it, on the busiest machine.
    at.manifest(balancerWith(at, { wait_after_removing_servers: 15 }))
    at.change({ version: '2' })
    const load = await startLoad(at.url)
    const rotation = watchRotation(at)
    const running = at.start({ servers: 'web1' })
    await waitUntil('web1 is drained', () => running.stdout().includes('wait_after_removing_servers'), 120_000)
    expect(await at.rotation('web1')).toBe('drain')
    await at.haproxy.reload() // an operator reloads: HAProxy forgets what was set
    await waitUntil('web1 serves again', async () => (await at.haproxy.asSet('app'))['web1'] === 'ready')
    const result = await running.ended
    const seen = await rotation.stop()
    expect(result.code, result.log).toBe(0)
    expect(seen.left['web1']).toBe(2)
    expect(await at.rotation('web1')).toBe('serving')
    expect(at.current('web1')).toBe(result.outputs['release'])
    await load.stop()
  })
})
