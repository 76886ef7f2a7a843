import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { watchRotation } from '../support/rotation-watch.ts'
import { balancerWith } from '../support/site.ts'
import { useSites } from '../support/use-site.ts'

const site = useSites()

describe('the waits of a balancer', () => {
  it('are kept for real: after removing before anything changes, and after adding before the next server', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2 })
    const times = join(at.temp, 'times')
    at.manifest({
      ...balancerWith(at, { wait_after_removing_servers: 2, wait_after_adding_servers: '1500ms' }),
      activate: `date +%s%3N >>${times}; ./activate`,
    })
    at.change({ version: '2' })
    const rotation = watchRotation(at)
    const result = await at.deploy()
    const seen = await rotation.stop()
    expect(result.code, result.log).toBe(0)
    const activated = readFileSync(times, 'utf8').trim().split('\n').map(Number)
    // Between two looks of the watcher anything may have happened at once: the longest that it can have been.
    for (const [i, name] of ['web1', 'web2'].entries())
      expect((activated[i] ?? 0) - (seen.wentOut(name)?.after ?? Number.NaN)).toBeGreaterThanOrEqual(2_000)
    const [back, out] = [seen.cameBack('web1'), seen.wentOut('web2')]
    expect((out?.at ?? Number.NaN) - (back?.after ?? Number.NaN)).toBeGreaterThanOrEqual(1_500)
    const report = JSON.parse(readFileSync(result.outputs['report-path'] ?? '', 'utf8'))
    expect(report.plan.addedSeconds).toBe(7) // (2 + 1.5) × 2 servers
  })

  it('never apply under parallel', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest(balancerWith(at, { wait_after_removing_servers: '1h', wait_after_adding_servers: '1h' }))
    at.change({ version: '2' })
    const result = await at.deploy({ strategy: 'parallel' })
    expect(result.code, result.log).toBe(0)
    expect(existsSync(join(at.server('web2').root, 'current'))).toBe(true)
  })
})
