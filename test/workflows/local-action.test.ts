import { describe, expect, it } from 'vitest'
import { runLocalAction } from '../support/local-action.ts'
import { useSites } from '../support/use-site.ts'

const site = useSites()

describe('under @github/local-action', () => {
  it('the sources plan and deploy, and give their outputs', { timeout: 600_000 }, async () => {
    const at = await site({ servers: 2 })
    const before = at.current('web1')
    at.change({ version: '2' })
    const planned = await runLocalAction(at, { command: 'plan', strategy: 'parallel' })
    expect(planned.code, planned.log).toBe(0)
    expect(JSON.parse(planned.outputs['plan'] ?? '')).toMatchObject({ strategy: { value: 'parallel' } })
    expect(at.current('web1')).toBe(before)

    const run = await runLocalAction(at, { strategy: 'parallel' })
    expect(run.code, run.log).toBe(0)
    expect(run.outputs).toMatchObject({ result: 'success', strategy: 'parallel', succeeded: '["web1","web2"]' })
    expect([at.current('web1'), at.current('web2')]).toEqual([run.outputs['release'], run.outputs['release']])
    expect(run.summary, run.log).toMatch(/shop: deployed/)
  })

  it('what is refused is a failure, with its reason', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 1, seed: false })
    at.manifest({ actvate: './activate' })
    const run = await runLocalAction(at, { command: 'validate' })
    expect([run.code, run.outputs['result']], run.log).toEqual([1, 'failure'])
    expect(run.log).toMatch(/actvate/)
  })
})
