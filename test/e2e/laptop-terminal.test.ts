import { spawn } from 'node:child_process'
import { existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { laptop, onTerminal, piped, undecided } from '../support/laptop.ts'
import { nameOf, processesWith, signal } from '../support/processes.ts'
import { bundle } from '../support/runner.ts'
import { ctrlC } from '../support/terminal/pty.ts'
import { useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()
const [stop, goOn] = ['\x13', '\x11']
const lastLine = (text: string) =>
  text
    .replace(/\x1b\[[0-9;]*[mJ]/g, '')
    .split(/[\r\n]+/)
    .findLast(line => line !== '')

describe('a terminal that is stopped by Ctrl-S', () => {
  it('lags, and the deployment goes on to its end; all of the log comes with Ctrl-Q', {
    timeout: 300_000,
  }, async () => {
    const at = await site({ servers: 3 })
    // more than the terminal and its driver hold
    const much = 'seq -f "line %06g of a long log that is written while nobody reads" 5000'
    at.manifest({ activate: `sleep 1; ${much}; ./activate` })
    at.change({ version: '2' })
    const before = at.servers.map(server => at.current(server.name))
    const run = onTerminal(at, ['deploy'])
    await waitUntil('the first is being activated', () => run.written().includes('→ activating'), 120_000)
    run.type(stop)
    await waitUntil(
      'all are on the new release, and no lock is left',
      () => at.servers.every((server, i) => at.current(server.name) !== before[i]) && at.heldLocks().length === 0,
      120_000,
    )
    expect(run.written()).not.toContain('success:')
    run.type(goOn)
    expect(await run.ended, run.written().slice(-2000)).toMatchObject({ code: 0, echo: true })
    expect(run.written().match(/line 00\d{4} of a long log that is written while nobody reads/g)).toHaveLength(15_000)
    expect(lastLine(run.written())).toMatch(/^success: 3 succeeded/)
  })

  it('keeps nothing from being ended by Ctrl-C', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    at.manifest({ activate: 'if mkdir "$HOME/once" 2>/dev/null; then sleep 1000; fi; ./activate' })
    at.change({ version: '2' })
    const run = onTerminal(at, ['deploy'])
    await waitUntil('the step runs', () => existsSync(join(at.server('web1').sshd.home, 'once')), 120_000)
    run.type(stop)
    run.type(ctrlC)
    // Ctrl-C starts the terminal again; what follows is the end.
    run.type(stop)
    await waitUntil('no lock is left', () => at.heldLocks().length === 0, 120_000)
    run.type(goOn)
    expect((await run.ended).code, run.written()).toBe(130)
    expect(lastLine(run.written())).toMatch(/^cancelled, and ended cleanly: 1 back on the old release/)
    expect([await at.rotation('web1'), at.heldLocks(), undecided(at, 'web1')]).toEqual(['serving', [], false])
  })
})

describe('nohup', () => {
  it('keeps the deployment running when the terminal is closed', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    const { env, keyFile } = laptop(at)
    at.manifest({ activate: 'sleep 2; ./activate' })
    at.change({ version: '2' })
    const words = ['nohup', process.execPath, bundle, 'deploy', ...keyFile]
    const run = spawn('bash', ['-c', '"$@"; exit $?', 'bash', ...words], { cwd: at.workspace, env })
    let log = ''
    run.stdout.setEncoding('utf8').on('data', (text: string) => {
      log += text
    })
    const ended = new Promise(resolve => run.once('close', resolve))
    await waitUntil('a server is being activated', () => log.includes('→ activating'), 120_000)
    const own = processesWith('HOME', env['HOME'] ?? '').filter(pid => pid !== run.pid && nameOf(pid) !== 'bash')
    expect(own).toHaveLength(1)
    for (const pid of own) signal(pid, 'SIGHUP')
    expect(await ended, log).toBe(0)
    expect(lastLine(log)).toMatch(/^success: 2 succeeded/)
  })
})

describe('what a person is told', () => {
  it('of a lock that was lost: the line that brings the run to an end', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    const { env, keyFile } = laptop(at)
    at.manifest({
      activate: 'if mkdir "$HOME/once" 2>/dev/null; then touch "$HOME/reached"; sleep 600; fi; ./activate',
    })
    at.change({ version: '2' })
    const run = piped(at.workspace, env, ['deploy', ...keyFile])
    await waitUntil('web1 is activated', () => existsSync(join(at.server('web1').sshd.home, 'reached')), 120_000)
    const lock = join(at.server('web1').root, '.deploy-action/lock')
    const held = () => readdirSync(lock).filter(name => name.startsWith('held'))
    await waitUntil('the lock is gone', () => {
      // Its name changes with each renewal.
      for (const name of held()) rmSync(join(lock, name), { recursive: true, force: true })
      return held().length === 0
    })
    const { code, stdout } = await run
    expect(code, stdout).toBe(1)
    expect(stdout).toContain('the lock on web1 is lost')
    const [, line = ''] = /or:\n {2}node \S+ (recover .*)\n$/.exec(stdout) ?? []
    expect(line, stdout).toBe(`recover ${keyFile.join(' ')}`)
    expect(undecided(at, 'web1')).toBe(true)
    const recovered = await piped(at.workspace, env, line.split(' '))
    expect(recovered.code, recovered.stdout).toBe(0)
    expect(recovered.stdout).toMatch(/^success: 1 back on the old release/m)
    expect([await at.rotation('web1'), at.heldLocks()]).toEqual(['serving', []])
  })

  it('of Ctrl-C during a migration: that it is waited for here, and at the end that it was cancelled', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2 })
    const gate = join(at.temp, 'gate')
    at.manifest({ migrate: { run: `echo migrates; until [ -e ${gate} ]; do sleep 0.1; done` } })
    at.change({ version: '2' })
    const run = onTerminal(at, ['deploy'])
    await waitUntil('it migrates', () => run.written().includes('│ migrates'), 120_000)
    run.type(ctrlC)
    const told = 'goes on by itself; it is waited for as this run is brought to an end'
    await waitUntil('it says what becomes of it', () => run.written().includes(told), 120_000)
    writeFileSync(gate, '')
    expect((await run.ended).code, run.written()).toBe(130)
    expect(run.written()).not.toContain('the next run waits for it')
    expect(lastLine(run.written())).toMatch(/^cancelled, and ended cleanly: 2 on the old release, in /)
  })

  it('of a command line that cannot be used: what to write, and nothing of jobs', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1, seed: false })
    const { env } = laptop(at)
    const of = (...words: string[]) => piped(at.workspace, env, words)
    const nope = await of('plan', '--manifest', 'nope.yml')
    expect([nope.code, nope.stderr]).toEqual([
      1,
      expect.stringMatching(/nope\.yml cannot be read.*\n.*--manifest PATH/),
    ])
    expect(nope.stderr).not.toContain('checkout')
    expect(await of('help', 'deplyo')).toEqual({
      code: 2,
      stdout: '',
      stderr: expect.stringContaining('did you mean deploy?'),
    })
    expect(await of('plan', '--version')).toMatchObject({ code: 0, stdout: expect.stringMatching(/^deploy-action \d/) })
    expect(await of('validate', '--strategy', 'serial')).toMatchObject({ code: 2, stdout: '' })
  })
})
