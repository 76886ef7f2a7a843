import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { recordMigration } from '../../src/release/history.ts'
import { journalState } from '../../src/release/journal.ts'
import { openJournal } from '../../src/release/open-journal.ts'
import { migrationTools, parseProbe, probe, uploadTools } from '../../src/release/probe.ts'
import { switchTo } from '../../src/release/switch.ts'
import { brought, locked, releaseNumber } from './a-release.ts'
import { newSite, ok, type Shell, shells, siteAt, temporary } from './shells.ts'

const id = releaseNumber(1)
const needs = { tools: [], shells: [], shared: [] }
type Site = Parameters<typeof probe>[0]
const look = async (shell: Shell, site: Site, more: Partial<Parameters<typeof probe>[1]> = {}, env = {}) =>
  parseProbe(await ok(shell, probe(site, { ...needs, ...more }), { env }))

const footprint = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' }).map(path => {
    const { mode, size, mtimeMs, ctimeMs } = statSync(join(directory, path), { throwIfNoEntry: false }) ?? { mode: 0 }
    return `${path} ${mode} ${size} ${mtimeMs} ${ctimeMs}`
  })

describe.each(shells)('a look at a server under $name', shell => {
  it('of one nobody deployed to finds nothing wrong and nothing there', async () => {
    const site = siteAt(join(temporary(), 'not/yet/there'))
    const found = await look(shell, site, { tools: [...uploadTools, ...migrationTools], shells: ['bash', 'sh'] })
    expect(found).toMatchObject({
      current: null,
      currentIs: 'none',
      dangling: false,
      marks: [],
      history: [],
      migrated: [],
      migrations: [],
      lock: { state: 'none' },
      missingShared: [],
      unwritable: [],
    })
    expect(found.journal.entries).toEqual([])
    expect(found.missingTools).toEqual(shell.name === 'busybox' ? ['bash'] : [])
    expect(found.boot).toMatch(/^[0-9a-f-]{36}$/)
    expect(found.uptime).toBeGreaterThan(0)
    expect(found.freeBytes).toBeGreaterThan(1_000_000)
  })

  it('tells what a deployment left, and changes nothing', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, id)
    await ok(shell, switchTo(site, owner, id))
    const opened = { deployment: 'x', run: null, release: id, previous: null, strategy: 'serial', commit: null }
    await ok(shell, openJournal(site, owner, opened))
    const record = { release: id, commit: 'abc', code: 0, run: null }
    await ok(shell, recordMigration(site, owner, record))
    const before = footprint(at())
    const found = await look(shell, site)
    expect(footprint(at())).toEqual(before)
    expect(found).toMatchObject({
      current: id,
      currentIs: 'link',
      marks: [{ id, result: 'prepared', order: 1 }],
      migrated: [record],
      lock: { state: 'held', holder: owner.info },
    })
    expect(journalState(found.journal.entries)).toMatchObject({ open: true, last: { type: 'migrated', code: 0 } })
  })

  it('tells what current is', async () => {
    const site = newSite()
    const current = join(site.releasePath, 'current')
    mkdirSync(join(site.releasePath, 'releases', id), { recursive: true })
    const as = async (make: () => void) => {
      rmSync(current, { recursive: true, force: true })
      make()
      const { current: link, currentIs, dangling } = await look(shell, site)
      return [link, currentIs, dangling]
    }
    expect(await as(() => symlinkSync(`releases/${id}`, current))).toEqual([id, 'link', false])
    expect(await as(() => symlinkSync(join(site.releasePath, 'releases', id), current))).toEqual([id, 'link', false])
    expect(await as(() => symlinkSync('/', current))).toEqual(['/', 'link', false])
    expect(await as(() => symlinkSync('releases/gone', current))).toEqual(['releases/gone', 'link', true])
    expect(await as(() => mkdirSync(current))).toEqual([null, 'directory', false])
    expect(await as(() => writeFileSync(current, ''))).toEqual([null, 'other', false])
    expect(await as(() => symlinkSync('a\nmark\tb', current))).toEqual([null, 'other', true])
  })

  it('names tools and shared files that are missing', async () => {
    const site = newSite()
    mkdirSync(join(site.releasePath, 'shared'))
    writeFileSync(join(site.releasePath, "shared/it's"), '')
    const shared = ["it's", '.env', 'config/a b.yml', 'log/']
    const found = await look(shell, site, { tools: ['no-such-tool', 'tar'], shared })
    expect(found.missingShared).toEqual(['.env', 'config/a b.yml'])
    expect(found.missingTools).toEqual(['no-such-tool'])
  })

  it('names a directory that is none, or that the user may not write', async () => {
    const site = newSite()
    writeFileSync(join(site.releasePath, 'releases'), '')
    expect((await look(shell, site)).unwritable).toEqual([join(site.releasePath, 'releases')])
    const top = temporary()
    chmodSync(top, 0o755)
    const closed = siteAt(join(top, 'closed/shop'))
    mkdirSync(closed.releasePath ?? '', { recursive: true })
    chmodSync(closed.releasePath ?? '', 0o555)
    const user = process.getuid?.() === 0 ? { uid: 65534 } : {}
    const found = parseProbe(await ok(shell, probe(closed, needs), user))
    expect(found.unwritable).toEqual([closed.releasePath])
  })

  it('of a deployment of steps alone looks at the home directory', async () => {
    const home = temporary()
    const found = await look(shell, { application: 'shop', environment: 'a', releasePath: null }, {}, { HOME: home })
    expect(found).toMatchObject({ currentIs: 'none', unwritable: [], lock: { state: 'none' } })
  })

  it('is cut where a journal is without end', async () => {
    const { site, owner, at } = await locked(shell)
    const opened = { deployment: 'x', run: null, release: id, previous: null, strategy: 'serial', commit: null }
    await ok(shell, openJournal(site, owner, opened))
    const whole = execFileSync('cat', [at('.deploy-action/journal')], { encoding: 'utf8' })
    writeFileSync(at('.deploy-action/journal'), whole.repeat(3000))
    const printed = await ok(shell, probe(site, needs))
    expect(printed.length).toBeLessThan(400_000)
    expect(parseProbe(printed).journal.entries.length).toBeGreaterThan(500)
  })
})

it('an answer that is not whole is an error with a hint, never a guess', () => {
  for (const text of ['', 'lock\tfree\n', 'hello\nboot\tx\n', 'lock\tx\nprobed\tyes\n'])
    expect(() => parseProbe(text)).toThrow(expect.objectContaining({ name: 'PreflightError', hint: expect.anything() }))
})
