import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { StoredWaits } from '../../src/manifest/kept-waits.ts'
import type { Plan } from '../../src/plan/plan.ts'
import type { ServerStatus } from '../../src/report/status.ts'
import type { ActionResult } from '../support/runner.ts'
import { balancerWith, type Site } from '../support/site.ts'
import { listed, useSites } from '../support/use-site.ts'

const site = useSites()

const removing = (seconds: number) => ({ wait_after_removing_servers: seconds })
const fileOn = (at: Site, server: string, environment = '_') =>
  join(at.server(server).root, '.deploy-action', `waits-${environment}.json`)
const copyOn = (at: Site, server: string) => JSON.parse(readFileSync(fileOn(at, server), 'utf8')) as StoredWaits
const planned = async (at: Site, inputs: Readonly<Record<string, string>> = {}) => {
  const result = await at.deploy({ command: 'plan', ...inputs })
  expect(result.code, result.log).toBe(0)
  return { plan: JSON.parse(result.outputs['plan'] ?? '') as Plan, log: result.log.replace(/\s+/g, ' ') }
}
async function deployed(at: Site, inputs: Readonly<Record<string, string>> = {}): Promise<ActionResult> {
  const result = await at.deploy(inputs)
  expect(result.code, result.log).toBe(0)
  return result
}
/** How often it was waited after a removal, and how long, as the log tells it. */
const waited = (result: ActionResult): readonly string[] =>
  [...result.log.matchAll(/waits (.*?): wait_after_removing_servers/g)].map(m => m[1] ?? '')
const warnings = (result: ActionResult) => result.log.replace(/\s+/g, ' ')

describe('a wait that is taken out of the manifest', () => {
  it('stays in force, says from which deployment and what to write, and is gone after a 0', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2 })
    at.manifest(balancerWith(at, removing(2)))
    expect(waited(await deployed(at))).toEqual(['2 s', '2 s'])
    expect(copyOn(at, 'web2')).toEqual(copyOn(at, 'web1'))

    at.manifest()
    const before = await planned(at)
    expect(before.plan.addedSeconds).toBe(4)
    expect(before.plan.waits[0]).toMatchObject({ removing: 2, sources: { removing: { from: 'stored' } } })
    const where = 'https://github.com/octo/shop/actions/runs/4711'
    expect(before.log).toMatch(
      /edge: the manifest names no wait_after_removing_servers any more, and 2 s stay in force, stored by/,
    )
    expect(before.log).toContain(where)
    expect(before.log).toContain('`wait_after_removing_servers: 0` to remove it')

    const kept = await deployed(at)
    expect(waited(kept)).toEqual(['2 s', '2 s'])
    expect(warnings(kept)).toContain('Write `wait_after_removing_servers: 2` under load_balancers.edge to keep it')

    const rows = JSON.parse((await deployed(at, { command: 'status' })).outputs['status'] ?? '[]') as ServerStatus[]
    for (const row of rows)
      expect(row.waits).toEqual([expect.stringMatching(/^edge: wait_after_removing_servers 2 s, stored by/)])

    at.manifest(balancerWith(at, removing(0)))
    const zero = await deployed(at)
    expect([waited(zero), warnings(zero)]).toEqual([[], expect.not.stringContaining('stay in force')])
    at.manifest()
    expect((await planned(at)).plan).toMatchObject({ waits: [], addedSeconds: 0, warnings: [] })
  })

  it('is not stored by a deployment that fails', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest(balancerWith(at, removing(1)))
    at.change({ version: '2', behaviour: 'web2:activate-fails' })
    expect((await at.deploy()).code).not.toBe(0)
    at.manifest()
    expect((await planned(at)).plan).toMatchObject({ storedWaits: null, warnings: [] })
  })

  it('is of its environment alone, also where another one has the same servers and the same release path', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 2, seed: false })
    const environments = { production: { load_balancers: { edge: removing(1) } }, staging: {} }
    at.manifest({ environments })
    for (const environment of ['production', 'staging']) await deployed(at, { environment, strategy: 'parallel' })
    at.manifest({ environments: { production: {}, staging: {} } })
    expect((await planned(at, { environment: 'production' })).plan.waits).toMatchObject([{ removing: 1 }])
    expect((await planned(at, { environment: 'staging' })).plan).toMatchObject({ waits: [], storedWaits: null })
  })
})

