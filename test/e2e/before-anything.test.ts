import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { watchRotation } from '../support/rotation-watch.ts'
import type { ActionResult } from '../support/runner.ts'
import type { Site, SiteOptions } from '../support/site.ts'
import { newKey } from '../support/ssh-keys.ts'
import { listed, outcome, useSites } from '../support/use-site.ts'

const site = useSites()

/** Deploys and shows that nothing was changed: no release, no switch, no server out of rotation, no lock left. */
async function refused(
  at: Site,
  inputs: Record<string, string> = {},
  options: Parameters<Site['deploy']>[1] = {},
): Promise<ActionResult> {
  const names = at.servers.map(s => s.name)
  const look = () => names.map(name => [at.current(name), at.releases(name)])
  const before = look()
  const rotation = watchRotation(at)
  const result = await at.deploy(inputs, options)
  const seen = await rotation.stop()
  expect(result.code, result.log).toBe(1)
  expect(result.outputs['result']).toBe('failure')
  expect(look()).toEqual(before)
  expect(seen.mostOut).toBe(0)
  expect(at.heldLocks()).toEqual([])
  expect(result.commands.some(c => c.name === 'error')).toBe(true)
  return result
}
const ready = async (options: SiteOptions = {}) => {
  const at = await site({ servers: 2, ...options })
  at.change({ version: '2' })
  return at
}

describe('before anything is changed', () => {
  it('a wrong host key ends the deployment, names the server and sends no key', { timeout: 300_000 }, async () => {
    const at = await ready()
    const stranger = newKey().publicKey
    const web2 = at.server('web2').sshd
    const logged = web2.log().length
    const known = at.knownHosts.replace(web2.hostKeys[0] ?? '', stranger)
    const result = await refused(at, { 'ssh-known-hosts': known })
    expect(result.log).toMatch(/web2/)
    expect(result.log).toMatch(/host key/i)
    expect(result.log).toMatch(/SHA256:/)
    expect(web2.log().slice(logged)).not.toMatch(/Accepted|Failed publickey|Postponed/)
  })

  it('an unknown host is not connected to, and the line to add is shown', { timeout: 300_000 }, async () => {
    const at = await ready()
    const web2 = at.server('web2').sshd
    const result = await refused(at, { 'ssh-known-hosts': at.knownHosts.replace(web2.knownHosts, '') })
    expect(result.log).toContain(web2.knownHosts.trim())
  })

  it('a server that cannot be reached ends it, and is listed as unreachable', { timeout: 300_000 }, async () => {
    const at = await ready()
    const { port } = at.server('web2').sshd
    await at.server('web2').sshd.stop()
    const result = await refused(at)
    expect(result.log).toMatch(new RegExp(`web2.*${port}|${port}.*web2`, 's'))
    expect(listed(result, 'unreachable')).toEqual(['web2'])
    expect(listed(result, 'retry')).toContain('web2')
  })

  it('a key that no server takes ends it', { timeout: 300_000 }, async () => {
    const at = await ready()
    const result = await refused(at, { 'ssh-key': newKey().privateKey })
    expect(result.log).toMatch(/key/i)
  })

  it('a full disk ends it', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2, disk: { web2: 16_000_000 } })
    at.change({ version: '2' })
    writeFileSync(join(at.workspace, 'app/big'), randomBytes(14_000_000))
    at.commit('a large file')
    const result = await refused(at)
    expect(result.log).toMatch(/web2/)
    expect(result.log).toMatch(/room|space|disk|free/i)
  })

  it('a source that is not there ends it', { timeout: 300_000 }, async () => {
    const at = await ready()
    const result = await refused(at, { source: 'not-built' })
    expect(result.log).toMatch(/not-built/)
    // an empty `retry` would be "nothing to do" for the next run
    expect(outcome(result)).toEqual({ pending: ['web1', 'web2'] })
    expect(listed(result, 'retry')).toEqual(['web1', 'web2'])
  })

  it('a server that the balancer does not know ends it, and what is there is named', { timeout: 300_000 }, async () => {
    const at = await ready()
    at.manifest({ load_balancers: { edge: { ...at.edge, backends: ['app', 'shop'] } } })
    const result = await refused(at)
    expect(result.log).toMatch(/shop/)
  })

  it('a member that stands in no backend ends it', { timeout: 300_000 }, async () => {
    const at = await ready()
    await at.haproxy.command('set server app/web2 state maint')
    expect(await at.haproxy.command('del server app/web2')).toContain('deleted')
    const result = await refused(at)
    expect(result.log).toMatch(/web2/)
    expect(result.log).toMatch(/web1/)
  })

  it('a shared file that is missing ends it', { timeout: 300_000 }, async () => {
    const at = await ready()
    at.manifest({ release: { path: at.releasePath, source: 'app', shared: ['.env'] } })
    const result = await refused(at)
    expect(result.log).toMatch(/\.env/)
  })

  it('a look-up that one server has no value for ends it, and the server is named', { timeout: 300_000 }, async () => {
    const at = await ready()
    const env = { P: '${{ server.env.ONLY_WEB1 }}' }
    const written = parse(readFileSync(join(at.workspace, 'deploy.yml'), 'utf8')) as { servers: { env: object }[] }
    const [web1, ...others] = written.servers
    at.manifest({
      servers: [{ ...web1, env: { ...web1?.env, ONLY_WEB1: '1' } }, ...others],
      activate: [{ name: 'start', run: './activate', env }],
    })
    const result = await refused(at)
    expect(result.log).toContain('web2: the step "start": ${{ server.env.ONLY_WEB1 }}: there is no such value here')
    expect(listed(result, 'retry')).toEqual(['web1', 'web2'])
  })

  it('a manifest with faults shows all of them, each with its line', { timeout: 300_000 }, async () => {
    const at = await ready()
    at.manifest({ rollout: { strategi: 'serial', max_parallelism: 'many' } })
    const result = await refused(at)
    expect(result.log).toMatch(/deploy\.yml:\d+:\d+/)
    expect(result.log).toMatch(/strategi.*strategy/s)
    expect(result.log).toMatch(/max_parallelism|whole number/)
  })

  it('an empty selection is an error; [] is nothing to do', { timeout: 300_000 }, async () => {
    const at = await ready()
    await refused(at, { servers: 'web9' })
    await refused(at, { servers: '' })
    const nothing = await at.deploy({ servers: '[]' })
    expect(nothing.code, nothing.log).toBe(0)
    expect(listed(nothing, 'succeeded')).toEqual([])
  })
})
