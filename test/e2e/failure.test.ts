import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startLoad } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { balancerWith, type Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const limit = { timeout: 300_000 }
/** The usual checks, giving up sooner: no sooner than an application comes up on a busy machine. */
const impatient = (at: Site) =>
  at.servers.map(s => ({ roles: [s.name], http: { port: s.appPort, path: '/' }, interval: '100ms', timeout: '10s' }))

describe('the failure table, serial', () => {
  it('preparing: the partial release is removed, the server serves the old one', limit, async () => {
    const at = await site({ servers: 3 })
    const before = at.current('web2')
    at.manifest({ prepare: 'test "$DEPLOY_SERVER" != web2' })
    at.change({ version: '2' })
    const rotation = watchRotation(at)
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ failed: ['web2'], pending: ['web1', 'web3'] })
    expect([at.current('web1'), at.current('web2'), at.releases('web2')]).toEqual([before, before, [before]])
    expect((await rotation.stop()).mostOut).toBe(0)
  })

  it('remove refused: restored, still serving, nothing switched', limit, async () => {
    const at = await site({ servers: 2, level: 'operator' })
    const before = at.current('web1')
    at.change({ version: '2' })
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ failed: ['web1'], pending: ['web2'] })
    expect([at.current('web1'), await at.rotation('web1')]).toEqual([before, 'serving'])
    expect(result.log).toMatch(/permission/i)
  })

  it('drain_timeout with on_drain_timeout: fail: restored, and the request in flight is answered', limit, async () => {
    const at = await site({ servers: 2 })
    const before = at.current('web1')
    at.manifest(balancerWith(at, { drain_timeout: 1, on_drain_timeout: 'fail' }))
    at.change({ version: '2' })
    const letGo = join(at.temp, 'let-go')
    const held = await startLoad(`${at.url}held?until=${letGo}`, { clients: 4, timeoutMs: 100_000 })
    const busy = async () => {
      const rows = await at.haproxy.stats()
      return rows.filter(r => r['svname']?.startsWith('web') && Number(r['scur']) > 0).length === 2
    }
    await waitUntil('both servers are busy', busy)
    const result = await at.deploy()
    writeFileSync(letGo, '')
    await held.more(4)
    const requests = await held.stop()
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ failed: ['web1'], pending: ['web2'] })
    expect([at.current('web1'), await at.rotation('web1'), requests.problems]).toEqual([before, 'serving', {}])
  })

  it('activating: left as it is and out of rotation, loudly; the next deployment takes it back', limit, async () => {
    const at = await site({ servers: 3 })
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    const load = await startLoad(at.url)
    const result = await at.deploy()
    await load.more(50)
    const requests = await load.stop()
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ succeeded: ['web1'], failed: ['web2'], pending: ['web3'] })
    expect([listed(result, 'left-out'), listed(result, 'retry')]).toEqual([['web2'], ['web2', 'web3']])
    expect(requests.problems).toEqual({})
    expect(['drain', 'maint']).toContain(await at.rotation('web2'))
    expect(await at.rotation('web3')).toBe('serving')
    expect(result.log).toContain('this release refuses to start')
    const errors = result.commands.filter(c => c.name === 'error').map(c => `${c.properties} ${c.data}`)
    expect(errors.join('\n')).toMatch(/web2/)
    expect(result.summary.slice(0, 2000)).toMatch(/web2/)

    at.change({ version: '3' })
    const next = await at.deploy()
    expect(next.code, next.log).toBe(0)
    expect(outcome(next)).toEqual({ succeeded: ['web1', 'web2', 'web3'] })
    expect([listed(next, 'left-out'), listed(next, 'kept-out')]).toEqual([[], []])
    expect(await at.rotation('web2')).toBe('serving')
  })

  it('verifying: left out, with what the check last saw', limit, async () => {
    const at = await site({ servers: 2 })
    at.manifest({ verify: impatient(at) })
    at.change({ version: '2', behaviour: 'web1:all-fails' })
    const result = await at.deploy()
    expect(outcome(result)).toEqual({ failed: ['web1'], pending: ['web2'] })
    expect(listed(result, 'left-out')).toEqual(['web1'])
    expect(result.summary).toMatch(/500/)
    expect(['drain', 'maint']).toContain(await at.rotation('web1'))
  })

  it('adding, found unhealthy at add_timeout: removed again, left out', limit, async () => {
    const at = await site({ servers: 2 })
    at.manifest(balancerWith(at, { add_timeout: 2 }))
    at.change({ version: '2', behaviour: 'web1:up-fails' })
    const result = await at.deploy()
    expect(outcome(result)).toEqual({ failed: ['web1'], pending: ['web2'] })
    expect(listed(result, 'left-out')).toEqual(['web1'])
    expect(['drain', 'maint']).toContain(await at.rotation('web1'))
  })

  it('adding, the balancer gone: failed, never rolled back, and said to be unknown', limit, async () => {
    const at = await site({ servers: 2 })
    const gate = join(at.temp, 'gate')
    at.manifest({
      ...balancerWith(at, { add_timeout: 2 }),
      activate: { run: `./activate; touch ${gate}.reached; until [ -e ${gate} ]; do sleep 0.1; done`, timeout: '60s' },
    })
    at.change({ version: '2' })
    const running = at.start()
    await waitUntil('web1 is activated', () => existsSync(`${gate}.reached`))
    await at.balancerHost.stop()
    writeFileSync(gate, '')
    const result = await running.ended
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ failed: ['web1'], pending: ['web2'] })
    expect(at.current('web1')).toBe(result.outputs['release'])
    expect(result.summary).toMatch(/unknown|not known/i)
  })

  it('without a previous release there is nothing to go back to: said so', limit, async () => {
    const at = await site({ servers: 2, seed: false })
    at.change({ behaviour: 'web1:activate-fails' })
    const result = await at.deploy({ strategy: 'parallel' })
    expect(result.code).toBe(1)
    expect(listed(result, 'failed')).toContain('web1')
    expect(result.log).toMatch(/no previous release/i)
  })
})

