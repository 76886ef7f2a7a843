import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { describe, expect, it } from 'vitest'
import { exitCodes, LOCK_LOST, releaseError } from '../../src/release/exit-codes.ts'
import { parseJournal } from '../../src/release/journal.ts'
import { discardStaging, mark, parseStageBegin, stageBegin, stageCommit, unpack } from '../../src/release/stage.ts'
import { waitUntil } from '../support/wait-until.ts'
import { brought, locked, packed, releaseNumber } from './a-release.ts'
import { lockEntries, newOwner, ok, run, shells } from './shells.ts'

const id = releaseNumber(1)
const pause = () => new Promise(resolve => setTimeout(resolve, 30))

describe.each(shells)('staging under $name', shell => {
  it('brings a release to its place in one rename, and marks it when it is prepared', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    expect(parseStageBegin(await ok(shell, stageBegin(site, owner, id)))).toBe('stage')
    await ok(shell, unpack(site, owner, id), { input: packed({ 'a b/c': 'text' }) })
    expect(existsSync(at('releases', id))).toBe(false)
    await ok(shell, stageCommit(site, owner, id, []))
    expect(readFileSync(at('releases', id, 'a b/c'), 'utf8')).toBe('text')
    expect(readdirSync(at('releases'))).toEqual([id])
    await ok(shell, mark(site, owner, id))
    expect(readdirSync(at('releases', id))).toEqual(['a b']) // no mark in the release itself
    expect(parseStageBegin(await ok(shell, stageBegin(site, owner, id)))).toBe('marked')
    const types = parseJournal(readFileSync(at('.deploy-action/journal'), 'utf8')).entries.map(e => e.type)
    expect(types).toEqual(['staging', 'staged', 'prepared'])
  })

  it('makes anew what was half staged or never prepared, also with directories closed to writing', async () => {
    const { site, owner, at } = await locked(shell)
    for (const left of [`releases/.staging.${id}/x/y`, `releases/${id}/x/y`, `releases/.gone.${id}.12/x`])
      mkdirSync(at(left), { recursive: true })
    for (const closed of [`releases/${id}/x`, `releases/.staging.${id}/x`]) chmodSync(at(closed), 0o555)
    expect(parseStageBegin(await ok(shell, stageBegin(site, owner, id)))).toBe('stage')
    expect(readdirSync(at('releases'))).toEqual([`.staging.${id}`])
    expect(readdirSync(at('releases', `.staging.${id}`))).toEqual([])
  })

  it('stages anew a release whose mark is there and whose directory is not', async () => {
    const place = await locked(shell)
    await brought(shell, place, id)
    await ok(shell, `rm -rf '${place.at('releases', id)}'`)
    expect(parseStageBegin(await ok(shell, stageBegin(place.site, place.owner, id)))).toBe('stage')
  })

  it('leaves what current points to, marked or not, and says what to do', async () => {
    const { site, owner, at } = await locked(shell)
    mkdirSync(at('releases', id), { recursive: true })
    writeFileSync(at('releases', id, 'serving'), '')
    symlinkSync(`releases/${id}`, at('current'))
    const { code, stderr } = await run(shell, stageBegin(site, owner, id))
    expect(code).toBe(exitCodes.unmarkedIsCurrent)
    const commands = stderr.split('\n').filter(l => l.startsWith('  '))
    expect(await ok(shell, discardStaging(site, owner, id))).toBe('kept\n')
    expect(existsSync(at('current/serving'))).toBe(true)
    await ok(shell, commands.join('\n'))
    expect(parseStageBegin(await ok(shell, stageBegin(site, owner, id)))).toBe('stage')
    expect(existsSync(at('current/serving'))).toBe(true)
  })

  it('removes what was staged, but nothing that is marked', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, releaseNumber(2))
    await ok(shell, stageBegin(site, owner, id))
    await ok(shell, unpack(site, owner, id), { input: packed({ a: '' }) })
    expect(await ok(shell, discardStaging(site, owner, id))).toBe('removed\n')
    await ok(shell, stageBegin(site, owner, id))
    await ok(shell, stageCommit(site, owner, id, []))
    expect(await ok(shell, discardStaging(site, owner, id))).toBe('removed\n')
    expect(await ok(shell, discardStaging(site, owner, releaseNumber(2)))).toBe('kept\n')
    expect(readdirSync(at('releases'))).toEqual([releaseNumber(2)])
  })

  it('unpacks megabytes as they are', async () => {
    const { site, owner, at } = await locked(shell)
    const bytes = randomBytes(3_000_000).toString('base64')
    await ok(shell, stageBegin(site, owner, id))
    await ok(shell, unpack(site, owner, id), { input: packed({ big: bytes, small: 'x' }) })
    expect(readFileSync(at(`releases/.staging.${id}/big`), 'utf8') === bytes).toBe(true)
    expect(readdirSync(at('.deploy-action')).filter(n => n.startsWith('upload'))).toEqual([])
  })

  it('renews the lock by what arrives, and only by that', { timeout: 120_000 }, async () => {
    const { site, owner, at } = await locked(shell)
    await ok(shell, stageBegin(site, owner, id))
    const whole = packed({ big: randomBytes(300_000).toString('hex') })
    const [program, ...words] = shell.words
    const child = spawn(program, [...words, '-c', unpack(site, owner, id)], {
      detached: true,
      env: { PATH: shell.path, HOME: '/nonexistent' },
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    const ended = new Promise(resolve => child.on('close', resolve))
    const entry = () => lockEntries(site)[0] ?? ''
    const over = () => entry().endsWith('.1')
    // It waits for what arrives.
    await waitUntil('it is there', () => readdirSync(at('.deploy-action')).some(n => n.startsWith('upload')))
    renameSync(at('.deploy-action/lock', entry()), at('.deploy-action/lock', entry().replace(/\d+$/, '1')))
    await pause()
    expect(over()).toBe(true)
    let sent = 0
    await waitUntil('the lock is renewed', () => {
      if (!over()) return true
      child.stdin.write(whole.subarray(sent, Math.min(sent + 100, whole.length - 100)))
      sent += 100
      return false
    })
    child.stdin.end()
    expect(await ended).not.toBe(0) // cut off: it was never sent to its end
  })

  it('fails when what arrives is cut off, broken or missing', async () => {
    const { site, owner } = await locked(shell)
    const whole = packed({ big: randomBytes(200_000).toString('hex') })
    const broken = Buffer.from(whole)
    broken.fill(0xff, 1000, 1100)
    for (const input of [whole.subarray(0, whole.length - 20), broken, Buffer.alloc(0)]) {
      await ok(shell, stageBegin(site, owner, id))
      expect((await run(shell, unpack(site, owner, id), { input })).code).toBe(exitCodes.unpackFailed)
    }
  })

  it('does nothing without the lock', async () => {
    const { site, at } = await locked(shell)
    const stranger = newOwner()
    for (const script of [
      stageBegin(site, stranger, id),
      stageCommit(site, stranger, id, []),
      mark(site, stranger, id),
      discardStaging(site, stranger, id),
    ])
      expect((await run(shell, script)).code).toBe(LOCK_LOST)
    expect((await run(shell, unpack(site, stranger, id), { input: packed({ a: '' }) })).code).toBe(LOCK_LOST)
    expect(existsSync(at('releases'))).toBe(false)
  })
})

