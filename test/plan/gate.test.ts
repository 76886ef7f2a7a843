import { describe, expect, it } from 'vitest'
import { type MigrationFacts, migrationGate } from '../../src/plan/gate.ts'
import { manifest } from './manifests.ts'

const servers = [
  { name: 'web1', roles: ['web'] },
  { name: 'db1', roles: ['db'] },
  { name: 'db2', roles: ['db'] },
]
const with_ = (migrate?: object) =>
  manifest({ servers, ...(migrate ? { keys: { migrate: { run: 'rake db:migrate', ...migrate } } } : {}) })
const facts: MigrationFacts = { done: false, underWay: false, changed: null }
const since = (...files: string[]): MigrationFacts => ({ ...facts, changed: { since: '0123456789abcdef', files } })
const gate = (m = with_({}), input: boolean | null = null, f = facts, selected = m.servers) =>
  migrationGate(m, { migrate: input }, selected, f)

describe('the migrations gate', () => {
  it('is open without a migrate block', () => expect(gate(with_())).toMatchObject({ enabled: false, server: null }))
  it('is refused when migrate is true without a migrate block', () =>
    expect(() => gate(with_(), true)).toThrow(/no migrate block/))
  it('is closed by a migrate block alone', () =>
    expect(gate()).toMatchObject({ enabled: true, server: 'web1', done: false, origin: 'manifest' }))
  it('is open when the input migrate is false', () =>
    expect(gate(with_({}), false)).toMatchObject({ enabled: false, origin: 'input' }))
  it('is open when named paths did not change', () =>
    expect(gate(with_({ paths: 'db/' }), null, since())).toMatchObject({
      enabled: false,
      reason: 'nothing under db/ changed since 0123456789ab',
    }))
  it('is closed when named paths changed, and names them', () =>
    expect(gate(with_({ paths: 'db/' }), null, since('db/1.rb'))).toMatchObject({
      enabled: true,
      reason: expect.stringContaining('db/1.rb'),
    }))
  it('takes "not known" for changed', () =>
    expect(gate(with_({ paths: 'db/' }), null, { ...facts, unknownBecause: 'shallow clone' })).toMatchObject({
      enabled: true,
      reason: expect.stringContaining('shallow clone'),
    }))
  it('is closed by the input true although the paths did not change', () =>
    expect(gate(with_({ paths: 'db/' }), true, since())).toMatchObject({ enabled: true, origin: 'input' }))
  it('runs on the first server with the role', () => expect(gate(with_({ roles: 'db' })).server).toBe('db1'))
  it('refuses a role that nobody has', () =>
    expect(() => gate(with_({ roles: 'nobody' }))).toThrow(/none has the role nobody/))
  it('does not repeat a migration of the same release', () =>
    expect(gate(with_({}), null, { ...facts, done: true })).toMatchObject({ enabled: true, done: true }))
  it('repeats it when the input is true', () =>
    expect(gate(with_({}), true, { ...facts, done: true })).toMatchObject({ enabled: true, done: false }))
  it('stays closed until a migrated release is on all servers, even when asked not to migrate', () => {
    const half = { ...since(), done: true, underWay: true }
    expect(gate(with_({ paths: 'db/' }), null, half)).toMatchObject({ enabled: true, done: true })
    expect(gate(with_({ paths: 'db/' }), false, half)).toMatchObject({ enabled: true, done: true })
  })
  it('refuses a selection without the migration’s server, with the two ways on', () => {
    const m = with_({ roles: 'db' })
    const only = m.servers.filter(s => s.name === 'web1')
    expect(() => gate(m, null, facts, only)).toThrow(/has to run on db1/)
    try {
      gate(m, null, facts, only)
    } catch (error) {
      expect(error).toMatchObject({ hint: expect.stringMatching(/add db1 to servers, or set migrate to false/) })
    }
  })
  it('accepts that selection when the migration has run before', () => {
    const m = with_({ roles: 'db' })
    expect(
      gate(
        m,
        null,
        { ...facts, done: true },
        m.servers.filter(s => s.name === 'web1'),
      ),
    ).toMatchObject({ enabled: true, done: true })
  })
})
