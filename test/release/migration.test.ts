import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { stepScript } from '../../src/fleet/step-script.ts'
import { LOCK_LOST } from '../../src/release/exit-codes.ts'
import { takeLock } from '../../src/release/lock.ts'
import {
  followMigration,
  migrationLost,
  parseFollow,
  parseMigrationStart,
  startMigration,
} from '../../src/release/migration.ts'
import { parseProbe, probe } from '../../src/release/probe.ts'
import { locked, type Place, releaseNumber } from './a-release.ts'
import { livingOf, lockEntries, newOwner, ok, run, shells, start, temporary } from './shells.ts'

const release = releaseNumber(1)
const pause = () => new Promise(resolve => setTimeout(resolve, 20))
const until = async (there: () => boolean) => {
  while (!there()) await pause()
}
const needs = { tools: [], shells: [], shared: [] }

describe.each(shells)('a migration under $name', { timeout: 120_000 }, shell => {
  const home = temporary()
  const env = { HOME: home }
  const begin = async ({ site, owner }: Place, script: string, forced = false) =>
    parseMigrationStart(await ok(shell, startMigration(site, owner, { release, script, forced }), { env }))
  const follow = async ({ site }: Place, offset = 0) => {
    const ran = await run(shell, followMigration(site, release, offset), { env })
    return { ...ran, how: parseFollow(ran.stderr) }
  }
  const began = ({ at }: Place) => readdirSync(at('.deploy-action/migrations')).sort()

  it('runs to its end, tells its output and its exit code, and is not run again', async () => {
    const place = await locked(shell)
    const count = place.at('count')
    expect(await begin(place, `echo one; echo two >&2; echo ran >>'${count}'; pwd; exit 0`)).toBe('started')
    expect(await follow(place)).toMatchObject({
      code: 0,
      stdout: `one\ntwo\n${home}\n`,
      how: { ended: 'code', code: 0 },
    })
    expect((await follow(place, 4)).stdout).toBe(`two\n${home}\n`)
    expect(await begin(place, `echo ran >>'${count}'`)).toBe('done')
    expect(readFileSync(count, 'utf8')).toBe('ran\n')
    expect(await begin(place, `echo ran >>'${count}'`, true)).toBe('started')
    expect((await follow(place)).how).toEqual({ ended: 'code', code: 0 })
    expect(readFileSync(count, 'utf8')).toBe('ran\nran\n')
  })

  it('that failed tells so, and may be run again', async () => {
    const place = await locked(shell)
    await begin(place, 'echo broken; exit 69')
    expect(await follow(place)).toMatchObject({ code: 69, stdout: 'broken\n', how: { ended: 'code', code: 69 } })
    expect(await begin(place, 'exit 0')).toBe('started')
    expect((await follow(place)).how).toEqual({ ended: 'code', code: 0 })
  })

  it('that is running is joined, never doubled, forced or not', async () => {
    const place = await locked(shell)
    const go = place.at('go')
    const script = `echo begun; while [ ! -e '${go}' ]; do sleep 0.05; done; echo ended`
    expect(await begin(place, script)).toBe('started')
    expect(await begin(place, script)).toBe('running')
    expect(await begin(place, script, true)).toBe('running')
    expect(parseProbe(await ok(shell, probe(place.site, needs))).migrations).toEqual([
      { release, state: 'running', code: null },
    ])
    const first = follow(place)
    const second = follow(place)
    writeFileSync(go, '')
    for (const followed of await Promise.all([first, second])) expect(followed.stdout).toBe('begun\nended\n')
    expect(began(place)).toHaveLength(1)
  })

  it('outlives the end of everything that started it', async () => {
    const place = await locked(shell)
    const [go, reached] = [place.at('go'), place.at('reached')]
    const script = `: >'${reached}'; while [ ! -e '${go}' ]; do sleep 0.05; done; echo survived`
    // The group is kept alive beyond the start, and then ended as a cancel does.
    const body = `${startMigration(place.site, place.owner, { release, script, forced: false }).replace(/exit \$_x\n$/, 'sleep 60\n')}`
    const starter = start(shell, body, { env })
    await until(() => existsSync(reached))
    process.kill(-starter.pid, 'SIGHUP')
    process.kill(-starter.pid, 'SIGKILL')
    await starter.ended
    await until(() => livingOf(starter.pid).length === 0)
    writeFileSync(go, '')
    expect(await follow(place)).toMatchObject({ stdout: 'survived\n', how: { ended: 'code', code: 0 } })
  })

  it('that ended without telling is lost: said so, and not repeated unless forced', async () => {
    const place = await locked(shell)
    const script = `echo half; while :; do sleep 0.05; done`
    await begin(place, script)
    const directory = place.at('.deploy-action/migrations', began(place)[0] ?? '')
    const [pid] = readFileSync(`${directory}/pid`, 'utf8').split(' ')
    await until(() => readFileSync(`${directory}/output`, 'utf8') === 'half\n')
    process.kill(-Number(pid), 'SIGKILL')
    await until(() => livingOf(Number(pid)).length === 0)
    expect(await follow(place)).toMatchObject({ code: migrationLost, stdout: 'half\n', how: { ended: 'lost' } })
    expect(await begin(place, 'echo again')).toBe('lost')
    expect(await begin(place, 'echo again', true)).toBe('started')
    expect((await follow(place)).stdout).toBe('again\n')
  })

  it('that was claimed and never begun is claimed anew, and the first claim never begins', async () => {
    const place = await locked(shell)
    const directory = place.at('.deploy-action/migrations', `${release}.1`)
    await ok(shell, `mkdir -p '${directory}' && : >'${directory}/claim'`)
    expect((await follow(place)).how).toEqual({ ended: 'none' })
    expect(await begin(place, 'echo second')).toBe('started')
    expect(readdirSync(directory)).toEqual(['cancelled'])
    expect((await follow(place)).stdout).toBe('second\n')
  })

  it('runs only when its text arrived whole', async () => {
    const place = await locked(shell)
    const count = place.at('count')
    const script = startMigration(place.site, place.owner, { release, script: `echo ran >'${count}'`, forced: false })
    const cut = script.replace(`printf '%s' "$_m" |`, `printf '%s' "\${_m%??}" |`)
    expect(cut).not.toBe(script)
    expect((await run(shell, cut, { env })).code).not.toBe(0)
    expect(existsSync(count)).toBe(false)
    expect(await begin(place, `echo ran >'${count}'`)).toBe('started')
    await follow(place)
    expect(readFileSync(count, 'utf8')).toBe('ran\n')
  })

  it('is not started by one who lost the lock, before or in the middle', async () => {
    const place = await locked(shell)
    const { site, owner, at } = place
    const count = at('count')
    const take = async () => {
      const entry = lockEntries(site)[0] ?? ''
      const over = at('.deploy-action/lock', entry.replace(/\d+$/, '1'))
      renameSync(at('.deploy-action/lock', entry), over)
      await ok(shell, `rm -f '${over}'/group.*`)
      const next = newOwner()
      await ok(shell, takeLock(site, next))
      return next
    }
    const script = startMigration(site, owner, { release, script: `echo ran >>'${count}'`, forced: false })
    const gap = `"$h/migration/claim"; } 2>/dev/null && `
    const [reached, go] = [at('reached'), at('go')]
    const paused = script.replace(gap, `${gap}{ : >'${reached}'; while [ ! -e '${go}' ]; do sleep 0.05; done; } && `)
    expect(paused).not.toBe(script)
    const late = start(shell, paused, { env })
    await until(() => existsSync(reached))
    const next = await take()
    const other = startMigration(site, next, { release, script: `echo next >>'${count}'`, forced: false })
    expect(parseMigrationStart(await ok(shell, other, { env }))).toBe('started')
    writeFileSync(go, '')
    expect((await late.ended).code).toBe(LOCK_LOST)
    expect((await run(shell, script, { env })).code).toBe(LOCK_LOST)
    await follow(place)
    expect(readFileSync(count, 'utf8')).toBe('next\n')
    expect(began(place)).toEqual([`${release}.1`])
  })

  it('has its secrets on stdin alone: not in a file, not in an argument', async () => {
    const place = await locked(shell)
    const secret = 'a-very-secret-word'
    const [go, reached] = [place.at('go'), place.at('reached')]
    const script = stepScript({
      script: `: >'${reached}'; while [ ! -e '${go}' ]; do sleep 0.05; done; echo "\${#KEY}"`,
      shell: 'sh',
      env: {},
      secrets: { KEY: secret },
      directory: '~',
    })
    expect(await begin(place, script)).toBe('started')
    await until(() => existsSync(reached))
    const commandLines = readdirSync('/proc')
      .filter(pid => /^\d+$/.test(pid) && Number(pid) !== process.pid)
      .map(pid => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        } catch {
          return ''
        }
      })
    expect(commandLines.filter(c => c.includes(secret))).toEqual([])
    const files = readdirSync(place.at(), { recursive: true, encoding: 'utf8', withFileTypes: true })
    for (const file of files.filter(f => f.isFile()))
      expect(readFileSync(`${file.parentPath}/${file.name}`, 'utf8')).not.toContain(secret)
    writeFileSync(go, '')
    expect((await follow(place)).stdout).toBe(`${secret.length}\n`)
    rmSync(go)
  })
})
