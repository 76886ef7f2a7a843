import { describe, expect, it } from 'vitest'
import type { ServerStatus } from '../../src/report/status.ts'
import { useSites } from '../support/use-site.ts'

const site = useSites()

describe('status', () => {
  it('says per server what runs, since when, by whom, where it stands, and what was left behind; and changes nothing', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 3 })
    const commit = at.change({ version: '2', behaviour: 'web2:activate-fails' })
    await at.deploy()
    const before = at.servers.map(s => at.footprint(s.name))
    const result = await at.deploy({ command: 'status' })
    expect(result.code, result.log).toBe(0)
    expect(at.servers.map(s => at.footprint(s.name))).toEqual(before)
    const rows = JSON.parse(result.outputs['status'] ?? '[]') as ServerStatus[]
    expect(
      rows.map(r => [r.server, r.release === at.current(r.server), r.rotation['edge'], r.leftOut, r.lock]),
    ).toEqual([
      ['web1', true, 'serving', [], null],
      ['web2', true, expect.stringContaining('draining'), ['edge'], null],
      ['web3', true, 'serving', [], null],
    ])
    expect(rows[0]).toMatchObject({
      commit,
      by: 'octocat',
      run: expect.stringContaining('/actions/runs/4711'),
      undecided: null,
    })
    expect(rows[0]?.since).toMatch(/^20\d\d-/)
    expect(result.log).toMatch(/web2 .*left out of edge/)
    expect(result.summary).toMatch(/1 server with something left behind/)
  })

  it('shows the servers that answer when one does not, and then fails', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    await at.server('web2').sshd.stop()
    const result = await at.deploy({ command: 'status' })
    expect(result.code).toBe(1)
    const rows = JSON.parse(result.outputs['status'] ?? '[]') as ServerStatus[]
    expect(rows.map(r => r.error === null)).toEqual([true, false])
    expect(JSON.parse(result.outputs['unreachable'] ?? '')).toEqual(['web2'])
  })
})
