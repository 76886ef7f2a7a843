import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { stepScript } from '../../src/fleet/step-script.ts'
import { exitCodes, LOCK_LOST, releaseError } from '../../src/release/exit-codes.ts'
import { fenced } from '../../src/release/fence.ts'
import {
  parseLock,
  parseRelease,
  parseTake,
  readLock,
  releaseLock,
  renewLock,
  takeLock,
} from '../../src/release/lock.ts'
import type { Site } from '../../src/release/site.ts'
import { dash, livingOf, lockEntries, newOwner, newSite, ok, run, shells, start, stateOf, temporary } from './shells.ts'

const lockOf = (site: Site) => join(stateOf(site), 'lock')

/** As if the owner had been gone for longer than its lease. */
function expire(site: Site): void {
  const [entry = ''] = lockEntries(site)
  const parts = entry.split('.')
  renameSync(join(lockOf(site), entry), join(lockOf(site), [...parts.slice(0, -1), '1'].join('.')))
}

describe.each(shells)('the lock under $name', shell => {
  it('is taken, seen, renewed and given back, and leaves nothing but its number', async () => {
    const [site, owner] = [newSite(), newOwner()]
    expect(parseLock(await ok(shell, readLock(site)))).toEqual({ state: 'none' })
    expect(parseTake(await ok(shell, takeLock(site, owner)))).toEqual({ taken: true, fence: 1 })
    const seen = parseLock(await ok(shell, readLock(site)))
    expect(seen).toMatchObject({ state: 'held', holder: owner.info })
    expect(seen?.state === 'held' && seen.secondsLeft).toBeGreaterThan(30)
    const before = lockEntries(site)
    expire(site)
    await ok(shell, renewLock(site, owner))
    const expiry = (name = '') => Number(name.split('.').at(-1))
    expect(expiry(lockEntries(site)[0])).toBeGreaterThanOrEqual(expiry(before[0]))
    expect(parseRelease(await ok(shell, releaseLock(site, owner)))).toBe('released')
    expect(lockEntries(site)).toEqual(['free.1'])
    expect(readdirSync(join(lockOf(site), 'free.1'))).toEqual([])
    expect(parseLock(await ok(shell, readLock(site)))).toEqual({ state: 'free' })
  })

  it('is refused while another holds it, with who does', async () => {
    const [site, first, second] = [newSite(), newOwner(), newOwner()]
    await ok(shell, takeLock(site, first))
    const answer = parseTake(await ok(shell, takeLock(site, second)))
    expect(answer).toMatchObject({ taken: false, holder: first.info })
    expect(lockEntries(site)).toHaveLength(1)
    expect(lockEntries(site)[0]).toContain(first.token)
  })

  it('tells who holds it, also while the holder renews it or is about to give it back', async () => {
    for (const look of [takeLock, (site: Site) => readLock(site)]) {
      const [site, first, second] = [newSite(), newOwner(), newOwner()]
      await ok(shell, takeLock(site, first))
      const [entry = ''] = lockEntries(site)
      const [held, file] = [join(lockOf(site), entry), `owner.${first.token}`]
      renameSync(join(held, file), join(stateOf(site), file))
      // What the next look finds: the file is there, and the entry has another name.
      const later = held.replace(/\d+$/, expiry => String(Number(expiry) - 1))
      const meanwhile = `sleep() { mv '${stateOf(site)}/${file}' '${held}' && mv '${held}' '${later}'; }\n`
      const said = await ok(shell, `${meanwhile}${look(site, second)}`)
      expect(parseTake(said) ?? parseLock(said)).toMatchObject({ holder: first.info })
    }
  })

  it('says that it is held also where nothing is told of the holder', async () => {
    const [site, first, second] = [newSite(), newOwner(), newOwner()]
    await ok(shell, takeLock(site, first))
    const [entry = ''] = lockEntries(site)
    rmSync(join(lockOf(site), entry, `owner.${first.token}`))
    expect(parseTake(await ok(shell, takeLock(site, second)))).toMatchObject({ taken: false, holder: null })
    expect(parseLock(await ok(shell, readLock(site)))).toMatchObject({ state: 'held', holder: null })
  })

  it('is taken again by its own owner: an answer that was lost costs nothing', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    expect(parseTake(await ok(shell, takeLock(site, owner)))).toEqual({ taken: true, fence: 1 })
  })

  it('is never given back or renewed by another', async () => {
    const [site, owner, stranger] = [newSite(), newOwner(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const before = lockEntries(site)
    expect(parseRelease(await ok(shell, releaseLock(site, stranger)))).toBe('gone')
    expect((await run(shell, renewLock(site, stranger))).code).toBe(LOCK_LOST)
    expect(lockEntries(site)).toEqual(before)
  })

  it('is taken over when its lease is over, with a greater number and what is known of the owner before', async () => {
    const [site, first, second] = [newSite(), newOwner(), newOwner()]
    await ok(shell, takeLock(site, first))
    expire(site)
    expect(parseLock(await ok(shell, readLock(site)))).toMatchObject({ state: 'held', secondsLeft: 0 })
    expect(parseTake(await ok(shell, takeLock(site, second)))).toEqual({
      taken: true,
      fence: 2,
      takenOver: { info: first.info, ended: [], stillRunning: [] },
    })
    expect((await run(shell, renewLock(site, first))).code).toBe(LOCK_LOST)
    const [entry = ''] = lockEntries(site)
    expect(readdirSync(join(lockOf(site), entry))).toEqual([`owner.${second.token}`])
  })

  it('of a machine that was started anew, or whose clock began anew, is over', async () => {
    for (const change of [
      (parts: string[]) => [...parts.slice(0, -2), 'another-boot', parts.at(-1)],
      (parts: string[]) => [...parts.slice(0, -1), '99999999999'],
    ]) {
      const [site, first, second] = [newSite(), newOwner(), newOwner()]
      await ok(shell, takeLock(site, first))
      const [entry = ''] = lockEntries(site)
      renameSync(join(lockOf(site), entry), join(lockOf(site), change(entry.split('.')).join('.')))
      expect(parseTake(await ok(shell, takeLock(site, second)))).toMatchObject({ taken: true, fence: 2 })
    }
  })

  it('of fifty at once is one taker’s, every time', { timeout: 120_000 }, async () => {
    for (let round = 0; round < 4; round++) {
      const site = newSite()
      const owners = Array.from({ length: 50 }, newOwner)
      const answers = await Promise.all(owners.map(async o => parseTake(await ok(shell, takeLock(site, o)))))
      expect(answers.filter(a => a?.taken)).toHaveLength(1)
      const winner = owners[answers.findIndex(a => a?.taken)]
      expect(lockEntries(site)).toHaveLength(1)
      expect(lockEntries(site)[0]).toContain(winner?.token)
      for (const answer of answers) if (answer?.taken === false) expect(answer.holder).toEqual(winner?.info)
    }
  })

  it('that is over is taken over by one of twenty at once', { timeout: 120_000 }, async () => {
    const site = newSite()
    await ok(shell, takeLock(site, newOwner()))
    for (let round = 0; round < 6; round++) {
      expire(site)
      const answers = await Promise.all(
        Array.from({ length: 20 }, async () => parseTake(await ok(shell, takeLock(site, newOwner())))),
      )
      expect(answers.filter(a => a?.taken)).toHaveLength(1)
      expect(answers.find(a => a?.taken)).toMatchObject({ fence: round + 2 })
      expect(lockEntries(site)).toHaveLength(1)
    }
  })

  it('keeps others out while it is renewed and taken for at once', { timeout: 60_000 }, async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const renewals = Array.from({ length: 10 }, () => run(shell, renewLock(site, owner)))
    const takes = Array.from({ length: 10 }, async () => parseTake(await ok(shell, takeLock(site, newOwner()))))
    expect((await Promise.all(renewals)).map(r => r.code)).toEqual(Array(10).fill(0))
    expect((await Promise.all(takes)).filter(t => t?.taken)).toEqual([])
  })

  it('ends what the owner before left running, and says so', { timeout: 180_000 }, async () => {
    const [site, first, second] = [newSite(), newOwner(), newOwner()]
    await ok(shell, takeLock(site, first))
    const mark = join(site.releasePath, 'started')
    const body = `(trap '' TERM; : >'${mark}'; sleep 300) & wait`
    const left = start(shell, fenced(site, first, body))
    while (!existsSync(mark)) await new Promise(r => setTimeout(r, 20))
    writeFileSync(join(stateOf(site), 'upload.4711'), '') // as an upload's script that was ended leaves it
    expire(site)
    const taken = parseTake(await ok(shell, takeLock(site, second)))
    expect(taken).toMatchObject({ taken: true, takenOver: { ended: [left.pid], stillRunning: [] } })
    await left.ended
    expect(livingOf(left.pid)).toEqual([])
    expect(readdirSync(stateOf(site))).toEqual(['lock'])
  })

  it('ends no process that only has the number of one that is gone', async () => {
    const [site, first, second] = [newSite(), newOwner(), newOwner()]
    await ok(shell, takeLock(site, first))
    const stranger = start(dash, 'exec sleep 60')
    const [entry = ''] = lockEntries(site)
    const boot = entry.split('.').at(-2)
    writeFileSync(join(lockOf(site), entry, `group.${stranger.pid}`), `1 ${boot}\n`)
    expire(site)
    expect(parseTake(await ok(shell, takeLock(site, second)))).toMatchObject({ takenOver: { ended: [] } })
    process.kill(-stranger.pid, 'SIGKILL') // throws when it is gone
    await stranger.ended
  })
})

