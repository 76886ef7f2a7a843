import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { watchRotation } from '../support/rotation-watch.ts'
import { useSites } from '../support/use-site.ts'

const site = useSites()

describe('plan', () => {
  it('touches nothing: no file on a server, no balancer, no lock, no script', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 3 })
    at.manifest({ prepare: 'touch "$HOME/ran"', migrate: 'touch "$HOME/ran"', cleanup: 'touch "$HOME/ran"' })
    at.change({ version: '2' })
    const footprint = () => at.servers.map(s => at.footprint(s.name))
    const before = footprint()
    const rotation = watchRotation(at)
    const result = await at.deploy({ command: 'plan' })
    expect(result.code, result.log).toBe(0)
    expect(footprint()).toEqual(before)
    expect((await rotation.stop()).changes).toHaveLength(1)
    expect(result.summary).toMatch(/web1/)
  })

  it('shows the value that deploy carries out', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    at.change({ version: '2' })
    const planned = JSON.parse((await at.deploy({ command: 'plan' })).outputs['plan'] ?? '')
    const deployed = await at.deploy()
    expect(deployed.code, deployed.log).toBe(0)
    const report = JSON.parse(readFileSync(deployed.outputs['report-path'] ?? '', 'utf8'))
    expect(report.plan).toEqual(planned)
    expect(deployed.outputs['release']).toBe(planned.release.id)
  })
})

describe('validate', () => {
  it('needs no connection, no key and no known hosts', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2, seed: false })
    at.manifest({ ssh: { user: 'deploy' } })
    const result = await at.deploy({ command: 'validate', 'ssh-key': '' })
    expect(result.code, result.log).toBe(0)
    for (const sshd of [...at.servers.map(s => s.sshd), at.balancerHost])
      expect(sshd.log()).not.toMatch(/Connection from/)
  })

  it('shows every fault at once, with file, line and what to write', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1, seed: false })
    at.manifest({ web_server: 'pumma', rollout: { max_paralelism: '3' } })
    const result = await at.deploy({ command: 'validate' })
    expect(result.code).toBe(1)
    expect(result.log).toMatch(/deploy\.yml:\d+:\d+/)
    expect(result.log).toMatch(/max_parallelism/)
    expect(result.log).toMatch(/web_server/)
  })
})
