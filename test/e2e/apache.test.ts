import { afterEach, describe, expect, it } from 'vitest'
import { type Apache, type ApacheOptions, startApache } from '../support/apache.ts'
import { startLoad } from '../support/load.ts'
import { naiveRestart } from '../support/naive-restart.ts'
import type { Site } from '../support/site.ts'
import { slowAnswers } from '../support/slow-answers.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const running: Apache[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map(apache => apache.stop()))
})

const startMs = 500

/** A site whose users come in through Apache. */
async function behindApache(
  settings: Readonly<Record<string, unknown>> = {},
  options: Omit<ApacheOptions, 'members'> = {},
): Promise<{ at: Site; apache: Apache; url: string }> {
  const at = await site({ servers: 2, startMs })
  const members = at.servers.map(s => ({ name: s.name, port: s.appPort }))
  const apache = await startApache({ ...options, members })
  running.push(apache)
  at.manifest({
    load_balancers: {
      edge: {
        provider: 'apache',
        roles: ['web'],
        hosts: [`127.0.0.1:${at.balancerHost.port}`],
        admin: `127.0.0.1:${apache.port}`,
        path: '/manager',
        balancer: 'app',
        ...settings,
      },
    },
  })
  at.change({ version: '2' })
  return { at, apache, url: `http://127.0.0.1:${apache.port}/` }
}

const statuses = (apache: Apache) => Promise.all(['web1', 'web2'].map(name => apache.status(name)))
const both = ['web1', 'web2']

describe('behind a real Apache, under keep-alive load', () => {
  it('fails no request; a naive restart does', { timeout: 600_000 }, async () => {
    const { at, apache, url } = await behindApache({}, { checked: true })
    const loads = await Promise.all([startLoad(url), startLoad(`${url}slow?ms=300`)])
    await Promise.all(loads.map(load => load.more(50)))
    const result = await at.deploy()
    await Promise.all(loads.map(load => load.more(50)))
    const [short, slow] = await Promise.all([loads[0].stop(), loads[1].stop()])

    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: both })
    for (const { failed, problems, served, byServer } of [short, slow]) {
      expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
      expect(served).toBeGreaterThan(100)
      expect(Object.keys(byServer).sort()).toEqual(both)
    }
    expect(await statuses(apache)).toEqual(['Init Ok', 'Init Ok'])
    console.info(`apache: ${short.served} + ${slow.served} answers in ${result.seconds.toFixed(1)} s, failed: 0`)

    const naive = await Promise.all([startLoad(url), startLoad(`${url}slow?ms=300`)])
    await Promise.all(naive.map(load => load.more(50)))
    naiveRestart(at, startMs)
    await Promise.all(naive.map(load => load.more(50)))
    const lost = await Promise.all(naive.map(load => load.stop()))
    expect(lost.reduce((sum, { failed }) => sum + failed, 0)).toBeGreaterThan(0)
  })

  it('moves clients that stick to a server at drain_timeout, and fails none of their requests', {
    timeout: 600_000,
  }, async () => {
    const { at, apache, url } = await behindApache({ drain_timeout: '3s' }, { sticky: true })
    const load = await startLoad(url, { cookies: true })
    await load.more(100)
    const result = await at.deploy()
    await load.more(100)
    const { failed, problems, byServer } = await load.stop()
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: both })
    expect(result.log).toMatch(/sessions stick by ROUTEID/)
    expect({ failed, problems }).toEqual({ failed: 0, problems: {} })
    expect(Object.keys(byServer).sort()).toEqual(both)
    expect(await statuses(apache)).toEqual(['Init Ok', 'Init Ok'])
  })

  it('waits for six-second answers', { timeout: 600_000 }, async () => {
    const { at, url } = await behindApache()
    const slow = await slowAnswers(at, url)
    const result = await at.deploy()
    const answers = await Promise.all(slow)
    expect(result.code, result.log).toBe(0)
    expect(answers.map(a => a.status)).toEqual(slow.map(() => 200))
    expect([...new Set(answers.map(a => a.server))].sort()).toEqual(both)
  })

  it('waits for them also when Apache is reloaded in the middle and counts them no more', {
    timeout: 600_000,
  }, async () => {
    const { at, apache, url } = await behindApache({ drain_timeout: '8s' })
    const slow = await slowAnswers(at, url)
    const run = at.start()
    await waitUntil('a server drains', async () => (await statuses(apache)).some(s => s.includes('Drn')))
    await apache.reload()
    const answers = await Promise.all(slow)
    const result = await run.ended
    expect(result.code, result.log).toBe(0)
    expect(answers.map(a => a.status)).toEqual(slow.map(() => 200))
    expect(await statuses(apache)).toEqual(['Init Ok', 'Init Ok'])
  })

  it('keeps a server an operator disabled, out, and deploys it', { timeout: 300_000 }, async () => {
    const { at, apache } = await behindApache()
    await apache.set('web2', { w_status_D: '1' })
    const result = await at.deploy({ servers: 'web2' })
    expect(result.code, result.log).toBe(0)
    expect(listed(result, 'kept-out')).toEqual(['web2'])
    expect(await statuses(apache)).toEqual(['Init Ok', 'Init Dis'])
    expect(at.current('web2')).toBe(result.outputs['release'])
  })
})