describe.each(shells)('a fenced script under $name', shell => {
  it('does nothing once the lock is another’s', async () => {
    const [site, first, second] = [newSite(), newOwner(), newOwner()]
    await ok(shell, takeLock(site, first))
    expect(await ok(shell, fenced(site, first, 'echo acted'))).toBe('acted\n')
    expire(site)
    await ok(shell, takeLock(site, second))
    const late = await run(shell, fenced(site, first, 'echo acted'))
    expect([late.code, late.stdout]).toEqual([LOCK_LOST, ''])
    expect(releaseError(LOCK_LOST, late.stderr).name).toBe('LockLostError')
  })

  it('ends as its body does, keeps its stdin, and leaves no record of its group', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const ended = await run(shell, fenced(site, owner, 'cat; ls "$h"; exit 7'), { input: Buffer.from('input\n') })
    expect(ended.code).toBe(7)
    expect(ended.stdout).toMatch(/^input\ngroup\.\d+\nowner\./)
    const [entry = ''] = lockEntries(site)
    expect(readdirSync(join(lockOf(site), entry))).toEqual([`owner.${owner.token}`])
  })

  it('runs a user’s step, whatever its text, and ends as it does', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const step = (script: string) =>
      stepScript({ script, shell: 'sh', env: { NAME: "it's" }, secrets: { KEY: ')' }, directory: '/' })
    const ended = await run(shell, fenced(site, owner, step('echo "$NAME $KEY ${h-unset}"; cat; exit 9')))
    expect([ended.code, ended.stdout]).toEqual([9, "it's ) unset\n"])
    for (const broken of ['echo (', '}', "echo 'open", 'cat <<END']) {
      const { code } = await run(shell, fenced(site, owner, step(broken)))
      expect(code === 0).toBe(broken === 'cat <<END')
    }
  })

  it('that cannot be recorded does not run on for ever', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const [entry = ''] = lockEntries(site)
    const inTheWay = `\nmkdir '${lockOf(site)}/${entry}/group.'$$\ngroup\n`
    const blocked = fenced(site, owner, 'echo acted').replace('\ngroup\n', () => inTheWay)
    const { code, stdout } = await run(shell, blocked)
    expect([code, stdout]).toEqual([exitCodes.noRoom, ''])
  })

  it('has its intents in the journal before it acts', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    const body = 'cat "$J"'
    expect(await ok(shell, fenced(site, owner, body, [{ type: 'activating' }]))).toContain('"type":"activating"')
  })

  it('gives its body none of our variables', async () => {
    const [site, owner] = [newSite(), newOwner()]
    await ok(shell, takeLock(site, owner))
    expect((await ok(shell, fenced(site, owner, 'env'))).split('\n').filter(l => /^(S|L|T|J|h|n)=/.test(l))).toEqual([])
  })
})

