/** What must never be deleted, and what somebody might do so that it is. Each is refused with a reason, and not a file has changed. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exitCodes } from '../../src/release/exit-codes.ts'
import { takeLock } from '../../src/release/lock.ts'
import { lookAtPreview, moveAway, ofTeardown, sweepPreviews } from '../../src/release/preview.ts'
import { footprint } from '../support/files-below.ts'
import { claimed, markedDirectory, newPreviews, type Preview, previewAt, said } from './preview-fixture.ts'
import { newOwner, type RunWith, run, type Shell, shells } from './shells.ts'

/** Every script of a teardown, each by itself: no one of them leans on one before it. Locks come and go; everything else counts. */
async function attacked(shell: Shell, { site, place }: Preview, more: RunWith = {}) {
  const owner = newOwner()
  return [
    await run(shell, lookAtPreview(site, place), more),
    await run(shell, ofTeardown(site, place)(owner, takeLock(site, owner)), more),
    await run(shell, moveAway(site, owner, place), more),
    await run(shell, sweepPreviews(site, place), more),
  ]
}

interface Attack {
  readonly name: string
  /** Prepares a directory; gives the preview that is to be removed. */
  readonly lay: (parent: string) => Preview | Promise<Preview>
  readonly says: string | RegExp
  readonly home?: (parent: string) => string
}

const good = (parent: string, more: Parameters<typeof previewAt>[2] = {}): Preview => {
  const preview = previewAt(parent, 7, more)
  markedDirectory(preview.place.path, { application: 'shop', number: 7 })
  return preview
}
const other = (path: string) => ({ others: [{ environment: 'production', path }] })

const attacks: readonly Attack[] = [
  {
    name: 'the path is a link to another directory',
    lay(parent) {
      markedDirectory(join(parent, 'precious'), { application: 'shop', number: 7 })
      symlinkSync(join(parent, 'precious'), join(parent, 'pr-7'))
      return previewAt(parent)
    },
    says: 'it is a link',
  },
  {
    name: 'a link is among its parents',
    lay(parent) {
      mkdirSync(join(parent, 'real'))
      good(join(parent, 'real'))
      symlinkSync('real', join(parent, 'previews'))
      return previewAt(join(parent, 'previews'))
    },
    says: 'a part of it is a link',
  },
  {
    name: 'the marker is of another application',
    lay(parent) {
      markedDirectory(join(parent, 'pr-7'), { application: 'blog', number: 7 })
      return previewAt(parent)
    },
    says: 'it has no marker of this application and pull request',
  },
  {
    name: 'the marker is of another pull request',
    lay(parent) {
      markedDirectory(join(parent, 'pr-7'), { application: 'shop', number: 77 })
      return previewAt(parent)
    },
    says: 'it has no marker of this application and pull request',
  },
  {
    name: 'there is no marker',
    lay(parent) {
      mkdirSync(join(parent, 'pr-7/.deploy-action'), { recursive: true })
      writeFileSync(join(parent, 'pr-7/precious'), 'x')
      return previewAt(parent)
    },
    says: 'it has no marker of this application and pull request',
  },
  {
    name: 'the marker is a link to a good one',
    lay(parent) {
      markedDirectory(join(parent, 'pr-7'), '')
      rmSync(join(parent, 'pr-7/.deploy-action/preview'))
      markedDirectory(join(parent, 'other'), { application: 'shop', number: 7 })
      symlinkSync('../../other/.deploy-action/preview', join(parent, 'pr-7/.deploy-action/preview'))
      return previewAt(parent)
    },
    says: 'it has no marker of this application and pull request',
  },
  {
    name: 'the marker’s directory is a link to a good one',
    lay(parent) {
      markedDirectory(join(parent, 'other'), { application: 'shop', number: 7 })
      mkdirSync(join(parent, 'pr-7'))
      writeFileSync(join(parent, 'pr-7/precious'), 'x')
      symlinkSync('../other/.deploy-action', join(parent, 'pr-7/.deploy-action'))
      return previewAt(parent)
    },
    says: /is a link, which is not followed|it has no marker/,
  },
  {
    name: 'it is the home directory',
    lay: good,
    home: parent => join(parent, 'pr-7'),
    says: 'it is the home directory',
  },
  {
    name: 'it lies in the home directory',
    lay: good,
    home: parent => parent,
    says: /it is the home directory .*, or lies in it/,
  },
  {
    name: 'it holds the home directory',
    lay: good,
    home: parent => join(parent, 'pr-7/home/deploy'),
    says: 'it holds the home directory',
  },
  {
    name: 'the home directory is it by a link',
    lay(parent) {
      symlinkSync('pr-7', join(parent, 'home'))
      return good(parent)
    },
    home: parent => join(parent, 'home'),
    says: 'it is the home directory',
  },
  {
    name: 'it is an environment’s path',
    lay: parent => good(parent, other(join(parent, 'pr-7'))),
    says: 'it is the path of production',
  },
  {
    name: 'it lies in an environment’s path',
    lay: parent => good(parent, other(parent)),
    says: /it is the path of production .*, or lies in it/,
  },
  {
    name: 'it holds an environment’s path',
    lay: parent => good(parent, other(join(parent, 'pr-7/site'))),
    says: 'it holds the path of production',
  },
  {
    name: 'an environment’s path leads to it by a link',
    lay(parent) {
      symlinkSync('pr-7', join(parent, 'production'))
      return good(parent, other(join(parent, 'production')))
    },
    says: 'it is the path of production',
  },
  {
    name: 'an environment’s path leads into it by a link',
    lay(parent) {
      const preview = good(parent, other(join(parent, 'production')))
      mkdirSync(join(parent, 'pr-7/site'))
      symlinkSync('pr-7/site', join(parent, 'production'))
      return preview
    },
    says: 'it holds the path of production',
  },
  {
    name: 'it is a file',
    lay(parent) {
      writeFileSync(join(parent, 'pr-7'), 'x')
      return previewAt(parent)
    },
    says: /no directory that this user may enter|not a directory of this user/,
  },
  {
    name: 'it is called something that a shell would carry out',
    lay(parent) {
      const hostile = join(parent, '$(touch precious-2); rm -rf *')
      markedDirectory(hostile, '')
      return previewAt(hostile)
    },
    says: 'looked\tnothing',
  },
]

