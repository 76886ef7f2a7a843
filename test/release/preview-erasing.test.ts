/** What lies in a preview and is not its own, and who is at it while it is erased. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exitCodes } from '../../src/release/exit-codes.ts'
import { takeLock } from '../../src/release/lock.ts'
import { claiming, moveAway, ofTeardown, sweepPreviews } from '../../src/release/preview.ts'
import { footprint } from '../support/files-below.ts'
import { claimed, deployed, entries, markedDirectory, newPreviews, previewAt, tornDown } from './preview-fixture.ts'
import { dash, newOwner, run, shells } from './shells.ts'

const isRoot = process.getuid?.() === 0

describe('what another user left in a preview', () => {
  it('stays, is named, and is tried again', async () => {
    if (!isRoot) return expect(process.getuid?.()).toBeGreaterThan(0)
    const parent = newPreviews()
    execFileSync('chmod', ['-R', 'a+rwx', join(parent, '..')])
    const [preview, as] = [previewAt(parent), { uid: 65534 }]
    expect((await claimed(dash, preview, 20, newOwner(), as)).code).toBe(0)
    const theirs = join(preview.place.path, 'theirs')
    mkdirSync(theirs, { mode: 0o755 })
    writeFileSync(join(theirs, 'precious'), 'x')
    execFileSync('sh', ['-c', `rm -rf '${preview.place.path}/.deploy-action/lock'`])
    const all = await tornDown(dash, preview, as)
    expect(all.at(-1)?.stdout).toMatch(/^left\t.*\.pr-7\.gone\.[^\t]*\tthis user cannot remove all of it$/m)
    const [rest = ''] = entries(parent)
    expect(existsSync(join(parent, rest, 'theirs/precious'))).toBe(true)
    chownSync(join(parent, rest, 'theirs'), 65534, 65534)
    expect((await run(dash, sweepPreviews(preview.site, preview.place), as)).stdout).toContain('erased')
    expect(entries(parent)).toEqual([])
  })
})

describe('a directory that looks like a preview', () => {
  it('and is another user’s is not moved away, though all in it is ours', async () => {
    if (!isRoot) return expect(process.getuid?.()).toBeGreaterThan(0)
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    markedDirectory(place.path, { application: 'shop', number: 7 })
    execFileSync('chmod', ['-R', 'a+rwx', join(parent, '..')])
    execFileSync('chown', ['-R', '65534:65534', join(place.path, '.deploy-action')])
    const owner = newOwner()
    const ran = await run(dash, ofTeardown(site, place)(owner, takeLock(site, owner)), { uid: 65534 })
    expect(ran).toMatchObject({ code: exitCodes.previewRefused, stdout: '' })
    expect(ran.stderr).toContain('it is not a directory of this user')
  })

  it('and has its marker by a link is not erased', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    markedDirectory(join(parent, 'other'), { application: 'shop', number: 7 })
    const rest = join(parent, '.pr-7.gone.x')
    mkdirSync(rest)
    writeFileSync(join(rest, 'precious'), 'x')
    symlinkSync('../other/.deploy-action', join(rest, '.deploy-action'))
    const ran = await run(dash, sweepPreviews(site, place))
    expect(ran.stdout).toContain('it has no marker of this application and pull request')
    expect([entries(rest), entries(join(parent, 'other'))]).toEqual([
      ['.deploy-action', 'precious'],
      ['.deploy-action', 'precious'],
    ])
  })

  it('and is a link beside the previews is not gone into', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    markedDirectory(join(parent, 'other'), { application: 'shop', number: 7 })
    symlinkSync('other', join(parent, '.pr-7.gone.x'))
    await run(dash, sweepPreviews(site, place))
    expect(entries(join(parent, 'other'))).toEqual(['.deploy-action', 'precious'])
  })
})

describe('a mount inside of a preview', () => {
  const mounting = (script: string) => {
    const asUser = isRoot ? '' : '--user --map-current-user --keep-caps'
    return `unshare ${asUser} --mount sh -c '${script.replaceAll("'", "'\\''")}'`
  }

  // The same file system has the same device number: neither find nor rm could tell by that.
  it.each(['bind', 'tmpfs'])('of the kind %s: nothing is removed, in it or beside it', async kind => {
    const parent = newPreviews()
    const preview = previewAt(parent)
    await deployed(dash, preview)
    const [data, precious] = [join(preview.place.path, 'data'), join(parent, '../precious')]
    mkdirSync(data)
    mkdirSync(precious)
    writeFileSync(join(precious, 'file'), 'x')
    const owner = newOwner()
    const { site, place } = preview
    const mount =
      kind === 'bind' ? `mount --bind '${precious}' '${data}'` : `mount -t tmpfs tmpfs '${data}'; : >'${data}/file'`
    const taking = `(${ofTeardown(site, place)(owner, takeLock(site, owner))}\n)`
    const ran = await run(
      dash,
      mounting(`${mount}\n${taking}\nset +e\n(${moveAway(site, owner, place)})\necho "code $?"; ls '${data}'`),
    )
    expect(`${ran.stdout}${ran.stderr}`).toContain('something is mounted in it')
    expect(ran.stdout).toContain(`code ${exitCodes.previewRefused}`)
    expect(ran.stdout.trim()).toMatch(/file$/)
    expect(readdirSync(precious)).toEqual(['file'])
    expect(existsSync(join(place.path, 'releases/one/index.html'))).toBe(true)
  })

  it('that comes after it was moved away is not gone into', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    const rest = join(parent, '.pr-7.gone.x')
    markedDirectory(rest, { application: 'shop', number: 7 })
    mkdirSync(join(rest, 'data'))
    const precious = join(parent, '../precious')
    mkdirSync(precious)
    writeFileSync(join(precious, 'file'), 'x')
    const ran = await run(dash, mounting(`mount --bind '${precious}' '${rest}/data'\n${sweepPreviews(site, place)}`))
    expect(ran.stdout).toContain('something is mounted in it')
    expect(readdirSync(precious)).toEqual(['file'])
  })
})

describe('links in a preview', () => {
  it.each(shells)('lead nothing to be erased elsewhere, under $name', async shell => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    const [rest, precious] = [join(parent, '.pr-7.gone.x'), join(parent, '../precious')]
    markedDirectory(rest, { application: 'shop', number: 7 })
    mkdirSync(join(precious, 'sub'), { recursive: true })
    writeFileSync(join(precious, 'sub/file'), 'x')
    chmodSync(precious, 0o500)
    mkdirSync(join(rest, 'closed/below'), { recursive: true })
    for (const link of ['link', 'closed/link', 'closed/below/-rf', '.deploy-action/link'])
      symlinkSync(precious, join(rest, link))
    symlinkSync(join(precious, 'sub/file'), join(rest, '.deploy-action/lock'))
    chmodSync(join(rest, 'closed'), 0o500)
    const before = [statSync(precious).mode, ...footprint(precious)]
    expect((await run(shell, sweepPreviews(site, place))).stdout).toContain('erased')
    expect(entries(parent)).toEqual([])
    expect([statSync(precious).mode, ...footprint(precious)]).toEqual(before)
    chmodSync(precious, 0o700)
  })
})

describe('who changes the place between two scripts', () => {
  it('is seen by the next: each asks every rule itself', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    await deployed(dash, { site, place })
    const owner = newOwner()
    expect((await run(dash, ofTeardown(site, place)(owner, takeLock(site, owner)))).code).toBe(0)
    renameSync(place.path, join(parent, 'moved'))
    symlinkSync('moved', place.path)
    const ran = await run(dash, moveAway(site, owner, place))
    expect(ran.code).toBe(exitCodes.previewRefused)
    expect(entries(parent)).toEqual(['moved', 'pr-7'])
  })

  it('by removing it leaves no directory behind that the lock was to be taken in', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    await deployed(dash, { site, place })
    const owner = newOwner()
    const taking = `mv '${place.path}' '${parent}/.pr-7.gone.x'\n${takeLock(site, owner)}`
    const ran = await run(dash, ofTeardown(site, place)(owner, taking))
    expect(ran).toMatchObject({ code: exitCodes.previewRefused, stdout: '' })
    expect(ran.stderr).toContain('it was removed just now')
    expect(entries(parent)).toEqual(['.pr-7.gone.x'])
  })

  it('with a claim for another’s directory gets none', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    const owner = newOwner()
    // The directory of a stranger appears just before the lock is taken.
    const stranger = `mkdir -p '${place.path}.away'; mv '${place.path}' '${place.path}.away/x'; mkdir '${place.path}'; : >'${place.path}/precious'`
    const ran = await run(dash, claiming(site, place, 20)(owner, `${stranger}\n${takeLock(site, owner)}`))
    expect(ran.code).toBe(exitCodes.previewRefused)
    expect(existsSync(join(place.path, 'precious'))).toBe(true)
    expect(existsSync(join(place.path, '.deploy-action/preview'))).toBe(false)
  })
})
