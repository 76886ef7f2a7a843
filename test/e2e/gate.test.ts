import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { watchRotation } from '../support/rotation-watch.ts'
import type { Site } from '../support/site.ts'
import { outcome, useSites } from '../support/use-site.ts'

const site = useSites()

const ledger = (at: Site) => join(at.temp, 'migrations')
/** Each migration leaves its server and release in a file of this machine. */
const migrations = (at: Site): string[] =>
  existsSync(ledger(at)) ? readFileSync(ledger(at), 'utf8').trim().split('\n') : []
const migrating = (at: Site, more: Record<string, unknown> = {}) => ({
  rollout: { strategy: 'parallel' },
  migrate: { run: `echo "$DEPLOY_SERVER $DEPLOY_RELEASE" >>${ledger(at)}`, ...more },
})

describe('the migrations gate', () => {
  it('makes a parallel deployment serial while a migration is enabled, and says what was asked and why', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 3 })
    at.manifest(migrating(at))
    at.change({ version: '2' })
    const rotation = watchRotation(at)
    const result = await at.deploy({ strategy: 'parallel' })
    const seen = await rotation.stop()
    expect(result.code, result.log).toBe(0)
    expect(result.outputs).toMatchObject({ strategy: 'serial', migrate: 'true' })
    expect(seen.left).toEqual({ web1: 1, web2: 1, web3: 1 })
    expect(seen.mostOut).toBe(1)
    expect(migrations(at)).toEqual([`web1 ${result.outputs['release']}`])
    const notices = result.commands.filter(c => c.name === 'notice').map(c => c.data)
    expect(notices.join('\n')).toMatch(/serial.*migrations.*parallel/is)
    expect(result.summary).toMatch(/migrations/i)
  })

  it('runs a migration once per release id; asked for, once more', { timeout: 400_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest(migrating(at))
    at.change({ version: '2' })
    const first = await at.deploy()
    const again = await at.deploy()
    expect([first.code, again.code], again.log).toEqual([0, 0])
    expect(migrations(at)).toHaveLength(1)
    const asked = await at.deploy({ migrate: 'true' })
    expect(asked.code, asked.log).toBe(0)
    expect(migrations(at)).toHaveLength(2)
  })

  it('stays parallel and migrates nothing with migrate: false', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest(migrating(at))
    at.change({ version: '2' })
    const rotation = watchRotation(at)
    const result = await at.deploy({ migrate: 'false' })
    expect(result.code, result.log).toBe(0)
    expect(result.outputs).toMatchObject({ strategy: 'parallel', migrate: 'false' })
    expect([(await rotation.stop()).mostOut, migrations(at)]).toEqual([0, []])
  })

  it('is open when none of the paths changed since the deployed commit, and closed when one did', {
    timeout: 400_000,
  }, async () => {
    const at = await site({ servers: 2 })
    at.manifest(migrating(at, { paths: ['db/migrate/'] }))
    at.change({ version: '2' })
    const same = await at.deploy()
    expect(same.code, same.log).toBe(0)
    expect(same.outputs).toMatchObject({ strategy: 'parallel', migrate: 'false' })
    mkdirSync(join(at.workspace, 'db/migrate'), { recursive: true })
    writeFileSync(join(at.workspace, 'db/migrate/001.sql'), 'create table t (id int);\n')
    at.change({ version: '3' })
    const changed = await at.deploy()
    expect(changed.code, changed.log).toBe(0)
    expect(changed.outputs).toMatchObject({ strategy: 'serial', migrate: 'true' })
    expect(migrations(at)).toEqual([`web1 ${changed.outputs['release']}`])
  })

  it('ends the deployment when the migration fails, with every server on the old release', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 2 })
    const before = at.current('web1')
    at.manifest({ migrate: 'echo half; exit 4' })
    at.change({ version: '2' })
    const rotation = watchRotation(at)
    const result = await at.deploy()
    expect(result.code).toBe(1)
    expect(result.outputs['result']).toBe('failure')
    expect((await rotation.stop()).mostOut).toBe(0)
    expect([at.current('web1'), at.current('web2')]).toEqual([before, before])
    expect(at.releases('web2')).toHaveLength(2) // the staged one stays
    expect(result.summary).toMatch(/schema/i)
    expect(outcome(result)['succeeded']).toBeUndefined()
    expect(at.heldLocks()).toEqual([])
  })

  it('refuses a selection without the migration’s server while a migration has to run', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 2 })
    at.manifest(migrating(at))
    at.change({ version: '2' })
    const result = await at.deploy({ servers: 'web2' })
    expect(result.code).toBe(1)
    expect(migrations(at)).toEqual([])
    expect(result.log).toMatch(/web1/)
    expect(result.log).toMatch(/migrate/)
  })
})
