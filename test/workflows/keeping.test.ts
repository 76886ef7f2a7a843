/** The ready workflows that look after servers, and the canary, run by act against real SSH servers. */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runAct } from '../support/act.ts'
import { leasesRunOut } from '../support/leases.ts'
import { isRunning } from '../support/processes.ts'
import { asShop, currents, rotations, seedShop } from '../support/shop-repository.ts'
import { balancerWith, type Site } from '../support/site.ts'
import { useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'
import { because, withoutGoTools } from './go-tools.ts'

const site = useSites()
const limit = { timeout: 900_000 }

describe.skipIf(withoutGoTools)(`status.yml and recover.yml${because}`, () => {
  const scheduled = (at: Site, name: string) =>
    runAct(at, { workflow: `examples/workflows/${name}.yml`, event: 'schedule', payload: { schedule: '*/15 * * * *' } })

  it(
    'status fails while a server is left out; recover puts it back once it is well; then both have nothing to say',
    limit,
    async () => {
      const at = await site({ servers: 2, seed: false })
      asShop(at)
      await seedShop(at)
      at.change({ version: '2' })
      const refuses = join(at.server('web2').sshd.home, 'refuse')
      writeFileSync(refuses, '')
      const failed = await at.deploy({ environment: 'production' })
      expect([failed.code, failed.outputs['left-out']]).toEqual([1, '["web2"]'])

      const status = await scheduled(at, 'status')
      expect([status.code, status.jobs]).toEqual([1, { status: 'failure' }])
      expect(status.log).toContain('Servers are left out of rotation')
      expect(status.outputs['status/status/result']).toBe('success')
      expect(await at.rotation('web2')).not.toBe('serving')

      rmSync(refuses)
      const mended = await scheduled(at, 'recover')
      expect(mended.code, mended.log).toBe(0)
      expect(await rotations(at)).toEqual(['serving', 'serving'])

      const footprints = at.servers.map(s => at.footprint(s.name))
      const fine = await scheduled(at, 'status')
      expect(fine.code, fine.log).toBe(0)
      expect(at.servers.map(s => at.footprint(s.name))).toEqual(footprints)
      const idle = await scheduled(at, 'recover')
      expect(idle.code, idle.log).toBe(0)
      expect([await rotations(at), at.heldLocks()]).toEqual([['serving', 'serving'], []])
    },
  )
})

describe.skipIf(withoutGoTools)(`status.yml alone${because}`, () => {
  it(
    'fails while a server is out of rotation by a run that was lost, not by one that is under way',
    limit,
    async () => {
      const at = await site({ servers: 2, seed: false })
      asShop(at, balancerWith(at, { wait_after_removing_servers: 600 }))
      await seedShop(at)
      at.change({ version: '2' })
      const lost = at.start({ environment: 'production' }, { post: false })
      await waitUntil('web1 is drained', () => lost.stdout().includes('drained'), 120_000)
      const look = () =>
        runAct(at, {
          workflow: 'examples/workflows/status.yml',
          event: 'schedule',
          payload: { schedule: '30 6 * * 1-5' },
        })
      const underWay = await look()
      expect(underWay.code, underWay.log).toBe(0)
      lost.kill('SIGKILL')
      await lost.ended
      await leasesRunOut(at)
      const status = await look()
      expect([status.code, status.jobs], status.log).toEqual([1, { status: 'failure' }])
      expect(status.log).toContain('Servers are left out of rotation, or undecided')
    },
  )
})

describe.skipIf(withoutGoTools)(`canary.yml${because}`, () => {
  const canary = async () => {
    const at = await site({ servers: 3, seed: false, roles: { web1: ['canary'] } })
    asShop(at)
    const before = await seedShop(at)
    at.change({ version: '2' })
    const push = (env: Readonly<Record<string, string>> = {}) =>
      runAct(at, { workflow: 'examples/workflows/canary.yml', event: 'push', payload: { ref: 'refs/heads/main' }, env })
    return { at, before, push }
  }

  it('deploys the canary, then all others, the same release', limit, async () => {
    const { at, push } = await canary()
    const run = await push()
    expect(run.code, run.log).toBe(0)
    expect(run.jobs).toEqual({ canary: 'success', rest: 'success' })
    expect(currents(at)).toEqual(Array(3).fill(run.outputs['rest/deploy/release']))
    expect(run.outputs['rest/deploy/succeeded']).toBe('["web2","web3"]')
    expect(run.log.indexOf('[canary] 🏁')).toBeLessThan(run.log.indexOf('[rest] '))
  })

  it('takes the canary back when the others are not deployed after it', limit, async () => {
    const { at, before, push } = await canary()
    // act knows no approval; the second job ends before it deploys, as it does when a reviewer refuses.
    at.manifest({
      environments: { production: {} },
      finalize: { run: `touch ${join(at.temp, 'refused')}` },
    })
    const run = await push({ BUILD_FAILS_WITH: join(at.temp, 'refused') })
    expect(existsSync(join(at.temp, 'refused'))).toBe(true)
    expect([run.code, run.jobs], run.log).toEqual([1, { canary: 'success', rest: 'failure', back: 'success' }])
    expect(currents(at)).toEqual([before, before, before])
    expect(await rotations(at)).toEqual(['serving', 'serving', 'serving'])
  })

  it('takes the canary back when the others fail before anything of them is changed', limit, async () => {
    const { at, before, push } = await canary()
    const { pid } = at.server('web2').sshd
    process.kill(pid)
    await waitUntil('nobody listens there', () => !isRunning(pid))
    const run = await push()
    expect([run.code, run.jobs], run.log).toEqual([1, { canary: 'success', rest: 'failure', back: 'success' }])
    expect(run.outputs['rest/deploy/retry']).toBe('["web2","web3"]')
    expect(currents(at)).toEqual([before, before, before])
  })

  it('leaves the canary where another server has the release, too', limit, async () => {
    const { at, before, push } = await canary()
    at.change({ version: '2', behaviour: 'web3:activate-fails' })
    const run = await push()
    expect([run.code, run.jobs], run.log).toEqual([1, { canary: 'success', rest: 'failure' }])
    const [one, two] = currents(at)
    expect([run.outputs['rest/deploy/succeeded'], two === before]).toEqual(['["web2"]', false])
    expect(one).toBe(two)
  })
})
