import { existsSync, mkdirSync, readFileSync, readlinkSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { exitCodes, LOCK_LOST, releaseError } from '../../src/release/exit-codes.ts'
import { parseJournal } from '../../src/release/journal.ts'
import { takeLock } from '../../src/release/lock.ts'
import { parseSwitch, releaseOfLink, switchBack, switchTo } from '../../src/release/switch.ts'
import { brought, locked, type Place, releaseNumber } from './a-release.ts'
import { lockEntries, newOwner, ok, run, shells, start } from './shells.ts'

const [one, two] = [releaseNumber(1), releaseNumber(2)]
const typesOf = ({ at }: Place) =>
  parseJournal(readFileSync(at('.deploy-action/journal'), 'utf8')).entries.map(e => e.type)
const lastSwitch = ({ at }: Place) =>
  parseJournal(readFileSync(at('.deploy-action/journal'), 'utf8')).entries.findLast(e => e.type === 'switching')

function expire({ site, at }: Place): void {
  const entry = lockEntries(site)[0] ?? ''
  renameSync(at('.deploy-action/lock', entry), at('.deploy-action/lock', entry.replace(/\d+$/, '1')))
}

describe.each(shells)('a switch under $name', shell => {
  it('points current to the release, by a relative link, and says what it was', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, one)
    await brought(shell, place, two)
    expect(parseSwitch(await ok(shell, switchTo(site, owner, one)))).toEqual({ previous: null, changed: true })
    const second = parseSwitch(await ok(shell, switchTo(site, owner, two)))
    expect(second).toEqual({ previous: `releases/${one}`, changed: true })
    expect(readlinkSync(at('current'))).toBe(`releases/${two}`)
    expect(lastSwitch(place)).toMatchObject({ from: `releases/${one}`, to: `releases/${two}` })
    expect(typesOf(place).slice(-2)).toEqual(['switching', 'switched'])
    await ok(shell, switchBack(site, owner, `releases/${one}`))
    expect(readFileSync(at('current/id'), 'utf8')).toBe(one)
  })

  it('never goes to a release that is not marked, or not there', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    mkdirSync(at('releases', one), { recursive: true })
    for (const id of [one, two]) {
      const { code, stderr } = await run(shell, switchTo(site, owner, id))
      expect([code, existsSync(at('current'))]).toEqual([exitCodes.notPrepared, false])
      expect(stderr).toContain(id)
    }
  })

  it('refuses a current that is a directory, with the commands that make it a link', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, one)
    mkdirSync(at('current'))
    writeFileSync(at('current/index'), 'old')
    const refused = await run(shell, switchTo(site, owner, one))
    expect(refused.code).toBe(exitCodes.currentIsDirectory)
    expect(readFileSync(at('current/index'), 'utf8')).toBe('old')
    expect(releaseError(refused.code ?? 0, refused.stderr)).toMatchObject({ name: 'PreflightError' })
    await ok(
      shell,
      refused.stderr
        .split('\n')
        .filter(l => l.startsWith('  '))
        .join('\n'),
    )
    expect(readFileSync(at('current/index'), 'utf8')).toBe('old')
    const done = parseSwitch(await ok(shell, switchTo(site, owner, one)))
    expect(done).toEqual({ previous: 'releases/before-deploy-action', changed: true })
  })

  it('refuses a current that is a file', async () => {
    const place = await locked(shell)
    await brought(shell, place, one)
    writeFileSync(place.at('current'), '')
    expect((await run(shell, switchTo(place.site, place.owner, one))).code).toBe(exitCodes.currentIsDirectory)
  })

  it('takes another tool’s link as the previous release, and goes back to it', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, one)
    const names = [`2024 "it's" \\old\\`, '-n', 'größe', '$(touch pwned)', '2024']
    for (const name of names) {
      mkdirSync(at('releases', name))
      await ok(shell, 'rm -f "$C"', { env: { C: at('current') } })
      symlinkSync(at('releases', name), at('current'))
      const done = parseSwitch(await ok(shell, switchTo(site, owner, one)))
      expect(done).toEqual({ previous: at('releases', name), changed: true })
      expect(lastSwitch(place)).toMatchObject({ from: at('releases', name) })
      await ok(shell, switchBack(site, owner, done.previous ?? ''))
      expect(readlinkSync(at('current'))).toBe(at('releases', name))
    }
    mkdirSync(at('-d'))
    await ok(shell, switchBack(site, owner, '-d'))
    expect(readlinkSync(at('current'))).toBe('-d')
    expect((await run(shell, switchBack(site, owner, 'not-there'))).code).toBe(exitCodes.notPrepared)
    expect(readlinkSync(at('current'))).toBe('-d')
  })

  it('refuses what a link cannot be', async () => {
    const { site, owner } = await locked(shell)
    for (const link of ['', 'new\nline', 'x'.repeat(1000)])
      expect(() => switchBack(site, owner, link)).toThrow(/cannot point/)
  })

  it('is not made by one who lost the lock before', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, one)
    expire(place)
    await ok(shell, takeLock(site, newOwner()))
    const { code } = await run(shell, switchTo(site, owner, one))
    expect([code, existsSync(at('current'))]).toEqual([LOCK_LOST, false])
  })

  it('is not made by one who loses the lock between looking and renaming', { timeout: 120_000 }, async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, one)
    await brought(shell, place, two)
    await ok(shell, switchTo(site, owner, two))
    // Stops between each two commands of the loop: after the look, and after the link was made.
    for (const gap of ['{ rm -f "$h/link"', '"$h/link"; } 2>/dev/null && ']) {
      const script = switchTo(site, owner, one)
      const [reached, go] = [at(`reached-${gap.length}`), at(`go-${gap.length}`)]
      const wait = `: >'${reached}'; while [ ! -e '${go}' ]; do sleep 0.05; done`
      const paused = gap.startsWith('{')
        ? script.replace(gap, `{ ${wait}; rm -f "$h/link"`)
        : script.replace(gap, `"$h/link"; } 2>/dev/null && { ${wait}; } && `)
      expect(paused).not.toBe(script)
      const thief = newOwner()
      const late = start(shell, paused)
      while (!existsSync(reached)) await new Promise(r => setTimeout(r, 10))
      expire(place)
      // A take-over ends what it finds running: here the late one is to survive it, as one that root runs would.
      const entry = lockEntries(site)[0] ?? ''
      await ok(shell, `rm -f '${at('.deploy-action/lock', entry)}'/group.*`)
      await ok(shell, takeLock(site, thief))
      writeFileSync(go, '')
      expect((await late.ended).code).toBe(LOCK_LOST)
      expect(readlinkSync(at('current'))).toBe(`releases/${two}`)
      // the lock back to its first owner for the next gap
      const stolen = lockEntries(site)[0] ?? ''
      renameSync(at('.deploy-action/lock', stolen), at('.deploy-action/lock', stolen.replace(thief.token, owner.token)))
    }
  })

  it('of many owners over time never comes late', { timeout: 120_000 }, async () => {
    const place = await locked(shell)
    const { site, at } = place
    await brought(shell, place, one)
    await brought(shell, place, two)
    let owner: { readonly token: string } = place.owner
    for (let round = 0; round < 5; round++) {
      const stale = Array.from({ length: 4 }, () => start(shell, switchTo(site, owner, one)))
      expire(place)
      const next = newOwner()
      await ok(shell, takeLock(site, next))
      await ok(shell, switchTo(site, next, two))
      const codes = (await Promise.all(stale.map(s => s.ended))).map(r => r.code)
      for (const code of codes) expect([0, LOCK_LOST, null]).toContain(code)
      expect(readlinkSync(at('current'))).toBe(`releases/${two}`)
      owner = next
    }
  })

  it('stands a renewal between any two of its commands', { timeout: 60_000 }, async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    await brought(shell, place, one)
    const gap = '"$h/link"; } 2>/dev/null && '
    const renewed = `${gap}{ [ -n "$once" ] || { once=1; mv "$h" "\${h%.*}.$(( \${h##*.} + 1 ))"; }; } && `
    await ok(shell, switchTo(site, owner, one).replace(gap, renewed))
    expect(readlinkSync(at('current'))).toBe(`releases/${one}`)
  })
})

it.each([
  [`releases/${one}`, one],
  [`./releases/${one}/`, one],
  [`/srv/shop/releases/${one}`, one],
  [`/srv/other/releases/${one}`, null],
  ['releases/2024', null],
  [`releases/${one}/public`, null],
])('a link to %s is release %s', (link, id) => {
  expect(releaseOfLink({ application: 'shop', environment: null, releasePath: '/srv/shop' }, link)).toBe(id)
})
