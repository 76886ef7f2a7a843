import { existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exitCodes } from '../../src/release/exit-codes.ts'
import { listPreviews, parseErased, parseList, sweepPreviews, unclaim } from '../../src/release/preview.ts'
import { filesBelow, footprint } from '../support/files-below.ts'
import {
  claimed,
  deployed,
  entries,
  markedDirectory,
  newPreviews,
  previewAt,
  said,
  tornDown,
} from './preview-fixture.ts'
import { dash, newOwner, ok, run, shells } from './shells.ts'

describe.each(shells)('a preview under $name', shell => {
  it('comes with its marker, and goes without a trace', async () => {
    const parent = newPreviews()
    const preview = previewAt(parent)
    await deployed(shell, preview)
    expect(readFileSync(join(preview.place.path, '.deploy-action/preview'), 'utf8')).toBe(
      '{"application":"shop","number":7,"repository":"octo/shop"}\n',
    )
    const all = await tornDown(shell, preview)
    expect(said(all)).toContain('erased\t')
    expect(all.map(r => r.code)).toEqual([0, 0, 0, 0])
    expect(entries(parent)).toEqual([])
  })

  it('takes an empty directory for its own, and nobody else’s', async () => {
    const parent = newPreviews()
    mkdirSync(join(parent, 'pr-7'))
    expect((await claimed(shell, previewAt(parent))).code).toBe(0)
    mkdirSync(join(parent, 'pr-8'))
    writeFileSync(join(parent, 'pr-8/precious'), 'x')
    const before = footprint(parent)
    const refused = await claimed(shell, previewAt(parent, 8))
    expect(refused).toMatchObject({ code: exitCodes.previewRefused, stdout: '' })
    expect(refused.stderr).toContain('it has no marker of this application and pull request')
    expect(footprint(parent)).toEqual(before)
  })

  it('over the limit is refused with the others’ numbers, and leaves nothing; one that is there is not', async () => {
    const parent = newPreviews()
    for (const number of [3, 12]) await deployed(shell, previewAt(parent, number))
    // Of others no one is counted.
    markedDirectory(join(parent, 'pr-4'), { application: 'blog', number: 4 })
    markedDirectory(join(parent, 'pr-5'), { application: 'shop', number: 6 })
    mkdirSync(join(parent, 'pr-6'))
    const before = footprint(parent)
    const refused = await claimed(shell, previewAt(parent, 9), 2)
    expect(refused.code).toBe(exitCodes.previewsFull)
    expect(refused.stderr).toContain('there are 2 previews of shop already, and 2 may be')
    expect(refused.stderr).toMatch(/pull requests (3, 12|12, 3)/)
    expect(footprint(parent)).toEqual(before)
    expect((await claimed(shell, previewAt(parent, 12), 2)).code).toBe(0)
    expect((await claimed(shell, previewAt(parent, 9), 3)).code).toBe(0)
  })

  it('whose deployment never began leaves nothing', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    const owner = newOwner()
    await claimed(shell, { site, place }, 20, owner)
    // Not while another has its lock.
    await ok(shell, unclaim(site, newOwner(), place))
    expect(entries(parent)).toEqual(['pr-7'])
    await ok(shell, unclaim(site, owner, place))
    expect(entries(parent)).toEqual([])
    await deployed(shell, { site, place })
    const before = entries(parent)
    await ok(shell, unclaim(site, newOwner(), place))
    expect(entries(parent)).toEqual(before)
    expect(existsSync(join(place.path, 'releases/one/index.html'))).toBe(true)
  })

  it('that was moved away and not erased is erased by the next, and nothing else is', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    const mine = { application: 'shop', number: 7 }
    for (const name of ['.pr-7.gone.token', '.pr-7.new.token', '.pr-77.gone.token', 'pr-70'])
      markedDirectory(join(parent, name), mine)
    markedDirectory(join(parent, '.pr-7.gone.other'), { application: 'blog', number: 7 })
    for (const name of ['.pr-7.gone.stump', '.pr-7.new.stale', '.pr-7.new.young'])
      mkdirSync(join(parent, name, '.deploy-action'), { recursive: true })
    const before = Date.now() / 1000 - 600
    utimesSync(join(parent, '.pr-7.new.stale'), before, before)
    const out = await ok(shell, sweepPreviews(site, place))
    // A claim without its marker may be another application's that is being made.
    expect(entries(parent)).toEqual(['.pr-7.gone.other', '.pr-7.new.young', '.pr-77.gone.token', 'pr-70'])
    expect(parseErased(out)).toMatchObject({
      left: [],
      foreign: [{ path: expect.stringMatching(/gone\.other$/) }, { path: expect.stringMatching(/new\.young$/) }],
    })
    expect(out.match(/^erased/gm)).toHaveLength(2)
  })

  it('leaves its marker, when that is asked for, and only of what was removed', async () => {
    const parent = newPreviews()
    const { site, place } = previewAt(parent)
    for (const name of ['.pr-7.gone.token', '.pr-7.new.token'])
      markedDirectory(join(parent, name), { application: 'shop', number: 7 })
    mkdirSync(join(parent, '.pr-7.gone.token/.deploy-action/lock'))
    for (let i = 0; i < 2; i++) {
      expect(parseErased(await ok(shell, sweepPreviews(site, place, 'markers')))?.erased).toContain(
        join(parent, '.pr-7.gone.token'),
      )
      expect(filesBelow(parent)).toEqual([
        '.pr-7.gone.token',
        '.pr-7.gone.token/.deploy-action',
        '.pr-7.gone.token/.deploy-action/preview',
      ])
    }
    expect(parseErased(await ok(shell, sweepPreviews(site, place)))?.erased).toHaveLength(1)
    expect(entries(parent)).toEqual([])
  })

  it('of another repository is neither deployed over nor removed, where both are known', async () => {
    const parent = newPreviews()
    const own = previewAt(parent)
    const [other, nobody] = ['octo/other', null].map(repository => previewAt(parent, 7, { repository }))
    if (other === undefined || nobody === undefined) throw new Error('there are two')
    await deployed(shell, own)
    const before = footprint(parent)
    const refused = await claimed(shell, other)
    expect(refused).toMatchObject({ code: exitCodes.previewRefused, stdout: '' })
    expect(refused.stderr).toContain("says that it is another repository's")
    expect(said(await tornDown(shell, other))).toContain("says that it is another repository's")
    markedDirectory(join(parent, '.pr-7.gone.x'), { application: 'shop', number: 7 })
    expect(parseErased(await ok(shell, sweepPreviews(other.site, other.place)))).toMatchObject({ erased: [], left: [] })
    rmSync(join(parent, '.pr-7.gone.x'), { recursive: true })
    expect(footprint(parent)).toEqual(before)
    expect((await tornDown(shell, nobody)).map(r => r.code)).toEqual([0, 0, 0, 0])
    await deployed(shell, nobody)
    expect((await tornDown(shell, other)).map(r => r.code)).toEqual([0, 0, 0, 0])
    expect(entries(parent)).toEqual([])
  })

  it('is listed by its marker, with what is left of others', async () => {
    const parent = newPreviews()
    for (const number of [3, 12]) await deployed(shell, previewAt(parent, number))
    markedDirectory(join(parent, 'pr-4'), { application: 'blog', number: 4 })
    markedDirectory(join(parent, 'pr-5'), 'not JSON')
    markedDirectory(join(parent, 'pr-007'), { application: 'shop', number: 7 })
    markedDirectory(join(parent, '.pr-8.gone.x'), { application: 'shop', number: 8 })
    markedDirectory(join(parent, '.pr-9.gone.x'), { application: 'blog', number: 9 })
    markedDirectory(join(parent, '.pr-9.new.x'), { application: 'shop', number: 8 })
    const { site, place } = previewAt(parent, 1)
    const list = parseList(await ok(shell, listPreviews(site, place)), 'shop')
    expect(list?.previews.map(p => p.number).sort((a, b) => a - b)).toEqual([3, 12])
    expect(list?.previews[0]?.repository).toBe('octo/shop')
    expect(list?.rests).toEqual([8])
  })

  it('goes on going, wherever it was cut off', async () => {
    const parent = newPreviews()
    const preview = previewAt(parent)
    await deployed(shell, preview)
    markedDirectory(join(parent, '.pr-7.gone.before'), { application: 'shop', number: 7 })
    rmSync(join(preview.place.path, '.deploy-action/lock'), { recursive: true })
    expect((await tornDown(shell, preview)).at(-1)?.code).toBe(0)
    expect(entries(parent)).toEqual([])
    expect(said(await tornDown(shell, preview).then(all => all.slice(0, 1)))).toContain('looked\tnothing')
  })

  it('with directories that nobody may write is gone all the same', async () => {
    const parent = newPreviews()
    const preview = previewAt(parent)
    await deployed(shell, preview)
    await run(shell, `cd '${preview.place.path}' && mkdir -p a/b/c && : >a/b/c/d && chmod 000 a/b/c && chmod 500 a/b a`)
    expect((await tornDown(shell, preview)).at(-1)?.stdout).toContain('erased')
    expect(entries(parent)).toEqual([])
  })
})

describe('previews at the limit', () => {
  it('are never more than it, however many come at once, and who is refused leaves nothing', {
    timeout: 60_000,
  }, async () => {
    for (let round = 0; round < 4; round++) {
      const parent = newPreviews()
      await deployed(dash, previewAt(parent, 1))
      const all = await Promise.all([11, 12, 13, 14, 15, 16].map(n => claimed(dash, previewAt(parent, n), 3)))
      const stayed = entries(parent).filter(name => name.startsWith('pr-'))
      expect(stayed.length).toBeLessThanOrEqual(3)
      expect(stayed.length).toBeGreaterThan(1)
      expect(all.filter(r => r.code === 0)).toHaveLength(stayed.length - 1)
      expect(all.every(r => [0, exitCodes.previewsFull].includes(r.code ?? -1))).toBe(true)
      expect(entries(parent).filter(name => name.startsWith('.'))).toEqual([])
    }
  })
})
