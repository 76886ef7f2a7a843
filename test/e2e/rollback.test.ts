import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startLoad } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { balancerWith, type Site } from '../support/site.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const limit = { timeout: 300_000 }
const names = (n: number) => Array.from({ length: n }, (_, i) => `web${i + 1}`)

const answers = (at: Site) =>
  Promise.all(at.servers.map(async s => (await fetch(`http://127.0.0.1:${s.appPort}/`)).headers.get('x-release')))
const rotations = (at: Site) => Promise.all(at.servers.map(s => at.rotation(s.name)))
const all = <T>(at: Site, value: T): T[] => at.servers.map(() => value)

describe('on_failure: rollback', () => {
  it('takes every switched server back, newest first, without a failed request', limit, async () => {
    const at = await site({ servers: 4 })
    const before = at.current('web1')
    at.manifest({ rollout: { on_failure: 'rollback' } })
    at.change({ version: '2', behaviour: 'web3:activate-fails' })
    const [load, rotation] = [await startLoad(at.url), watchRotation(at)]
    const result = await at.deploy()
    const requests = await load.stop()
    expect(result.code).toBe(1)
    expect(outcome(result)).toEqual({ 'rolled-back': ['web1', 'web2', 'web3'], pending: ['web4'] })
    expect([listed(result, 'left-out'), listed(result, 'retry')]).toEqual([[], names(4)])
    expect(await answers(at)).toEqual(all(at, before))
    expect(await rotations(at)).toEqual(all(at, 'serving'))
    expect(at.servers.map(s => at.current(s.name))).toEqual(all(at, before))
    expect([requests.problems, (await rotation.stop()).mostOut]).toEqual([{}, 1])
    const [two, one] = ['web2', 'web1'].map(name => result.log.lastIndexOf(`${name} `))
    expect(two).toBeLessThan(one ?? 0)
    expect(result.summary).toMatch(/went back with the deployment, which failed on web3/)
    expect(at.heldLocks()).toEqual([])
  })

  it('goes back in place under parallel, and writes to no balancer', limit, async () => {
    const at = await site({ servers: 3 })
    const before = at.current('web1')
    at.manifest({ rollout: { on_failure: 'rollback', max_parallelism: 1 } })
    at.change({ version: '2', behaviour: 'web3:activate-fails' })
    const rotation = watchRotation(at)
    const result = await at.deploy({ strategy: 'parallel' })
    expect(outcome(result)).toEqual({ 'rolled-back': names(3) })
    expect([await answers(at), (await rotation.stop()).mostOut]).toEqual([all(at, before), 0])
  })

  it('starts none when the balancer itself failed', limit, async () => {
    const at = await site({ servers: 3 })
    const gate = join(at.temp, 'gate')
    at.manifest({
      ...balancerWith(at, { add_timeout: 15 }),
      rollout: { on_failure: 'rollback' },
      activate: [
        './activate',
        { run: `touch ${gate}.reached; until [ -e ${gate} ]; do sleep 0.1; done`, roles: ['web2'], timeout: '60s' },
      ],
    })
    at.change({ version: '2' })
    const running = at.start()
    await waitUntil('web2 is activated', () => existsSync(`${gate}.reached`), 120_000)
    await at.balancerHost.stop()
    writeFileSync(gate, '')
    const result = await running.ended
    expect(outcome(result)).toEqual({ succeeded: ['web1'], failed: ['web2'], pending: ['web3'] })
    expect([at.current('web1'), at.current('web2')]).toEqual(all(at, result.outputs['release']).slice(1))
  })

  it('a server whose way back fails is left out, and the others go on', limit, async () => {
    const at = await site({ servers: 4 })
    const before = at.current('web1')
    const broken = join(at.server('web2').sshd.home, 'old-refused')
    at.manifest({
      rollout: { on_failure: 'rollback' },
      activate: `if [ -f "$HOME/old-refused" ] && [ "$DEPLOY_RELEASE" = ${before} ]; then exit 8; fi; ./activate`,
    })
    writeFileSync(broken, '')
    at.change({ version: '2', behaviour: 'web3:activate-fails' })
    const result = await at.deploy()
    expect(outcome(result)).toEqual({ failed: ['web2'], 'rolled-back': ['web1', 'web3'], pending: ['web4'] })
    expect(listed(result, 'left-out')).toEqual(['web2'])
    expect(result.summary).toMatch(/going back to .*exit code 8/)
    rmSync(broken)
  })

  it('killed on the way back, one `recover` leaves every server on a whole release, in rotation', limit, async () => {
    const at = await site({ servers: 3 })
    const gate = join(at.temp, 'gate')
    const before = at.current('web1')
    at.manifest({
      rollout: { on_failure: 'rollback' },
      activate: `if [ "$DEPLOY_SERVER" = web1 ] && [ "$DEPLOY_RELEASE" = ${before} ]; then touch ${gate}; [ -e ${gate}.open ] || sleep 60; fi; ./activate`,
    })
    at.change({ version: '2', behaviour: 'web3:activate-fails' })
    const running = at.start({}, { post: false })
    await waitUntil('web1 goes back', () => existsSync(gate), 120_000)
    running.kill('SIGKILL')
    const killed = await running.ended
    writeFileSync(`${gate}.open`, '')
    const post = await at.startPost(killed).ended
    expect(post.code, post.log).toBe(0)
    expect(await rotations(at)).toEqual(all(at, 'serving'))
    expect(await answers(at)).toEqual(all(at, before))
    expect(at.heldLocks()).toEqual([])
  })
})