describe('the failure table, parallel', () => {
  it('activating: back in place at once to the previous release, in rotation all the while', limit, async () => {
    const at = await site({ servers: 3 })
    const before = at.current('web2')
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    const rotation = watchRotation(at)
    const result = await at.deploy({ strategy: 'parallel' })
    expect(result.code).toBe(1)
    expect(outcome(result)['rolled-back']).toEqual(['web2'])
    expect(at.current('web2')).toBe(before)
    expect((await rotation.stop()).mostOut).toBe(0)
    const answer = await fetch(`http://127.0.0.1:${at.server('web2').appPort}/`)
    expect([answer.status, answer.headers.get('x-release')]).toEqual([200, before])
    expect(listed(result, 'left-out')).toEqual([])
  })

  it('verifying: the same', limit, async () => {
    const at = await site({ servers: 2 })
    const before = at.current('web1')
    at.manifest({ verify: impatient(at) })
    at.change({ version: '2', behaviour: 'web1:all-fails' })
    const result = await at.deploy({ strategy: 'parallel' })
    expect(outcome(result)['rolled-back']).toEqual(['web1'])
    expect(at.current('web1')).toBe(before)
  })

  it('the way back fails too: failed, and said to be serving a failed release', limit, async () => {
    const at = await site({ servers: 2 })
    at.change({ version: '2' })
    writeFileSync(join(at.server('web1').sshd.home, 'refuse'), '')
    const result = await at.deploy({ strategy: 'parallel' })
    expect(result.code).toBe(1)
    expect(listed(result, 'failed')).toEqual(['web1'])
    expect(`${result.log}\n${result.summary}`).toMatch(/still serving a failed release/i)
    rmSync(join(at.server('web1').sshd.home, 'refuse'))
  })
})
