/** The ready workflows that deploy and go back, run by act against real SSH servers. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type ActOptions, runAct } from '../support/act.ts'
import { type FakeGitHub, startGitHub } from '../support/github/server.ts'
import { startLoad } from '../support/load.ts'
import { asShop, currents, rotations, seedShop } from '../support/shop-repository.ts'
import type { Site } from '../support/site.ts'
import { useSites } from '../support/use-site.ts'
import { because, withoutGoTools } from './go-tools.ts'

const site = useSites()
const limit = { timeout: 900_000 }
const open: FakeGitHub[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(github => github.stop()))
})
/** A fake GitHub, made from its published description, and what tells a run of it. */
async function toldTo() {
  const github = await startGitHub()
  open.push(github)
  return { github, env: { GITHUB_API_URL: github.url }, secrets: { GITHUB_TOKEN: github.token } }
}
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

  it('names no servers to go on with where the manifest was refused', limit, async () => {
    const { at, before } = await shop(1)
    writeFileSync(join(at.workspace, 'deploy.yml'), 'servers: 1\n')
    const run = await runAct(at, event)
    expect([run.code, run.outputs['deploy/deploy/retry']], run.log).toEqual([1, '[]'])
    expect(run.log).not.toContain('To go on')
    expect(currents(at)).toEqual([before])
  })
})

describe.skipIf(withoutGoTools)(`dispatch.yml${because}`, () => {
  const dispatch = (at: Site, inputs: Readonly<Record<string, string>>, more: Partial<ActOptions> = {}) =>
    runAct(at, {
      workflow: 'examples/workflows/dispatch.yml',
      event: 'workflow_dispatch',
      inputs: { environment: 'production', ...inputs },
      ...more,
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

  it('takes the stored strategy unless another is asked for; records the deployment and no plan', limit, async () => {
    const { at } = await shop(2)
    at.change({ version: '2' })
    const { github, ...told } = await toldTo()
    const vars = { DEPLOY_STRATEGY: 'parallel' }
    const planned = await dispatch(at, { command: 'plan', strategy: 'serial' }, { vars, ...told })
    expect(planned.code, planned.log).toBe(0)
    expect(JSON.parse(planned.outputs['deploy/deploy/plan'] ?? '')).toMatchObject({ strategy: { value: 'serial' } })
    for (const command of ['status', 'recover']) expect((await dispatch(at, { command }, told)).code).toBe(0)
    expect(github.deployments()).toEqual([])

    const run = await dispatch(at, { strategy: 'auto' }, { vars, ...told })
    expect(run.code, run.log).toBe(0)
    expect(run.outputs['deploy/deploy/strategy']).toBe('parallel')
    expect(github.deployments()).toMatchObject([{ environment: 'production', task: 'deploy', state: 'success' }])
    expect(github.deployments()[0]?.ref.slice(0, 12)).toBe(run.outputs['deploy/deploy/release']?.slice(0, 12))
  })

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
  const rollback = (at: Site, inputs: Readonly<Record<string, string>>, more: Partial<ActOptions> = {}) =>
    runAct(at, {
      workflow: 'examples/workflows/rollback.yml',
      event: 'workflow_dispatch',
      inputs: { environment: 'production', ...inputs },
      ...more,
    })

  it('goes back to the release before, and to one that is named', limit, async () => {
    const { at, before } = await shop(2)
    at.change({ version: '2' })
    const second = await seedShop(at)
    const { github, ...told } = await toldTo()
    const back = await rollback(at, {}, told)
    expect(back.code, back.log).toBe(0)
    // The record names what runs now, not the commit that the workflow was started at.
    expect(github.deployments()).toMatchObject([{ environment: 'production', task: 'rollback', state: 'success' }])
    expect(github.deployments()[0]?.ref.slice(0, 12)).toBe(before.slice(0, 12))
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
    expect(readdirSync(run.artifacts)).toEqual([expect.stringMatching(/^deployment-report-production-deploy-\d+$/)])
  })

  it('can be called several times in one run, for one environment', limit, async () => {
    const { at, before } = await shop(2)
    at.change({ version: '2' })
    const { github, ...told } = await toldTo()
    const call = 'uses: org/deploy-action/.github/workflows/deploy.yml@v1\n    with:'
    const again = ['plan', 'first', 'second'].map((name, n, all) => [
      ...(n === 0 ? [] : [`  ${name}:\n    needs: ${all[n - 1]}`]),
      ...['    permissions: { contents: read, deployments: write }', `    ${call}`, '      environment: production'],
      ...[`      servers: ${name === 'second' ? 'web2' : 'web1'}`, `      command: ${n === 0 ? 'plan' : 'deploy'}`],
      ...(n === 2 ? [] : ['    secrets: { SSH_KEY: "${{ secrets.SSH_KEY }}" }']),
    ])
    const written = readFileSync('examples/workflows/reusable.yml', 'utf8')
    const job = written.slice(written.indexOf('  production:\n'), written.indexOf('    secrets:\n'))
    const instead = { [job]: `  plan:\n${again.flat().join('\n')}\n` }
    const run = await runAct(at, { workflow: 'examples/workflows/reusable.yml', event: 'push', instead, ...told })
    expect(run.code, run.log).toBe(0)
    expect(currents(at)).not.toContain(before)
    const kept = readdirSync(run.artifacts).map(name => name.replace(/-\d+$/, ''))
    expect(kept.sort()).toEqual(['deploy', 'deploy', 'plan'].map(command => `deployment-report-production-${command}`))
    expect(github.deployments().map(d => d.task)).toEqual(['deploy', 'deploy'])
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
