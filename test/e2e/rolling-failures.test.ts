/**
 * One of eight servers fails at each possible place of a rollout in stages of 1, 50% and the rest. In every run the places at the edges of
 * the stages; ROLLING_PLACES=all tries each.
 */
import { describe, expect, it } from 'vitest'
import { startLoad } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const names = Array.from({ length: 8 }, (_, i) => `web${i + 1}`)
const stages = [names.slice(0, 1), names.slice(1, 5), names.slice(5)]
const everywhere = process.env['ROLLING_PLACES'] === 'all'

const ways = [
  { onFailure: 'stop', maxFailures: '1', places: ['web1', 'web5'] },
  { onFailure: 'stop', maxFailures: '100%', places: ['web6'] },
  { onFailure: 'rollback', maxFailures: '1', places: ['web2', 'web8'] },
  { onFailure: 'rollback', maxFailures: '100%', places: ['web1'] },
] as const

describe.each(ways)('on_failure: $onFailure, max_failures: $maxFailures', ({ onFailure, maxFailures, places }) => {
  it('ends as specified wherever a server fails, without a failed request', { timeout: 1_200_000 }, async () => {
    const at = await site({ servers: 8 })
    at.manifest({
      rollout: {
        strategy: 'rolling',
        batch: [1, '50%', '100%'],
        max_parallelism: 2,
        min_in_service: 5,
        on_failure: onFailure,
        max_failures: maxFailures,
      },
    })
    for (const [n, bad] of (everywhere ? names : places).entries()) {
      at.change({ version: `good ${n}` })
      const reset = await at.deploy({ strategy: 'parallel' })
      expect(reset.code, reset.log).toBe(0)
      expect((await at.deploy({ command: 'recover' })).code).toBe(0)
      // In parallel all were restarted in place; the balancer may not have found all of them well again.
      await waitUntil('all are in service', async () =>
        (await Promise.all(names.map(name => at.rotation(name)))).every(where => where === 'serving'),
      )
      const old = at.current('web1')
      at.change({ version: `bad ${n}`, behaviour: `${bad}:activate-fails` })
      const [load, rotation] = [await startLoad(at.url), watchRotation(at)]
      const result = await at.deploy()
      const requests = await load.stop()
      const out = await rotation.stop()
      const told = `${bad}\n${result.log}`
      expect(requests.problems, told).toEqual({})
      expect(out.mostOut, told).toBeLessThanOrEqual(3)
      expect(result.code, told).toBe(1)
      const fresh = result.outputs['release'] ?? ''
      const ended = outcome(result)
      const on = (release: string | null) => names.filter(name => at.current(name) === release)
      const stage = stages.findIndex(s => s.includes(bad))
      const [before, own, after] = [stages.slice(0, stage).flat(), stages[stage] ?? [], stages.slice(stage + 1).flat()]
      const others = names.filter(name => name !== bad)
      if (maxFailures === '100%') expect(ended['succeeded'], told).toEqual(others)
      else {
        expect(ended['pending'] ?? [], told).toEqual(expect.arrayContaining(after))
        expect(
          (ended['pending'] ?? []).filter(name => before.includes(name)),
          told,
        ).toEqual([])
        const good = onFailure === 'stop' ? ended['succeeded'] : ended['rolled-back']
        if (before.length > 0) expect(good ?? [], told).toEqual(expect.arrayContaining(before))
        expect([...before, ...own], told).toEqual(expect.arrayContaining(good ?? []))
      }
      if (onFailure === 'stop') {
        expect([ended['failed'], listed(result, 'left-out')], told).toEqual([[bad], [bad]])
        expect(on(fresh), told).toEqual(names.filter(name => name === bad || ended['succeeded']?.includes(name)))
      } else {
        expect([ended['rolled-back']?.includes(bad), listed(result, 'left-out')], told).toEqual([true, []])
        expect(on(old), told).toEqual(maxFailures === '100%' ? [bad] : names)
      }
      for (const name of names) {
        const expected = onFailure === 'stop' && name === bad ? /drain|maint/ : /serving/
        expect(await at.rotation(name), `${name}\n${told}`).toMatch(expected)
        if (onFailure === 'stop' && name === bad) continue
        const answer = await fetch(`http://127.0.0.1:${at.server(name).appPort}/`)
        expect(answer.headers.get('x-release'), `${name}\n${told}`).toBe(at.current(name))
      }
      expect(at.heldLocks(), told).toEqual([])
    }
  })
})
