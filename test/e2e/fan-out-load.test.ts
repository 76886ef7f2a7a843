/** Two shards at once on real SSH servers behind a real HAProxy under load: a release goes out, and back again. */
import { expect, it } from 'vitest'
import { startLoad } from '../support/load.ts'
import { watchRotation } from '../support/rotation-watch.ts'
import { listed, useSites } from '../support/use-site.ts'

const site = useSites()

it('loses no request, never goes below min_in_service, and goes back only to a release that is named', {
  timeout: 600_000,
}, async () => {
  const at = await site({ servers: 6 })
  const before = at.current('web1')
  at.manifest({
    rollout: { strategy: 'rolling', batch: ['100%'], max_parallelism: 6, max_failures: 2, min_in_service: 4 },
  })
  at.change({ version: '2' })
  const both = (inputs: Readonly<Record<string, string>> = {}) =>
    Promise.all(['1/2', '2/2'].map(shard => at.deploy({ shard, ...inputs })))
  const [load, rotation] = [await startLoad(at.url), watchRotation(at)]
  const results = await both()
  expect(
    results.map(r => r.outputs['result']),
    results.map(r => r.log.slice(-1500)).join('\n'),
  ).toEqual(['success', 'success'])
  expect(results.map(r => listed(r, 'succeeded'))).toEqual([
    ['web1', 'web3', 'web5'],
    ['web2', 'web4', 'web6'],
  ])
  expect(new Set(results.map(r => r.outputs['release'])).size).toBe(1)
  const refused = await both({ command: 'rollback' })
  for (const { code, log } of refused)
    expect([code, log]).toEqual([1, expect.stringContaining('needs the input release')])
  const back = await both({ command: 'rollback', release: before ?? '' })
  const requests = await load.stop()
  expect(
    back.map(r => r.outputs['result']),
    back.map(r => r.log.slice(-1500)).join('\n'),
  ).toEqual(['success', 'success'])
  expect(at.servers.map(s => at.current(s.name))).toEqual(at.servers.map(() => before))
  expect(requests.problems).toEqual({})
  expect((await rotation.stop()).mostOut).toBeLessThanOrEqual(2)
  expect(at.heldLocks()).toEqual([])
})