describe('the command rollback', () => {
  async function three(more: Record<string, unknown> = {}, servers = 3) {
    const at = await site({ servers })
    at.manifest({ migrate: 'echo "$DEPLOY_RELEASE" >>"$HOME/migrations"', ...more })
    at.change({ version: '2' })
    const second = await at.deploy({ migrate: 'false' })
    at.change({ version: '3' })
    const third = await at.deploy({ migrate: 'false' })
    expect([second.code, third.code], third.log).toEqual([0, 0])
    return { at, second: second.outputs['release'] ?? '', third: third.outputs['release'] ?? '' }
  }

  it(
    'goes back to the release before, in serial without a failed request, migrates and prepares nothing',
    limit,
    async () => {
      const { at, second, third } = await three({
        prepare: 'echo x >>"$HOME/prepared"',
        finalize: 'echo "$DEPLOY_RELEASE" >>"$HOME/finalized"',
      })
      const load = await startLoad(at.url)
      const result = await at.deploy({ command: 'rollback' })
      const requests = await load.stop()
      expect(result.code, result.log).toBe(0)
      expect(outcome(result)).toEqual({ succeeded: names(3) })
      expect([result.outputs['release'], result.outputs['migrate']]).toEqual([second, 'false'])
      expect([await answers(at), requests.problems]).toEqual([all(at, second), {}])
      for (const { sshd } of at.servers) {
        const lines = (file: string) => readFileSync(join(sshd.home, file), 'utf8').trim().split('\n')
        expect(existsSync(join(sshd.home, 'migrations'))).toBe(false)
        expect(lines('prepared').length).toBe(2)
        expect(lines('finalized')).toEqual([second, third, second])
      }
      expect(result.log).toMatch(/undoes no migration/)
      expect(result.summary).toMatch(/Going back to/)
      const status = await at.deploy({ command: 'status' })
      expect(status.outputs['status']).toContain(second)
    },
  )

  it('goes back from a deployment that failed, and the server it left out serves again', limit, async () => {
    const at = await site({ servers: 3 })
    const before = at.current('web1')
    at.change({ version: '2', behaviour: 'web1:activate-fails' })
    expect(listed(await at.deploy(), 'left-out')).toEqual(['web1'])
    const result = await at.deploy({ command: 'rollback' })
    expect(result.code, result.log).toBe(0)
    expect([await answers(at), await rotations(at)]).toEqual([all(at, before), all(at, 'serving')])
    expect(listed(result, 'left-out')).toEqual([])
  })

  it('is refused with what each server has, and changes nothing, where the release is missing', limit, async () => {
    const { at, second, third } = await three({}, 2)
    execFileSync('rm', ['-rf', join(at.server('web2').root, 'releases', second)])
    const rotation = watchRotation(at)
    for (const inputs of [{ command: 'rollback' }, { command: 'rollback', release: second }]) {
      const result = await at.deploy(inputs)
      expect(result.code).toBe(1)
      expect(result.log).toMatch(new RegExp(`${second} is not there, or was never prepared wholly, on web2`))
      expect(result.log).toMatch(new RegExp(`web2: runs ${third}`))
      expect(outcome(result)).toEqual({ pending: ['web1', 'web2'] })
    }
    expect([(await rotation.stop()).mostOut, at.current('web1'), at.heldLocks()]).toEqual([0, third, []])
    const wrong = await at.deploy({ command: 'rollback', release: '../../etc' })
    expect([wrong.code, wrong.log]).toEqual([1, expect.stringMatching(/is not the name of a release/)])
  })
})