describe.each(shells)('the state directory under $name', shell => {
  it('is the user’s alone, in the release path or in the home directory', async () => {
    const site = newSite()
    await ok(shell, takeLock(site, newOwner()))
    expect(statSync(stateOf(site)).mode & 0o777).toBe(0o700)
    const home = temporary()
    const steps = { application: 'shop', environment: 'production', releasePath: null }
    await ok(shell, takeLock(steps, newOwner()), { env: { HOME: home } })
    for (const path of ['.deploy-action', '.deploy-action/shop', '.deploy-action/shop/production'])
      expect(statSync(join(home, path)).mode & 0o777).toBe(0o700)
  })

  it('that is a link is refused, and nothing is written through it', async () => {
    const [site, elsewhere] = [newSite(), temporary()]
    symlinkSync(elsewhere, stateOf(site))
    const { code, stderr } = await run(shell, takeLock(site, newOwner()))
    expect([code, readdirSync(elsewhere)]).toEqual([exitCodes.unsafeState, []])
    expect(stderr).toContain('is a link')
    expect((await run(shell, readLock(site))).code).toBe(exitCodes.unsafeState)
  })

  it('that is a file, or another user’s, is refused', async () => {
    const [file, foreign] = [newSite(), newSite()]
    writeFileSync(stateOf(file), '')
    mkdirSync(stateOf(foreign))
    // only root can give a directory away; for others what is left is the file
    const sites = process.getuid?.() === 0 ? [file, foreign] : [file]
    if (process.getuid?.() === 0) chownSync(stateOf(foreign), 65534, 65534)
    for (const site of sites) expect((await run(shell, takeLock(site, newOwner()))).code).toBe(exitCodes.unsafeState)
  })

  it('with rights for others is closed to them', async () => {
    const site = newSite()
    mkdirSync(stateOf(site))
    chmodSync(stateOf(site), 0o777)
    await ok(shell, takeLock(site, newOwner()))
    expect(statSync(stateOf(site)).mode & 0o777).toBe(0o700)
  })

  it('with two locks in it is refused, and says what to do', async () => {
    const site = newSite()
    await ok(shell, takeLock(site, newOwner()))
    mkdirSync(join(lockOf(site), 'free.9'))
    const { code, stderr } = await run(shell, takeLock(site, newOwner()))
    expect(code).toBe(exitCodes.damagedLock)
    expect(stderr).toContain('damaged')
    expect(releaseError(exitCodes.damagedLock, stderr).hint).toContain('remove the directory')
  })

  it('works in a path of spaces and quotes', async () => {
    const site = { ...newSite(), releasePath: join(temporary(), `it's "the" $HOME *`) }
    expect(parseTake(await ok(shell, takeLock(site, newOwner())))).toMatchObject({ taken: true })
    expect(existsSync(stateOf(site))).toBe(true)
  })
})

it('is taken over where mv knows no -T, by one taker', async () => {
  const bin = temporary()
  writeFileSync(join(bin, 'mv'), '#!/bin/sh\ncase $1 in -fT) exit 1 ;; esac\nexec /bin/mv "$@"\n', { mode: 0o755 })
  const shell = { ...dash, path: `${bin}:${dash.path}` }
  const site = newSite()
  const answers = await Promise.all(
    Array.from({ length: 10 }, async () => parseTake(await ok(shell, takeLock(site, newOwner())))),
  )
  expect(answers.filter(a => a?.taken)).toHaveLength(1)
})
