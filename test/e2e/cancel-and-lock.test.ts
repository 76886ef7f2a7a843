import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { processesWith } from '../support/processes.ts'
import { balancerWith } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()

describe('cancel', () => {
  it('puts a drained server that was not changed back, starts nothing more and leaves no lock', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 3 })
    const before = at.current('web1')
    at.manifest(balancerWith(at, { wait_after_removing_servers: 600 }))
    at.change({ version: '2' })
    const running = at.start()
    await waitUntil('web1 is out', async () => (await at.rotation('web1')) === 'drain')
    const result = await running.cancel()
    expect([result.signal, result.code]).toEqual([null, 1]) // it ended by itself, before the runner killed it
    expect(result.outputs['result']).toBe('cancelled')
    expect(outcome(result)).toEqual({ pending: ['web1', 'web2', 'web3'] })
    await waitUntil('web1 serves', async () => (await at.rotation('web1')) === 'serving')
    expect([at.current('web1'), at.heldLocks()]).toEqual([before, []])
    expect(result.summary).toMatch(/cancel/i)
  })

  it('ends a step that runs, with all its processes', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    // only the first time: post brings the server back to the release before, with the same step
    const hangs = 'export MARK="$DEPLOY_RELEASE"; sleep 1000 & touch "$HOME/running"; sleep 1000'
    at.manifest({ activate: `if mkdir "$HOME/once" 2>/dev/null; then ${hangs}; else ./activate; fi` })
    at.change({ version: '2' })
    const running = at.start()
    const home = at.server('web1').sshd.home
    await waitUntil('the step runs', () => existsSync(join(home, 'running')))
    const result = await running.cancel()
    expect(result.outputs['result']).toBe('cancelled')
    expect(listed(result, 'succeeded')).toEqual([])
    await waitUntil('its processes are gone', () => processesWith('MARK', result.outputs['release'] ?? '').length === 0)
    expect(at.heldLocks()).toEqual([])
  })
})

describe('the lock', () => {
  it('keeps a second deployment out, which changes nothing and names the first', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    const gate = join(at.temp, 'gate')
    at.manifest({ activate: `touch ${gate}.reached; until [ -e ${gate} ]; do sleep 0.1; done; ./activate` })
    at.change({ version: '2' })
    const first = at.start()
    await waitUntil('the first deployment is under way', () => existsSync(`${gate}.reached`))
    const second = await at.deploy({}, { env: { GITHUB_RUN_ID: '4712' } })
    expect(second.code).toBe(1)
    expect(second.log).toMatch(/actions\/runs\/4711/)
    expect(listed(second, 'succeeded')).toEqual([])
    expect(at.heldLocks().length).toBeGreaterThan(0)
    writeFileSync(gate, '')
    const result = await first.ended
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
    expect(at.heldLocks()).toEqual([])
  })
})

describe('a lease that is lost', () => {
  it('ends what is done on that server: failed, not switched back, the others untouched', {
    timeout: 400_000,
  }, async () => {
    const at = await site({ servers: 2 })
    const before = at.current('web2')
    const gate = join(at.temp, 'gate')
    at.manifest({ activate: `touch ${gate}.reached; until [ -e ${gate} ]; do sleep 0.1; done; ./activate` })
    at.change({ version: '2' })
    const running = at.start({}, { post: false })
    await waitUntil('web1 is activating', () => existsSync(`${gate}.reached`))
    // somebody else took the lock over: the entry has another name, with a higher number
    const lock = join(at.server('web1').root, '.deploy-action/lock')
    const next = await waitUntil('the lock is taken over', () => {
      const held = readdirSync(lock).find(name => name.startsWith('held.')) ?? ''
      const free = `free.${Number(held.split('.')[1]) + 1}`
      try {
        renameSync(join(lock, held), join(lock, free))
        return free
      } catch {
        return null // it was renewed in between
      }
    })
    await waitUntil('the loss is noticed', () => running.stdout().includes('the lock on web1 is lost'))
    writeFileSync(gate, '')
    const result = await running.ended
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ failed: ['web1'], pending: ['web2'] })
    expect(at.current('web2')).toBe(before)
    expect(readdirSync(lock)).toEqual([next]) // what another one holds is left alone
  })
})

describe('the post step', () => {
  it('connects to nothing after a deployment that ended by itself', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2, seed: false })
    const connections = () => at.servers.map(s => s.sshd.log().split('Connection from').length - 1)
    const result = await at.deploy({ strategy: 'parallel' })
    expect([result.code, result.post?.code], result.log).toEqual([0, 0])
    expect(connections()).toEqual([1, 1]) // one connection per server for the whole run, and none after it
  })
})

describe('lock_wait', () => {
  it('waits for the deployment that holds the lock, says so, and then goes on', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    const gate = join(at.temp, 'gate')
    at.manifest({
      rollout: { lock_wait: '10m' },
      activate: `touch ${gate}.reached; until [ -e ${gate} ]; do sleep 0.1; done; ./activate`,
    })
    at.change({ version: '2' })
    const first = at.start()
    await waitUntil('the first deployment is under way', () => existsSync(`${gate}.reached`))
    const second = at.start({}, { env: { GITHUB_RUN_ID: '4712' } })
    const says = /waiting for the lock.*actions\/runs\/4711/
    await waitUntil('the second one waits, and says for whom', () => says.test(second.stdout()))
    writeFileSync(gate, '')
    expect((await first.ended).code).toBe(0)
    const result = await second.ended
    expect(result.code, result.log).toBe(0)
    expect(result.log).toMatch(/the lock is free after \d+ s: it goes on/)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
  })
})