describe.each(shells)('what is shared under $name', shell => {
  it('is linked in place of what the release ships, at any depth', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    mkdirSync(at('shared/config'), { recursive: true })
    writeFileSync(at('shared/.env'), 'secret')
    writeFileSync(at("shared/config/it's me.yml"), 'shared')
    await ok(shell, stageBegin(site, owner, id))
    const input = packed({ 'log/shipped': 'gone', "config/it's me.yml": 'shipped', 'config/kept.yml': 'kept' })
    await ok(shell, unpack(site, owner, id), { input })
    const shared = ['log/', '.env', "config/it's me.yml", 'public/assets/old/']
    await ok(shell, stageCommit(site, owner, id, shared))
    const inside = (path: string) => at('releases', id, path)
    expect(readlinkSync(inside('log'))).toBe('../../shared/log')
    expect(readdirSync(inside('log'))).toEqual([])
    expect(readFileSync(inside('.env'), 'utf8')).toBe('secret')
    expect(readFileSync(inside("config/it's me.yml"), 'utf8')).toBe('shared')
    expect(readFileSync(inside('config/kept.yml'), 'utf8')).toBe('kept')
    expect(statSync(inside('public/assets/old')).isDirectory()).toBe(true)
    expect(readlinkSync(inside('public/assets/old'))).toBe('../../../../shared/public/assets/old')
  })

  it('file that is missing fails, and nothing comes to its place', async () => {
    const { site, owner, at } = await locked(shell)
    await ok(shell, stageBegin(site, owner, id))
    const { code, stderr } = await run(shell, stageCommit(site, owner, id, ['.env']))
    expect(code).toBe(exitCodes.sharedMissing)
    expect(releaseError(code ?? 0, stderr).message).toContain('shared/.env')
    expect(existsSync(at('releases', id))).toBe(false)
  })

  it('is not linked through a link of the release', async () => {
    const { site, owner, at } = await locked(shell)
    await ok(shell, stageBegin(site, owner, id))
    mkdirSync(at('elsewhere'))
    symlinkSync('../../elsewhere', at(`releases/.staging.${id}/config`))
    const { code, stderr } = await run(shell, stageCommit(site, owner, id, ['config/log/']))
    expect([code, readdirSync(at('elsewhere'))]).toEqual([exitCodes.sharedMissing, []])
    expect(stderr).toContain('has a link at config')
    expect(lstatSync(at(`releases/.staging.${id}/config`)).isSymbolicLink()).toBe(true)
  })
})

