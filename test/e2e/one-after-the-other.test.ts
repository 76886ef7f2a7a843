import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { leasesRunOut } from '../support/leases.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import type { Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const names = ['web1', 'web2', 'web3']

describe('one deployment after another', () => {
  it('leaves a server out that an operator took out, also when an earlier deployment had left it out', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 3 })
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    expect(listed(await at.deploy(), 'left-out')).toEqual(['web2'])
    at.change({ version: '3' })
    expect(outcome(await at.deploy())).toEqual({ succeeded: names })
    expect(await at.rotation('web2')).toBe('serving')
    await at.haproxy.command('set server app/web2 state maint')
    at.change({ version: '4' })
    expect(listed(await at.deploy(), 'kept-out')).toEqual(['web2'])
    expect(await at.rotation('web2')).toBe('maint')
  })

  it('goes on with `retry` after a migration has run, and stays serial', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 3 })
    at.manifest({ migrate: 'echo once >>"$HOME/migrations"' })
    at.change({ version: '2', behaviour: 'web3:activate-fails' })
    const first = await at.deploy()
    const second = await at.deploy({ servers: first.outputs['retry'] ?? '', strategy: 'parallel' })
    expect(second.log).not.toMatch(/has to run on/)
    expect(second.outputs['strategy']).toBe('serial')
  })

  it('keeps two serial deployments of disjoint servers of one environment from taking two out at once', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 4 })
    at.change({ version: '2' })
    const rotation = watchRotation(at)
    await Promise.all([at.deploy({ servers: 'web1,web2' }), at.deploy({ servers: 'web3,web4' })])
    expect((await rotation.stop()).mostOut).toBe(1)
  })

  it('goes back to the previous release with the commit that one was made of', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2, seed: false })
    at.manifest({
      prepare: 'echo "$DEPLOY_SHA" >.sha',
      verify: [{ command: 'test "$(cat .sha)" = "$DEPLOY_SHA"', timeout: '3s' }],
    })
    expect((await at.deploy({ strategy: 'parallel' })).code).toBe(0)
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    expect(outcome(await at.deploy({ strategy: 'parallel' }))).toMatchObject({ 'rolled-back': ['web2'] })
  })

  it('tells of a server that is still left out when it is deployed in parallel', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    await at.deploy()
    at.change({ version: '3' })
    const result = await at.deploy({ strategy: 'parallel' })
    expect(listed(result, 'left-out')).toEqual(['web2'])
    expect(result.log).toMatch(/left out of rotation by an earlier deployment/)
  })
})

describe('after a run that was killed', () => {
  /** Kills the runner's process when web2 is out, as a machine that is lost. */
  async function killed(at: Site, post: boolean) {
    at.change({ version: '2' })
    const run = at.start({}, { post })
    await waitUntil('web2 is out', async () => (await at.haproxy.asSet('app'))['web2'] !== 'ready', 120_000)
    run.kill('SIGKILL')
    return run.ended
  }
  const rotations = (at: Site) => Promise.all(names.map(name => at.rotation(name)))

  it('post brings every server back into rotation on a verified release, and gives the locks back', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 3 })
    const result = await killed(at, true)
    expect(result.post?.code, result.post?.log).toBe(0)
    expect(await rotations(at)).toEqual(['serving', 'serving', 'serving'])
    expect(at.heldLocks()).toEqual([])
  })

  it('recover does that, once the lease is over, and names the holder before', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 3 })
    await killed(at, false)
    const early = await at.deploy({ command: 'recover' })
    expect(early.code).toBe(1)
    expect(early.log).toMatch(/another deployment holds the lock.*actions\/runs/)
    await leasesRunOut(at)
    const late = await at.deploy({ command: 'recover' })
    expect(late.code, late.log).toBe(0)
    expect(await rotations(at)).toEqual(['serving', 'serving', 'serving'])
    expect(at.heldLocks()).toEqual([])
    const again = await at.deploy({ command: 'recover' })
    expect(outcome(again)).toEqual({ skipped: names })
  })

  it('so does the next deployment, before anything of its own', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 3 })
    await killed(at, false)
    await leasesRunOut(at)
    const next = await at.deploy()
    expect(outcome(next)).toEqual({ skipped: ['web1'], succeeded: ['web2', 'web3'] })
    expect(next.log).toMatch(/was cut off here/)
    expect(await rotations(at)).toEqual(['serving', 'serving', 'serving'])
  })
})

describe('an unfinished deployment, started again', () => {
  it('skips the servers it was done with, and ends with success', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 3 })
    at.manifest({ activate: 'echo x >>"$HOME/activations"; test ! -e "$HOME/broken" || exit 1; ./activate' })
    at.change({ version: '2' })
    const home = at.server('web3').sshd.home
    writeFileSync(join(home, 'broken'), '')
    expect(outcome(await at.deploy())).toEqual({ succeeded: ['web1', 'web2'], failed: ['web3'] })
    rmSync(join(home, 'broken'))
    expect(outcome(await at.deploy())).toEqual({ skipped: ['web1', 'web2'], succeeded: ['web3'] })
    expect(await at.rotation('web3')).toBe('serving')
    expect(outcome(await at.deploy())).toEqual({ succeeded: names })
  })
})

describe('a run that is cancelled while it starts', () => {
  it('does not come back as a deployment in its post step', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1 })
    const before = at.current('web1')
    at.change({ version: '2' })
    // As soon as a line of the bundle has run, long before there is anything to cancel.
    const known = readdirSync(at.temp)
    const saved = (step: string) => {
      const file = join(at.temp, step, 'state')
      return existsSync(file) && readFileSync(file, 'utf8').includes('isPost')
    }
    const started = () => readdirSync(at.temp).some(step => !known.includes(step) && saved(step))
    const run = at.start()
    await waitUntil('the bundle runs', started, 120_000)
    const result = await run.cancel()
    expect(result.outputs['result'] ?? 'cancelled').toBe('cancelled')
    expect(result.post?.code).toBe(0)
    expect(at.current('web1')).toBe(before)
  })
})
