import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startLoad } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { outcome, useSites } from '../support/use-site.ts'

const site = useSites()
const names = ['web1', 'web2', 'web3', 'web4']

describe('parallel', () => {
  it('takes no server out of rotation, also under load, and has several under way at once', {
    timeout: 240_000,
  }, async () => {
    const at = await site()
    const log = join(at.temp, 'activations')
    mkdirSync(log)
    // each activation waits until another one has begun: in serial this would never end
    at.manifest({
      activate: [
        {
          run: `touch ${log}/$DEPLOY_SERVER; until [ $(ls ${log} | wc -l) -gt 1 ]; do sleep 0.05; done; ./activate`,
          timeout: '100s',
        },
      ],
    })
    at.change({ version: '2' })
    const load = await startLoad(at.url)
    const rotation = watchRotation(at)
    const result = await at.deploy({ strategy: 'parallel' })
    const seen = await rotation.stop()
    await load.stop()
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: names })
    expect(result.outputs['strategy']).toBe('parallel')
    expect([seen.mostOut, seen.left]).toEqual([0, { web1: 0, web2: 0, web3: 0, web4: 0 }])
  })

  it('writes nothing to a balancer, not after a failure either: one that refuses every write is enough', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ level: 'operator' })
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    const result = await at.deploy({ strategy: 'parallel' })
    expect(result.code).toBe(1)
    expect(outcome(result)['rolled-back']).toEqual(['web2'])
    expect(result.log).not.toMatch(/permission denied/i)
    // the health check may need a moment to see the restart; what was set by hand or by us does not
    expect(await at.haproxy.asSet('app')).toEqual({ web1: 'ready', web2: 'ready', web3: 'ready', web4: 'ready' })
  })

  it('needs no way into the balancer', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    at.change({ version: '2' })
    await at.balancerHost.stop()
    const result = await at.deploy({ strategy: 'parallel' })
    expect(result.code, result.log).toBe(0)
    expect(outcome(result)).toEqual({ succeeded: ['web1', 'web2'] })
  })

  it('has at most max-parallelism servers under way', { timeout: 240_000 }, async () => {
    const at = await site()
    const log = join(at.temp, 'under-way')
    mkdirSync(log)
    const most = join(at.temp, 'most')
    writeFileSync(most, '')
    at.manifest({
      activate: [
        {
          run: `touch ${log}/$DEPLOY_SERVER; sleep 0.5; ls ${log} | wc -l >>${most}; rm ${log}/$DEPLOY_SERVER; ./activate`,
        },
      ],
    })
    at.change({ version: '2' })
    const result = await at.deploy({ strategy: 'parallel', 'max-parallelism': '2' })
    expect(result.code, result.log).toBe(0)
    const counts = readFileSync(most, 'utf8').trim().split('\n').map(Number)
    expect(counts).toHaveLength(4)
    expect(Math.max(...counts)).toBeLessThanOrEqual(2)
  })
})
