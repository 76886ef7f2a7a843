import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LOCK_LOST } from '../../src/release/exit-codes.ts'
import { fenced } from '../../src/release/fence.ts'
import { endLeft, parseLeft, parseLock, readLock, renewLock } from '../../src/release/lock.ts'
import { entryOf, expire, expireMember, give, type Holder, member, newRun, take } from './sharers.ts'
import { livingOf, lockEntries, newOwner, newSite, ok, run, shells, start, stateOf } from './shells.ts'

describe.each(shells)('a lock that shards share, under $name', shell => {
  it('is held by several of one run, and free when the last has given it back', async () => {
    const [site, of] = [newSite(), newRun()]
    const [a, b] = [member(of, 1), member(of, 2)]
    expect(await take(shell, site, a)).toEqual({ taken: true, fence: 1 })
    expect(await take(shell, site, b)).toEqual({ taken: true, fence: 1 })
    expect(lockEntries(site)).toHaveLength(1)
    expect(parseLock(await ok(shell, readLock(site)))).toMatchObject({ state: 'held', holder: { actor: 'octo cat' } })
    await ok(shell, renewLock(site, a))
    expect(await give(shell, site, a)).toBe('released')
    expect((await run(shell, renewLock(site, a))).code).toBe(LOCK_LOST)
    await ok(shell, renewLock(site, b))
    expect(await take(shell, site, newOwner())).toMatchObject({ taken: false })
    expect(await give(shell, site, b)).toBe('released')
    expect(lockEntries(site)).toEqual(['free.1'])
    expect(readdirSync(entryOf(site))).toEqual([])
    expect(readdirSync(stateOf(site))).toEqual(['lock'])
  })

  it('keeps others out and is kept out by them: a plain run, another run', async () => {
    const [site, of] = [newSite(), newRun()]
    const plain = newOwner()
    await take(shell, site, plain)
    expect(await take(shell, site, member(of, 1))).toMatchObject({ taken: false, holder: plain.info })
    await give(shell, site, plain)
    const own = member(of, 1)
    await take(shell, site, own)
    for (const other of [newOwner(), member(newRun(), 1), member(newRun(), 2)])
      expect(await take(shell, site, other)).toMatchObject({ taken: false, holder: own.info })
    expect(await give(shell, site, member(newRun(), 1))).toBe('gone')
    expect(lockEntries(site)[0]).toContain(of)
  })

  it('has each shard once: a second process that says it is the same one is refused', async () => {
    const [site, of] = [newSite(), newRun()]
    const [first, second] = [member(of, 3), member(of, 3)]
    await take(shell, site, first)
    const answer = await take(shell, site, second)
    expect(answer).toMatchObject({ taken: false, twice: true, holder: first.info })
    expect(answer?.taken === false && answer.secondsLeft).toBeGreaterThan(30)
    expect(await give(shell, site, second)).toBe('gone')
    await ok(shell, renewLock(site, first))
  })

  it('is had back by its own shard, as after an answer that was lost, and by post', async () => {
    const [site, of] = [newSite(), newRun()]
    const [a, b] = [member(of, 1), member(of, 2)]
    for (const owner of [a, b, a]) expect(await take(shell, site, owner)).toEqual({ taken: true, fence: 1 })
    expireMember(site, a)
    expect(await take(shell, site, a)).toEqual({ taken: true, fence: 1 })
    for (const owner of [a, b]) expect(await give(shell, site, owner)).toBe('released')
    expect(await take(shell, site, a)).toEqual({ taken: true, fence: 2 })
  })

  it('is not kept by a shard that is gone, past its lease', async () => {
    const [site, of] = [newSite(), newRun()]
    const [dead, last] = [member(of, 1), member(of, 2)]
    for (const owner of [dead, last]) await take(shell, site, owner)
    expireMember(site, dead)
    expect(await give(shell, site, last)).toBe('released')
    expect(lockEntries(site)).toEqual(['free.1'])
    expect((await run(shell, renewLock(site, dead))).code).toBe(LOCK_LOST)
    expect((await run(shell, fenced(site, dead, 'echo acted'))).stdout).toBe('')
  })

  it('stays held for as long as a lease of a shard that is gone lasts, and is then taken over', async () => {
    const [site, of] = [newSite(), newRun()]
    const [dead, last, next] = [member(of, 1), member(of, 2), newOwner()]
    for (const owner of [dead, last]) await take(shell, site, owner)
    expect(await give(shell, site, last)).toBe('released')
    expect(await take(shell, site, next)).toMatchObject({ taken: false })
    expire(site)
    expect(await take(shell, site, next)).toMatchObject({ taken: true, fence: 2, takenOver: { info: dead.info } })
    expect(readdirSync(entryOf(site))).toEqual([`owner.${next.token}`])
    expect((await run(shell, renewLock(site, dead))).code).toBe(LOCK_LOST)
    // what is left of the run waits for whoever has it now
    expect(await take(shell, site, dead)).toMatchObject({ taken: false, holder: next.info })
  })

  it('is renewed by each shard for all of them', async () => {
    const [site, of] = [newSite(), newRun()]
    const [a, b] = [member(of, 1), member(of, 2)]
    for (const owner of [a, b]) await take(shell, site, owner)
    expire(site)
    await ok(shell, renewLock(site, b))
    expect(await take(shell, site, newOwner())).toMatchObject({ taken: false })
    await ok(shell, fenced(site, a, 'true'))
  })

  it('fences the scripts of each shard by itself', async () => {
    const [site, of] = [newSite(), newRun()]
    const [a, b] = [member(of, 1), member(of, 2)]
    for (const owner of [a, b]) await take(shell, site, owner)
    const mark = join(site.releasePath, 'started')
    const left = start(shell, fenced(site, a, `: >'${mark}'; sleep 300 & wait`))
    while (!existsSync(mark)) await new Promise(r => setTimeout(r, 20))
    expect(await ok(shell, fenced(site, b, 'ls "$h"'))).toMatch(/^group\.\d+\nlease\./)
    expect(parseLeft(await ok(shell, endLeft(site, b)))).toMatchObject({ ended: [] })
    expect(await give(shell, site, a), 'a script of its own still runs').toBe('busy')
    expect(parseLeft(await ok(shell, endLeft(site, a)))).toMatchObject({ ended: [left.pid] })
    await left.ended
    expect(await give(shell, site, a)).toBe('released')
    expect(await ok(shell, fenced(site, b, 'echo acted'))).toBe('acted\n')
    expect((await run(shell, fenced(site, a, 'echo acted'))).stdout).toBe('')
  })

  it('is not freed while a script of a shard that is gone runs on, which whoever takes it over ends', async () => {
    for (const next of [newOwner(), member(newRun(), 1)]) {
      const [site, of] = [newSite(), newRun()]
      const [dead, last] = [member(of, 1), member(of, 2)]
      for (const owner of [dead, last]) await take(shell, site, owner)
      const mark = join(site.releasePath, 'started')
      const left = start(shell, fenced(site, dead, `: >'${mark}'; sleep 300 & wait`))
      while (!existsSync(mark)) await new Promise(r => setTimeout(r, 20))
      expireMember(site, dead)
      expect(await give(shell, site, last)).toBe('released')
      expect(lockEntries(site)[0]).toContain(of)
      expire(site)
      expect(await take(shell, site, next)).toMatchObject({ taken: true, takenOver: { ended: [left.pid] } })
      await left.ended
      expect(livingOf(left.pid)).toEqual([])
      expect(await give(shell, site, next)).toBe('released')
      expect(lockEntries(site)).toEqual(['free.2'])
    }
  })

  it('ends what a plain owner before left, whichever shard comes first, and a shard’s own of before', async () => {
    const [site, plain, of] = [newSite(), newOwner(), newRun()]
    await take(shell, site, plain)
    const leave = async (owner: Holder, name: string) => {
      const mark = join(site.releasePath, name)
      const left = start(shell, fenced(site, owner, `: >'${mark}'; sleep 300 & wait`))
      while (!existsSync(mark)) await new Promise(r => setTimeout(r, 20))
      return left
    }
    const first = await leave(plain, 'plain')
    expire(site)
    const owners = [member(of, 1), member(of, 2), member(of, 3)]
    const answers = await Promise.all(owners.map(owner => take(shell, site, owner)))
    expect(answers.every(a => a?.taken)).toBe(true)
    expect(livingOf(first.pid)).toEqual([])
    await first.ended
    const [one = owners[0] as Holder] = owners
    const second = await leave(one, 'shard')
    expireMember(site, one)
    expect(await take(shell, site, member(of, 1))).toMatchObject({ taken: true, takenOver: { ended: [second.pid] } })
    await second.ended
    expect((await run(shell, renewLock(site, one))).code).toBe(LOCK_LOST)
  })

  it('has only one of twenty that say at once that they are the same shard', { timeout: 60_000 }, async () => {
    const [site, of] = [newSite(), newRun()]
    const all = Array.from({ length: 20 }, (_, i) => member(of, 1 + (i % 2)))
    const answers = await Promise.all(all.map(owner => take(shell, site, owner)))
    const taken = all.filter((_, i) => answers[i]?.taken)
    expect(taken.map(o => o.shared?.member).toSorted()).toEqual([1, 2])
    for (const owner of taken) expect(await give(shell, site, owner)).toBe('released')
    expect(lockEntries(site)).toEqual(['free.1'])
  })
})
