import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LOCK_LOST } from '../../src/release/exit-codes.ts'
import { fenced } from '../../src/release/fence.ts'
import { endLeft, parseLeft, parseRelease, releaseLock, renewLock, takeLock } from '../../src/release/lock.ts'
import { startMigration } from '../../src/release/migration.ts'
import { waitUntil } from '../support/wait-until.ts'
import { releaseNumber } from './a-release.ts'
import { livingOf, lockEntries, newOwner, newSite, ok, run, shells, start, stateOf } from './shells.ts'

describe.each(shells)('what a lost connection left running, under $name', shell => {
  it('is ended and seen gone, also while the lock is being renewed', { timeout: 180_000 }, async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const marks = [1, 2].map(n => join(site.releasePath, `started${n}`))
    const left = marks.map(mark =>
      start(shell, fenced(site, owner, `(trap '' TERM; : >'${mark}'; exec sleep 300) & wait`)),
    )
    await waitUntil('both run', () => marks.every(existsSync))
    let done = false
    const renewing = (async () => {
      while (!done) await ok(shell, renewLock(site, owner))
    })()
    const found = parseLeft(await ok(shell, endLeft(site, owner)).finally(() => (done = true)))
    await renewing
    expect(found).toMatchObject({ stillRunning: [], known: true })
    expect([...(found?.ended ?? [])].sort()).toEqual(left.map(l => l.pid).sort())
    for (const { pid, ended } of left) {
      await ended
      expect(livingOf(pid)).toEqual([])
    }
    const [entry = ''] = lockEntries(site)
    expect(entry).toMatch(/^held\.1\./)
    expect(readdirSync(join(stateOf(site), 'lock', entry)).filter(f => f.startsWith('group.'))).toEqual([])
  })

  it('is nothing when the script had ended before', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    await ok(shell, fenced(site, owner, 'exit 0'))
    expect(parseLeft(await ok(shell, endLeft(site, owner)))).toEqual({ ended: [], stillRunning: [], known: true })
  })

  it('is left alone when the lock is not ours any more', async () => {
    const [site, first, second] = [newSite(), newOwner(), newOwner()]
    await ok(shell, takeLock(site, first))
    await ok(shell, releaseLock(site, first))
    await ok(shell, takeLock(site, second))
    const mark = join(site.releasePath, 'started')
    const other = start(shell, fenced(site, second, `: >'${mark}'; exec sleep 300`))
    await waitUntil('it runs', () => existsSync(mark))
    expect((await run(shell, endLeft(site, first))).code).toBe(LOCK_LOST)
    process.kill(-other.pid, 'SIGKILL') // throws when it is gone
    await other.ended
  })

  it('keeps the lock held that is given back while it runs: whoever takes it over has to see it', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const mark = join(site.releasePath, 'started')
    const script = start(shell, fenced(site, owner, `: >'${mark}'; exec sleep 300`))
    await waitUntil('it runs', () => existsSync(mark))
    expect(parseRelease(await ok(shell, releaseLock(site, owner)))).toBe('busy')
    expect(lockEntries(site)[0]).toMatch(/^held/)
    process.kill(-script.pid, 'SIGKILL')
    await script.ended
    expect(parseRelease(await ok(shell, releaseLock(site, owner)))).toBe('released')
  })

  it('is not a migration, which goes on', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const [began, gate] = ['began', 'gate'].map(name => join(site.releasePath, name))
    const script = `: >'${began}'; until [ -e '${gate}' ]; do sleep 0.1; done; : >'${gate}.passed'`
    const home = { env: { HOME: site.releasePath } }
    await ok(shell, startMigration(site, owner, { release: releaseNumber(1), script, forced: false }), home)
    await waitUntil('it has begun', () => existsSync(began ?? ''))
    expect(parseLeft(await ok(shell, endLeft(site, owner)))).toMatchObject({ ended: [] })
    await ok(shell, `: >'${gate}'`)
    await waitUntil('it went on', () => existsSync(`${gate}.passed`))
  })
})