describe('names that could lead elsewhere', () => {
  const site = { application: 'shop', environment: null, releasePath: '/srv/shop' }
  const owner = newOwner()

  it.each(['../x', '/etc', 'a/../b', 'a//b', '', '/', '.', 'new\nline'])('shared %j is refused', shared => {
    expect(() => stageCommit(site, owner, id, [shared])).toThrow(/shared/)
  })
  it('one shared place inside another is refused', () => {
    expect(() => stageCommit(site, owner, id, ['log/', 'log/app/'])).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('lies in log') }),
    )
  })
  it.each(['', '..', '.', 'x', `${id}/..`, `${id}\n`, '../../etc'])('release %j is refused', release => {
    expect(() => stageBegin(site, owner, release)).toThrow(/release/)
  })
  it.each(['srv/shop', '/srv/new\nline', '/srv/../etc', '/srv//shop', '/srv/./shop', '/srv/shop/', '/', '/a\0b'])(
    'release.path %j is refused',
    releasePath => {
      expect(() => stageBegin({ ...site, releasePath }, owner, id)).toThrow(/release\.path/)
    },
  )
  it.each(['', 'a/b', '..', "it's"])('application %j is refused', application => {
    expect(() => stageBegin({ ...site, application }, owner, id)).toThrow(/application/)
  })
  it.each(['', '../x', '.hidden', 'a b'])('environment %j is refused', environment => {
    expect(() => stageBegin({ ...site, environment }, owner, id)).toThrow(/environment/)
  })
  it.each(['', 'short', 'a/b/c/d/e/f/g/h/i/j', "it's-a-token-with-a-quote", 'token.with.dots.inside'])(
    'the token %j is refused',
    token => {
      expect(() => stageBegin(site, { token }, id)).toThrow(/token/)
    },
  )
})