const isRoot = process.getuid?.() === 0

describe.each(shells)('an attack under $name', shell => {
  it.each(attacks)('removes nothing: $name', async ({ lay, says, home }) => {
    const parent = newPreviews()
    const preview = await lay(parent)
    const before = footprint(parent)
    const env = { HOME: home?.(parent) ?? '/nonexistent' }
    const all = await attacked(shell, preview, { env })
    expect(said(all)).toMatch(says)
    expect(all[2]?.code).not.toBe(0)
    expect(said(all)).not.toContain('erased')
    expect(footprint(parent)).toEqual(before)
  })

  it.each(attacks.filter(a => !a.name.startsWith('it is called')))(
    'deploys nothing there, either: $name',
    async attack => {
      const parent = newPreviews()
      const preview = await attack.lay(parent)
      const before = footprint(parent)
      const ran = await claimed(shell, preview, 20, newOwner(), {
        env: { HOME: attack.home?.(parent) ?? '/nonexistent' },
      })
      expect([exitCodes.previewRefused, exitCodes.unsafeState]).toContain(ran.code)
      expect(footprint(parent)).toEqual(before)
    },
  )

  it('finds nothing of another user’s to remove', async () => {
    // Only root can give a directory away; an ordinary user tries with one that is root's.
    const parent = newPreviews()
    const preview = good(parent)
    const uid = isRoot ? { uid: 65534 } : {}
    if (isRoot) execFileSync('chmod', ['-R', 'a+rwX', join(parent, '..')])
    else return expect(said(await attacked(shell, previewAt('/usr/lib')))).toContain('looked\tnothing')
    const before = footprint(parent)
    const all = await attacked(shell, preview, uid)
    expect(said(all)).toContain('is not a directory of this user')
    expect(all[2]?.code).not.toBe(0)
    expect(footprint(parent)).toEqual(before)
  })
})
