import { existsSync, mkdtempSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LOCK_LOST } from '../../src/release/exit-codes.ts'
import { fenced } from '../../src/release/fence.ts'
import {
  endLeft,
  parseLeft,
  parseLock,
  parseRelease,
  parseTake,
  readLock,
  releaseLock,
  renewLock,
  takeLock,
} from '../../src/release/lock.ts'
import type { Site } from '../../src/release/site.ts'
import {
  dash,
  livingOf,
  lockEntries,
  newOwner,
  newSite,
  ok,
  run,
  type Shell,
  shells,
  start,
  stateOf,
} from './shells.ts'

type Holder = ReturnType<typeof newOwner> & { readonly shared?: { readonly run: string; readonly member: number } }

let runs = 0
const newRun = () => `run-${String(++runs).padStart(20, '0')}`
const member = (of: string, n: number): Holder => ({ ...newOwner(), shared: { run: of, member: n } })

const lockOf = (site: Site) => join(stateOf(site), 'lock')
const take = async (shell: Shell, site: Site, owner: Holder) => parseTake(await ok(shell, takeLock(site, owner)))
const give = async (shell: Shell, site: Site, owner: Holder) => parseRelease(await ok(shell, releaseLock(site, owner)))
const entryOf = (site: Site) => join(lockOf(site), lockEntries(site)[0] ?? '')

/** As if nobody had renewed the entry for longer than a lease. */
function expire(site: Site): void {
  const entry = entryOf(site)
  renameSync(entry, entry.replace(/\d+$/, '1'))
}
/** As if this member had not renewed its own lease for so long. */
function expireMember(site: Site, owner: Holder): void {
  const entry = entryOf(site)
  const directory = readdirSync(entry).find(name => new RegExp(`^member\\.\\d+\\.${owner.shared?.member}$`).test(name))
  const place = join(entry, directory ?? '')
  const [lease = ''] = readdirSync(place).filter(name => name.startsWith('lease.'))
  renameSync(join(place, lease), join(place, lease.replace(/\d+$/, '1')))
}

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

/** A script that stops before `place` until it is let go on. */
async function stopped(shell: Shell, site: Site, script: string, place: string) {
  const mark = join(mkdtempSync(join(site.releasePath ?? '', 'stop-')), 'here')
  const stop = `: >'${mark}'; while [ ! -e '${mark}.on' ]; do sleep 0.05; done\n`
  const parts = script.split(place)
  if (parts.length !== 2) throw new Error(`${place} is there ${parts.length - 1} times`)
  const running = start(shell, parts.join(`${stop}${place}`))
  while (!existsSync(mark)) await new Promise(r => setTimeout(r, 10))
  return async () => {
    writeFileSync(`${mark}.on`, '')
    const { code, stdout } = await running.ended
    expect(code).toBe(0)
    return stdout
  }
}
const freeing = 'if [ -d "$e" ] && rename "$e" "$L/free.$n"; then'
const proving = 'renew 1 || continue'

describe.each(shells)('joining and freeing under $name', shell => {
  it('never free a lock that somebody has joined after it was looked at', async () => {
    // Within one second as often as not: then the lease's end is the same, and only the count of joins tells.
    for (let round = 0; round < 4; round++) {
      const [site, of] = [newSite(), newRun()]
      const [a, b] = [member(of, 1), member(of, 2)]
      await take(shell, site, a)
      const goOn = await stopped(shell, site, releaseLock(site, a), freeing)
      expect(await take(shell, site, b)).toMatchObject({ taken: true, fence: 1 })
      expect(parseRelease(await goOn())).toBe('released')
      expect(lockEntries(site)[0]).toContain(of)
      await ok(shell, renewLock(site, b))
      expect(await give(shell, site, b)).toBe('released')
      expect(lockEntries(site)).toEqual(['free.1'])
    }
  })

  it('never take a lock for joined that was freed meanwhile', async () => {
    for (const next of [null, newOwner(), member(newRun(), 2)]) {
      const [site, of] = [newSite(), newRun()]
      const [a, b] = [member(of, 1), member(of, 2)]
      await take(shell, site, a)
      // What it put in would be seen; freed by hand, as by somebody who looked before.
      const goOn = await stopped(shell, site, takeLock(site, b), proving)
      renameSync(entryOf(site), join(lockOf(site), 'free.1'))
      if (next !== null) expect(await take(shell, site, next)).toMatchObject({ taken: true, fence: 2 })
      const answer = parseTake(await goOn())
      expect(answer).toMatchObject(next === null ? { taken: true, fence: 2 } : { taken: false, holder: next.info })
      expect(lockEntries(site)[0]).toContain(next === null ? of : ((next as Holder).shared?.run ?? next.token))
      expect((await run(shell, renewLock(site, next ?? b))).code).toBe(0)
      expect((await run(shell, renewLock(site, a))).code).toBe(LOCK_LOST)
    }
  })
})