describe('copies of a wait', () => {
  it('of a server that was not there meanwhile do not count; the next deployment brings it up to date', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 3 })
    at.manifest(balancerWith(at, removing(3)))
    await deployed(at, { strategy: 'parallel' })
    at.manifest(balancerWith(at, removing(1)))
    await deployed(at, { strategy: 'parallel', servers: '!web3' })
    expect([copyOn(at, 'web1').sequence, copyOn(at, 'web3').sequence]).toEqual([2, 1])
    at.manifest()
    const result = await deployed(at)
    expect(waited(result)).toEqual(['1 s', '1 s', '1 s'])
    expect(copyOn(at, 'web3')).toEqual(copyOn(at, 'web1'))
  })

  it('also come to the server that each deployment reads, when another one alone is deployed', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 3 })
    at.manifest(balancerWith(at, removing(1)))
    await deployed(at, { servers: 'web2' })
    expect(copyOn(at, 'web1')).toEqual(copyOn(at, 'web2'))
    at.manifest()
    expect((await planned(at, { servers: 'web3' })).plan.waits).toMatchObject([{ removing: 1 }])
    expect(waited(await deployed(at, { servers: 'web3' }))).toEqual(['1 s'])
  })

  it('that a server makes up take no wait away and add none, where others agree; nothing is believed beyond 1 h', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 3 })
    at.manifest(balancerWith(at, removing(1)))
    await deployed(at, { strategy: 'parallel' })
    at.manifest()
    const lies = (balancers: unknown, sequence: number) =>
      writeFileSync(fileOn(at, 'web3'), JSON.stringify({ sequence, balancers }))
    const wait = { deployment: 'x', run: null, at: 1_800_000_000 }

    lies({}, 999_999_999)
    const gone = await planned(at)
    expect(gone.plan.waits).toMatchObject([{ removing: 1 }])
    expect(gone.log).toContain('only web3 says that a later deployment stored 0 s for wait_after_removing_servers')

    lies({ edge: { removing: { ...wait, seconds: 1e12 }, adding: { ...wait, seconds: 3600 } } }, 5)
    const slow = await planned(at)
    expect(slow.plan.waits).toMatchObject([{ removing: 1, adding: 0 }])

    for (const bad of [
      '{"sequence":1e300,"balancers":{}}',
      '{"sequence":7,"balancers":{"a b":{}}}',
      `${'\n'.repeat(9)}waits\t::error::x`,
      'x'.repeat(200_000),
    ]) {
      writeFileSync(fileOn(at, 'web3'), bad)
      const { plan } = await planned(at)
      expect(plan.waits).toMatchObject([{ removing: 1 }])
      expect(plan.warnings).toHaveLength(1)
    }
    // Alone it is all there is: the cap and the warning are what is left.
    lies({ edge: { removing: { ...wait, seconds: 1e12 } } }, 5)
    for (const name of ['web1', 'web2']) writeFileSync(fileOn(at, name), '')
    const alone = await planned(at)
    expect(alone.plan.waits).toMatchObject([{ removing: 3600 }])
    expect(alone.log).toContain('3600 s stay in force')
    // The next success makes all servers say the same again, whatever one of them said.
    at.manifest(balancerWith(at, removing(1)))
    const result = await deployed(at, { strategy: 'parallel' })
    expect(listed(result, 'succeeded')).toHaveLength(3)
    expect(copyOn(at, 'web3')).toEqual(copyOn(at, 'web1'))
    expect(copyOn(at, 'web1').balancers['edge']?.removing?.seconds).toBe(1)
  })
})
