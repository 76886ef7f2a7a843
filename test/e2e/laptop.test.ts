import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { laptop, onTerminal, piped } from '../support/laptop.ts'
import { nameOf, processesWith, signal } from '../support/processes.ts'
import { clientKey } from '../support/ssh-keys.ts'
import { ctrlC } from '../support/terminal/pty.ts'
import { screenOf } from '../support/terminal/screen.ts'
import { useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()

const colour = /\x1b\[\d*m/
/** A drawing of the progress line ends with the time, and with the cursor back at its start. */
const drawing = / · \d\d:\d\d\r/

describe('on a terminal', () => {
  it('shows the log in colour with a progress line below it, and leaves only the log', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2 })
    at.change({ version: '2' })
    const run = onTerminal(at, ['deploy'], { columns: 100 })
    const end = await run.ended
    const written = run.written()
    expect(end, written).toMatchObject({ code: 0, echo: true })
    expect(written).toMatch(colour)
    expect(written).toMatch(drawing)
    expect(written).toMatch(/\d of 2 done · web[12] \w+/)
    const screen = screenOf(written, 100)
    expect(screen.filter(line => drawing.test(`${line}\r`))).toEqual([])
    expect(screen.findLast(line => line !== '')).toMatch(/^success: 2 succeeded/)
  })

  it('has no colours with NO_COLOR, and no progress line where it is dumb or in CI', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1 })
    const said = async (env: Record<string, string>) => {
      const run = onTerminal(at, ['status'], { env })
      expect((await run.ended).code, run.written()).toBe(0)
      return [colour.test(run.written()), drawing.test(run.written())]
    }
    expect(await said({})).toEqual([true, true])
    expect(await said({ NO_COLOR: '1' })).toEqual([false, true])
    expect(await said({ TERM: 'dumb' })).toEqual([false, false])
    expect(await said({ CI: 'true' })).toEqual([true, false])
  })

  it('shows nothing of a server that moves a cursor, and no line wider than it is', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1 })
    const attack = "printf '\\033[2J\\033[H\\033[?25l\\033]0;title\\007\\r\\033[1A gone\\n'; sleep 2"
    at.manifest({ activate: `${attack}; ./activate` })
    at.change({ version: '2' })
    const run = onTerminal(at, ['deploy'], { columns: 40 })
    await waitUntil('it is under way', () => run.written().includes('gone'), 120_000)
    run.resize(24, 30)
    expect((await run.ended).code, run.written()).toBe(0)
    // screenOf throws for any control but line ends, colours and the clearing of the progress line
    expect(screenOf(run.written(), 40).join('')).toContain('gone')
    const lines = [...run.written().matchAll(/([^\r\n]*)(?<= · \d\d:\d\d)\r(?!\n)/g)].map(([, line = '']) => line)
    const widths = lines.map(line => line.replace(/\x1b\[[0-9;]*[mJ]/g, '').length)
    expect(Math.max(...widths)).toBeLessThan(40)
    expect(widths.at(-1)).toBeLessThan(30)
  })
})

