/** The ready workflow for more than one runner: act runs its jobs, and the shards at the same time, against real SSH servers. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { runAct } from '../support/act.ts'
import { type FakeGitHub, startGitHub } from '../support/github/server.ts'
import { asShop, currents, seedShop } from '../support/shop-repository.ts'
import { useSites } from '../support/use-site.ts'
import { because, withoutGoTools } from './go-tools.ts'

const site = useSites()
const limit = { timeout: 900_000 }
const open: FakeGitHub[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map(github => github.stop()))
})

describe.skipIf(withoutGoTools)(`fan-out.yml${because}`, () => {
  const fanOut = async (behaviour: string, rollout: object = {}) => {
    const at = await site({ servers: 5, seed: false, roles: { web1: ['db'] } })
    const migrations = join(at.temp, 'migrations')
    asShop(at, {
      migrate: { run: `echo "$DEPLOY_SERVER" >> ${migrations}`, roles: ['db'] },
      rollout: { strategy: 'parallel', max_parallelism: 3, max_failures: 4, ...rollout },
    })
    // A build that is not reproducible: it is the same release on all servers only where it was made once.
    const scripts = { build: 'date +%s%N > app/built' }
    writeFileSync(join(at.workspace, 'package.json'), JSON.stringify({ name: 'shop', scripts }))
    at.commit('a build that is another each time')
    await seedShop(at)
    at.change({ version: '2', behaviour })
    const github = await startGitHub()
    open.push(github)
    const index = "startsWith(matrix.shard, '1/') && 'first' || startsWith(matrix.shard, '2/') && 'second' || 'third'"
    const run = await runAct(at, {
      workflow: 'examples/workflows/fan-out.yml',
      event: 'workflow_dispatch',
      env: { GITHUB_API_URL: github.url },
      secrets: { GITHUB_TOKEN: github.token },
      // The site's application is app/.
      instead: { 'strategy.job-index': index, '-C dist .': '-C app .' },
    })
    return { at, github, run, migrated: () => readFileSync(migrations, 'utf8') }
  }

  it(
    'migrates once, before; then the shards deploy their servers, and one report says how all went',
    limit,
    async () => {
      const { at, github, run, migrated } = await fanOut('')
      expect(run.code, run.log).toBe(0)
      expect(run.jobs).toMatchObject({ build: 'success', migrate: 'success', plan: 'success', report: 'success' })
      expect(JSON.parse(run.outputs['plan/plan/matrix'] ?? '')).toEqual({ shard: ['1/3', '2/3', '3/3'] })
      expect(migrated()).toBe('web1\n')
      expect(new Set(currents(at)).size).toBe(1)
      const shards = ['1/3', '2/3', '3/3'].map(shard => run.outputs[`shard ${shard}/deploy/succeeded`])
      expect(shards).toEqual(['["web2","web5"]', '["web3"]', '["web4"]'])
      expect(readdirSync(run.artifacts)).toHaveLength(1 + 3)
      expect(run.outputs).toMatchObject({
        'report/report/result': 'success',
        'report/report/succeeded': '["web2","web3","web4","web5"]',
        'report/report/retry': '[]',
      })
      expect(github.deployments()).toMatchObject([{ environment: 'production', production: true, state: 'success' }])
      expect(at.heldLocks()).toEqual([])
    },
  )

  it('a shard that fails stops no other; the report fails, and says what is left to do', limit, async () => {
    const { at, github, run } = await fanOut('web3:activate-fails')
    expect(run.code).toBe(1)
    expect(run.jobs).toMatchObject({ migrate: 'success', plan: 'success', report: 'failure' })
    expect(run.outputs).toMatchObject({
      'report/report/result': 'failure',
      'report/report/succeeded': '["web2","web4","web5"]',
      'report/report/rolled-back': '["web3"]',
      'report/report/retry': '["web3"]',
    })
    expect(github.deployments().map(d => d.state)).toEqual(['failure'])
    expect(at.heldLocks()).toEqual([])
  })

  it('is one shard where the strategy is serial, and says why', limit, async () => {
    const { at, run } = await fanOut('', { strategy: 'serial' })
    expect(run.code, run.log).toBe(0)
    expect(JSON.parse(run.outputs['plan/plan/matrix'] ?? '')).toEqual({ shard: ['1/1'] })
    expect(run.log).toMatch(/one shard[^\n]*the strategy is serial/)
    expect(run.outputs['report/report/succeeded']).toBe('["web2","web3","web4","web5"]')
    expect(new Set(currents(at)).size).toBe(1)
  })
})
