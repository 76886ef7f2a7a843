import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Site, startSite } from '../support/site.ts'

let at: Site
beforeAll(async () => {
  at = await startSite({ servers: 2 })
  await at.seed()
}, 120_000)
afterAll(() => at.stop())

interface Planned {
  readonly strategy: { readonly value: string; readonly origin: string; readonly reason: string }
  readonly warnings: readonly string[]
}

/** What `plan` says would happen. */
async function planned(manifest: Record<string, unknown>, inputs: Record<string, string> = {}): Promise<Planned> {
  at.manifest(manifest)
  const result = await at.deploy({ command: 'plan', ...inputs })
  expect(result.code, result.log).toBe(0)
  return JSON.parse(result.outputs['plan'] ?? '') as Planned
}
const from = async (...words: Parameters<typeof planned>) => {
  const { strategy } = await planned(...words)
  return [strategy.value, strategy.origin]
}

describe('the strategy comes', { timeout: 240_000 }, () => {
  it('from the default: serial', async () => {
    expect(await from({})).toEqual(['serial', 'default'])
  })

  it('from the default of a web server that refuses no request: parallel, with a warning as balancers are there', async () => {
    const plan = await planned({ web_server: 'puma' })
    expect([plan.strategy.value, plan.strategy.origin]).toEqual(['parallel', 'default'])
    expect(plan.warnings.join('\n')).toMatch(/parallel by default/i)
    expect(await from({ web_server: 'thin' })).toEqual(['serial', 'default'])
  })

  it('from the manifest, before the default', async () => {
    expect(await from({ web_server: 'puma', rollout: { strategy: 'serial' } })).toEqual(['serial', 'manifest'])
    expect(await from({ rollout: { strategy: 'parallel' } })).toEqual(['parallel', 'manifest'])
  })

  it('from the input, before the manifest; auto and empty leave it to the manifest', async () => {
    const manifest = { rollout: { strategy: 'parallel' } }
    expect(await from(manifest, { strategy: 'serial' })).toEqual(['serial', 'input'])
    expect(await from(manifest, { strategy: 'auto' })).toEqual(['parallel', 'manifest'])
    expect(await from(manifest, { strategy: '' })).toEqual(['parallel', 'manifest'])
  })

  it('from the migrations gate, before all', async () => {
    const manifest = { rollout: { strategy: 'parallel' }, migrate: 'true' }
    expect(await from(manifest, { strategy: 'parallel' })).toEqual(['serial', 'gate'])
    expect(await from(manifest, { strategy: 'parallel', migrate: 'false' })).toEqual(['parallel', 'input'])
  })

  it('and one that is not known is an error', async () => {
    at.manifest()
    const result = await at.deploy({ strategy: 'sideways' })
    expect(result.code).toBe(1)
    expect(result.log).toMatch(/sideways/)
  })
})