describe('piped', () => {
  it('writes a plain log, and takes the keys of an agent', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1 })
    const { env, temp } = laptop(at)
    const agent = join(temp, 'agent')
    const daemon = spawn('ssh-agent', ['-D', '-a', agent], { stdio: 'ignore' })
    try {
      await waitUntil('the agent listens', () => existsSync(agent))
      // Its socket is there a moment before it listens.
      await waitUntil('it has the key', async () => {
        const add = spawn('ssh-add', ['-q', '-'], {
          env: { ...env, SSH_AUTH_SOCK: agent },
          stdio: ['pipe', 'ignore', 'ignore'],
        })
        add.stdin.end(clientKey().privateKey)
        return (await new Promise(resolve => add.once('close', resolve))) === 0
      })
      at.change({ version: '2' })
      const result = await piped(at.workspace, { ...env, SSH_AUTH_SOCK: agent }, ['deploy'])
      expect(result.code, result.stdout + result.stderr).toBe(0)
      expect(result.stdout).toMatch(/^success: 1 succeeded/m)
      expect(result.stdout).not.toMatch(/[\r\x1b]/)
      const forced = await piped(at.workspace, { ...env, SSH_AUTH_SOCK: agent, FORCE_COLOR: '1' }, ['status'])
      expect(forced.stdout).toMatch(colour)
      expect(forced.stdout).not.toMatch(/\r/)
      const none = await piped(at.workspace, env, ['status'])
      expect([none.code, none.stdout]).toEqual([1, expect.stringContaining('--ssh-key-file PATH')])
    } finally {
      daemon.kill()
    }
  })

  it('deploys nothing without arguments: it prints how it is used', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1, seed: false })
    const { env } = laptop(at)
    const before = at.footprint('web1')
    const nothing = await piped(at.workspace, env, [])
    expect([nothing.code, nothing.stdout]).toEqual([2, ''])
    expect(nothing.stderr).toMatch(/index\.js COMMAND/)
    expect((await piped(at.workspace, env, ['--environment', 'production'])).code).toBe(2)
    expect(at.footprint('web1')).toEqual(before)
  })

  it('finds the repository from a directory below its root', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1, seed: false })
    const { env, keyFile } = laptop(at)
    const below = join(at.workspace, 'app')
    const plan = (...words: string[]) => piped(below, env, ['plan', ...keyFile, ...words])
    expect((await plan()).stdout).toMatch(/^success/m)
    expect((await plan('--manifest', '../deploy.yml')).stdout).toMatch(/^success/m)
    expect((await plan('--manifest', 'deploy.yml')).stderr).toMatch(/app\/deploy\.yml cannot be read/)
    expect(readdirSync(join(env['TMPDIR'] ?? ''))).toEqual([]) // it changes nothing, and leaves nothing
  })
})

describe('a key with a passphrase', () => {
  it('is opened by what is typed, which is never shown', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1, seed: false })
    const { env } = laptop(at)
    const file = join(env['HOME'] ?? '', 'locked')
    copyFileSync(join(env['HOME'] ?? '', 'key'), file)
    execFileSync('ssh-keygen', ['-q', '-p', '-P', '', '-N', 'open sesame', '-f', file])
    const start = () => onTerminal(at, ['plan'], {}, file)
    const run = start()
    await waitUntil('it asks', () => run.written().includes('Passphrase of the SSH key:'), 120_000)
    run.type('wrong\r')
    await waitUntil('it asks again', () => run.written().includes('does not open it'), 120_000)
    run.type('open sesame\r')
    expect(await run.ended, run.written()).toMatchObject({ code: 0, echo: true })
    expect(run.written()).not.toMatch(/sesame|wrong/)
    const left = start()
    await waitUntil('it asks', () => left.written().includes('Passphrase of the SSH key:'), 120_000)
    left.type(ctrlC)
    expect(await left.ended).toMatchObject({ code: 130, echo: true })
    const ended = start()
    await waitUntil('it asks', () => ended.written().includes('Passphrase of the SSH key:'), 120_000)
    for (const pid of processesWith('HOME', env['HOME'] ?? '').filter(p => nameOf(p) !== 'python3'))
      signal(pid, 'SIGTERM')
    expect(await ended.ended).toMatchObject({ code: 143, echo: true })
    const byVariable = await piped(at.workspace, { ...env, INPUT_SSH_KEY_PASSPHRASE: 'open sesame' }, [
      ...['plan', '--ssh-key-file=~/locked'],
    ])
    expect(byVariable.code, byVariable.stderr).toBe(0)
    const without = await piped(at.workspace, env, ['plan', '--ssh-key-file', file])
    expect([without.code, without.stdout]).toEqual([1, expect.stringContaining('INPUT_SSH_KEY_PASSPHRASE')])
  })
})
