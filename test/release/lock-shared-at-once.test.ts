import { existsSync, mkdtempSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { LOCK_LOST } from '../../src/release/exit-codes.ts'
import { fenced } from '../../src/release/fence.ts'
import { parseRelease, parseTake, releaseLock, renewLock, takeLock } from '../../src/release/lock.ts'
import type { Site } from '../../src/release/site.ts'
import { signal } from '../support/processes.ts'
import { entryOf, give, type Holder, lockOf, member, newRun, take } from './sharers.ts'
import { dash, lockEntries, newOwner, newSite, ok, run, type Shell, shells, start, stateOf } from './shells.ts'

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

/** A script that may be killed at any moment of it, with all it started. */
async function mayBeKilled(shell: Shell, script: string): Promise<void> {
  const running = start(shell, script)
  await new Promise(r => setTimeout(r, Math.random() * 40))
  signal(-running.pid, 'SIGKILL')
  await running.ended
}

describe.each(shells)('many processes at once under $name', shell => {
  it.each([
    ['', false],
    [' also when they are killed and come back,', true],
  ])(
    '%s never make two owners that are not of one run, never lose a lock that is renewed, and leave it free',
    {
      timeout: 180_000,
    },
    async (_, killing) => {
      const site = newSite()
      const seen: Seen[] = []
      const lost: string[] = []
      // Each goes on until it was in so often: how often it is kept out is chance.
      const work = async (owners: () => Holder) => {
        for (let entered = 0; entered < 4; ) {
          const owner = owners()
          const of = owner.shared?.run ?? owner.token
          // As main is killed, and its post comes.
          if (killing) await mayBeKilled(shell, takeLock(site, owner))
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
          if (killing) await mayBeKilled(shell, releaseLock(site, owner))
          const given = await give(shell, site, owner)
          if (!killing) expect(given).toBe('released')
        }
      }
      const [a, b] = [newRun(), newRun()]
      await Promise.all([
        ...[1, 2, 3, 4, 5, 6].map(n => work(() => member(a, n))),
        ...[1, 2, 3].map(n => work(() => member(b, n))),
        ...[1, 2].map(() => work(newOwner)),
      ])
      const inside = new Map<string, number>()
      for (const { what, of } of seen) {
        inside.set(of, (inside.get(of) ?? 0) + (what === 'in' ? 1 : -1))
        const holders = [...inside].filter(([, n]) => n > 0)
        expect(holders.length, JSON.stringify(holders)).toBeLessThanOrEqual(1)
      }
      expect(lost).toEqual([])
      expect(lockEntries(site)).toHaveLength(1)
      expect(lockEntries(site)[0]).toMatch(/^free\./)
      expect(readdirSync(stateOf(site)).filter(name => !name.startsWith('lock.'))).toEqual(['lock'])
    },
  )
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
