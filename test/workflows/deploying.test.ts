/** The ready workflows that deploy and go back, run by act against real SSH servers. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runAct } from '../support/act.ts'
import { startLoad } from '../support/load.ts'
import { asShop, currents, rotations, seedShop } from '../support/shop-repository.ts'
import type { Site } from '../support/site.ts'
import { useSites } from '../support/use-site.ts'
import { because, withoutGoTools } from './go-tools.ts'

const site = useSites()
const limit = { timeout: 240_000 }
const all = <T>(at: Site, value: T): T[] => at.servers.map(() => value)
const shop = async (servers: number, keys = {}) => {
  const at = await site({ servers, seed: false })
  asShop(at, keys)
  return { at, before: await seedShop(at) }
}

describe.skipIf(withoutGoTools)(`push-to-production.yml${because}`, () => {
  const workflow = 'examples/workflows/push-to-production.yml'
  const event = { workflow, event: 'push', payload: { ref: 'refs/heads/main' } }

  it('builds, deploys one after the other without a failed request, and keeps the report', limit, async () => {
    const { at, before } = await shop(2)
    at.change({ version: '2' })
    const load = await startLoad(at.url)
    const run = await runAct(at, event)
    const requests = await load.stop()
    expect(run.code, run.log).toBe(0)
    expect(requests.problems).toEqual({})
    const release = run.outputs['deploy/deploy/release'] ?? ''
    expect(currents(at)).toEqual(all(at, release))
    expect(release).not.toBe(before)
    expect(readFileSync(join(at.server('web1').root, 'current/built'), 'utf8')).toBe('built\n')
    expect(run.outputs).toMatchObject({
      'deploy/deploy/result': 'success',
      'deploy/deploy/strategy': 'serial',
      'deploy/deploy/succeeded': '["web1","web2"]',
      'deploy/deploy/retry': '[]',
    })
    const [report = ''] = readdirSync(join(run.artifacts, 'deployment-report'))
    expect(JSON.parse(readFileSync(join(run.artifacts, 'deployment-report', report), 'utf8'))).toBeTypeOf('object')
    expect(run.jobs).toEqual({ deploy: 'success' })
    expect([await rotations(at), at.heldLocks()]).toEqual([all(at, 'serving'), []])
    // act gives a step a terminal; in GitHub there is none, and no line is ever drawn anew.
    expect(run.log.slice(run.log.indexOf('Run Main org/deploy-action'))).not.toMatch(/\u001b|\r/)
  })

  it('takes the stored strategy; after a failure it keeps the report and says how to go on', limit, async () => {
    const { at, before } = await shop(2)
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    const run = await runAct(at, { ...event, vars: { DEPLOY_STRATEGY: 'parallel' } })
    expect([run.code, run.jobs]).toEqual([1, { deploy: 'failure' }])
    expect(run.outputs).toMatchObject({
      'deploy/deploy/result': 'failure',
      'deploy/deploy/strategy': 'parallel',
      'deploy/deploy/retry': '["web2"]',
    })
    expect(run.log).toContain('To go on, run "Deploy by hand" with servers: ["web2"]')
    expect(readdirSync(run.artifacts)).toEqual(['deployment-report'])
    expect(currents(at)).toEqual([run.outputs['deploy/deploy/release'], before])
  })
})

describe.skipIf(withoutGoTools)(`dispatch.yml${because}`, () => {
  const dispatch = (at: Site, inputs: Readonly<Record<string, string>>) =>
    runAct(at, {
      workflow: 'examples/workflows/dispatch.yml',
      event: 'workflow_dispatch',
      inputs: { environment: 'production', ...inputs },
    })

  it(
    'plan shows what would be done and changes nothing; deploy does it, to the servers and in the way asked for',
    limit,
    async () => {
      const { at, before } = await shop(3)
      at.change({ version: '2' })
      const footprints = at.servers.map(s => at.footprint(s.name))
      const planned = await dispatch(at, { command: 'plan', strategy: 'parallel', 'max-parallelism': '2' })
      expect(planned.code, planned.log).toBe(0)
      expect(JSON.parse(planned.outputs['deploy/deploy/plan'] ?? '')).toMatchObject({
        strategy: { value: 'parallel' },
        maxParallelism: { value: 2 },
      })
      expect(at.servers.map(s => at.footprint(s.name))).toEqual(footprints)

      const run = await dispatch(at, { strategy: 'parallel', servers: '["web1","web3"]' })
      expect(run.code, run.log).toBe(0)
      const release = run.outputs['deploy/deploy/release'] ?? ''
      expect(currents(at)).toEqual([release, before, release])
      expect(run.outputs).toMatchObject({
        'deploy/deploy/strategy': 'parallel',
        'deploy/deploy/succeeded': '["web1","web3"]',
      })
    },
  )

  it('what is typed in is never run', limit, async () => {
    const { at, before } = await shop(1)
    const proof = join(at.temp, 'proof')
    const run = await dispatch(at, { servers: `$(touch ${proof})'; touch ${proof} #` })
    expect(run.code).toBe(1)
    expect(run.log).toMatch(/matches no server|no server/)
    expect([existsSync(proof), currents(at)]).toEqual([false, [before]])
  })
})

describe.skipIf(withoutGoTools)(`rollback.yml${because}`, () => {
  const rollback = (at: Site, inputs: Readonly<Record<string, string>>) =>
    runAct(at, {
      workflow: 'examples/workflows/rollback.yml',
      event: 'workflow_dispatch',
      inputs: { environment: 'production', ...inputs },
    })

  it('goes back to the release before, and to one that is named', limit, async () => {
    const { at, before } = await shop(2)
    at.change({ version: '2' })
    const second = await seedShop(at)
    const back = await rollback(at, {})
    expect(back.code, back.log).toBe(0)
    expect(currents(at)).toEqual(all(at, before))
    const forth = await rollback(at, { release: second, servers: 'web2' })
    expect(forth.code, forth.log).toBe(0)
    expect(currents(at)).toEqual([before, second])
    expect(await rotations(at)).toEqual(all(at, 'serving'))
  })
})

describe.skipIf(withoutGoTools)(`reusable.yml${because}`, () => {
  it('deploys by the ready workflow of this repository', limit, async () => {
    const { at, before } = await shop(2)
    at.change({ version: '2' })
    const run = await runAct(at, {
      workflow: 'examples/workflows/reusable.yml',
      event: 'push',
      payload: { ref: 'refs/heads/main' },
      vars: { DEPLOY_STRATEGY: 'parallel' },
    })
    expect(run.code, run.log).toBe(0)
    expect(currents(at)).not.toContain(before)
    expect(new Set(currents(at)).size).toBe(1)
    expect(existsSync(join(at.server('web1').root, 'current/built'))).toBe(true)
    expect(readdirSync(run.artifacts)).toEqual(['deployment-report-production'])
  })
  it('can be run by hand where it lies, with a number where one is asked for', limit, async () => {
    const { at, before } = await shop(2)
    at.change({ version: '2' })
    const run = await runAct(at, {
      workflow: '.github/workflows/deploy.yml',
      event: 'workflow_dispatch',
      inputs: {
        environment: 'production',
        command: 'plan',
        strategy: 'parallel',
        'max-parallelism': '2',
        servers: 'web2',
      },
    })
    expect(run.code, run.log).toBe(0)
    expect(JSON.parse(run.outputs['deploy/deploy/plan'] ?? '')).toMatchObject({
      strategy: { value: 'parallel' },
      maxParallelism: { value: 2 },
    })
    expect(currents(at)).toEqual([before, before])
  })
})
