import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startLoad } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const limit = { timeout: 300_000 }

describe('rolling', () => {
  it('goes in halves, several at a time, never below min_in_service, without a failed request', limit, async () => {
    const at = await site({ servers: 6 })
    // An activation waits until another one has begun: two are really out at the same time.
    const begun = join(at.temp, 'begun')
    mkdirSync(begun)
    at.manifest({
      rollout: { strategy: 'rolling', max_parallelism: 3, min_in_service: 4 },
      activate: `touch ${begun}/$DEPLOY_SERVER; until [ $(ls ${begun} | wc -l) -gt 1 ]; do sleep 0.05; done; ./activate`,
    })
    at.change({ version: '2' })
    const [load, rotation] = [await startLoad(at.url), watchRotation(at)]
    const result = await at.deploy()
    const requests = await load.stop()
    expect(result.code, result.log).toBe(0)
    expect(result.outputs['strategy']).toBe('rolling')
    expect([requests.problems, (await rotation.stop()).mostOut]).toEqual([{}, 2])
    expect(result.log).toMatch(/stage 1 of 2: web1, web2, web3/)
    expect(result.summary).toMatch(/no order could have taken less/)
  })

  it(
    'canary: one, held, then the rest; who goes bad in the hold is taken out, and nobody else is touched',
    limit,
    async () => {
      const at = await site({ servers: 4 })
      const before = at.current('web2')
      const bad = join(at.temp, 'bad')
      at.manifest({
        rollout: {
          strategy: 'rolling',
          batch: [1, '100%'],
          hold: { for: '30s', check: { command: `test ! -e ${bad}` } },
        },
      })
      at.change({ version: '2' })
      const running = at.start()
      await waitUntil('the canary is held', () => running.stdout().includes('holding 30 s'), 120_000)
      writeFileSync(bad, '')
      const result = await running.ended
      expect(outcome(result)).toEqual({ failed: ['web1'], pending: ['web2', 'web3', 'web4'] })
      expect(listed(result, 'left-out')).toEqual(['web1'])
      expect([await at.rotation('web1'), at.current('web2')]).toEqual([expect.stringMatching(/drain|maint/), before])
      expect(result.summary).toMatch(/went bad while it was held/)
      expect(existsSync(bad)).toBe(true)

      // Left out: a stage of its own, before the others.
      at.manifest({ rollout: { strategy: 'rolling', batch: ['100%'] } })
      at.change({ version: '3' })
      const next = await at.deploy()
      expect(next.code, next.log).toBe(0)
      expect(next.log).toMatch(/stage 1 of 2: web1\b(?!,)/)
      expect(await at.rotation('web1')).toBe('serving')
    },
  )

  it('a canary that goes bad under on_failure: rollback goes back and serves', limit, async () => {
    const at = await site({ servers: 3 })
    const before = at.current('web1')
    const bad = join(at.temp, 'bad')
    at.manifest({
      rollout: {
        strategy: 'rolling',
        batch: [1, '100%'],
        on_failure: 'rollback',
        hold: { for: '30s', check: { command: `test ! -e ${bad}` } },
      },
    })
    at.change({ version: '2' })
    const load = await startLoad(at.url)
    const running = at.start()
    await waitUntil('the canary is held', () => running.stdout().includes('holding 30 s'), 120_000)
    writeFileSync(bad, '')
    const result = await running.ended
    const requests = await load.stop()
    expect(outcome(result)).toEqual({ 'rolled-back': ['web1'], pending: ['web2', 'web3'] })
    expect([at.current('web1'), await at.rotation('web1'), requests.problems]).toEqual([before, 'serving', {}])
  })
})