/** What many real processes saw: `in` after the lock was taken, `out` before it was given back. */
interface Seen {
  readonly what: 'in' | 'out'
  readonly of: string
}

describe.each(shells)('many processes at once under $name', shell => {
  it('never make two owners that are not of one run, never lose a lock that is renewed, and leave it free', {
    timeout: 180_000,
  }, async () => {
    const site = newSite()
    const seen: Seen[] = []
    const lost: string[] = []
    let entered = 0
    const work = async (owners: () => Holder, rounds: number) => {
      for (let round = 0; round < rounds; round++) {
        const owner = owners()
        const of = owner.shared?.run ?? owner.token
        const answer = await take(shell, site, owner)
        if (answer?.taken !== true) {
          await give(shell, site, owner)
          continue
        }
        entered++
        seen.push({ what: 'in', of })
        for (const _ of [1, 2])
          if ((await run(shell, renewLock(site, owner))).code !== 0) lost.push(`${of} ${owner.shared?.member}`)
        const fencing = await run(shell, fenced(site, owner, 'true'))
        if (fencing.code !== 0) lost.push(`${of} fenced ${fencing.stderr}`)
        seen.push({ what: 'out', of })
        expect(await give(shell, site, owner)).toBe('released')
      }
    }
    const [a, b] = [newRun(), newRun()]
    await Promise.all([
      ...[1, 2, 3, 4, 5, 6].map(n => work(() => member(a, n), 12)),
      ...[1, 2, 3].map(n => work(() => member(b, n), 12)),
      ...[1, 2].map(() => work(newOwner, 12)),
    ])
    const inside = new Map<string, number>()
    for (const { what, of } of seen) {
      inside.set(of, (inside.get(of) ?? 0) + (what === 'in' ? 1 : -1))
      const holders = [...inside].filter(([, n]) => n > 0)
      expect(holders.length, JSON.stringify(holders)).toBeLessThanOrEqual(1)
    }
    expect(lost).toEqual([])
    expect(entered).toBeGreaterThan(20)
    expect(lockEntries(site)).toHaveLength(1)
    expect(lockEntries(site)[0]).toMatch(/^free\./)
    expect(readdirSync(stateOf(site))).toEqual(['lock'])
  })
})

it('is taken, joined and freed where mv knows no -T', async () => {
  const [site, of] = [newSite(), newRun()]
  const bin = mkdtempSync(join(site.releasePath, 'bin-'))
  writeFileSync(join(bin, 'mv'), '#!/bin/sh\ncase $1 in -fT) exit 1 ;; esac\nexec /bin/mv "$@"\n', { mode: 0o755 })
  const shell = { ...dash, path: `${bin}:${dash.path}` }
  const owners = [1, 2, 3, 3].map(n => member(of, n))
  const answers = await Promise.all(owners.map(owner => take(shell, site, owner)))
  expect(answers.filter(a => a?.taken)).toHaveLength(3)
  for (const [i, owner] of owners.entries())
    expect(await give(shell, site, owner)).toBe(answers[i]?.taken ? 'released' : 'gone')
  expect(lockEntries(site)).toEqual(['free.1'])
})
