import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { laptop, onTerminal, piped, undecided } from '../support/laptop.ts'
import { nameOf, processesWith, signal } from '../support/processes.ts'
import { balancerWith, type Site } from '../support/site.ts'
import { ctrlC, type Pty } from '../support/terminal/pty.ts'
import { useSites } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'

const site = useSites()

/** Starts a deployment on a terminal, and waits until web1 is out and web2 has not been begun. */
async function draining(at: Site, words: readonly string[] = ['deploy']): Promise<Pty> {
  at.manifest(balancerWith(at, { wait_after_removing_servers: 600 }))
  at.change({ version: '2' })
  const run = onTerminal(at, words)
  await waitUntil('web1 is drained', () => run.written().includes('drained'), 120_000)
  return run
}

describe('Ctrl-C', () => {
  it('once: a drained server serves again, the lock is free, and it says what it does', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2 })
    const before = at.current('web1')
    const run = await draining(at)
    run.type(ctrlC)
    expect(await run.ended, run.written()).toMatchObject({ code: 130, echo: true })
    expect(run.written()).toContain('ending cleanly: web1 goes back into rotation; Ctrl-C again ends at once')
    expect(await at.rotation('web1')).toBe('serving') // seen by us before it ended: nothing comes after it
    expect([at.current('web1'), at.heldLocks()]).toEqual([before, []])
    expect(undecided(at, 'web1')).toBe(false)
  })

  it('once while a step runs: the server is back on its old release when the process has ended', {
    timeout: 240_000,
  }, async () => {
    const at = await site({ servers: 2 })
    const before = at.current('web1')
    // only the first time: the way back runs the same step
    at.manifest({
      activate: 'if mkdir "$HOME/once" 2>/dev/null; then ./activate; echo hangs; sleep 1000; else ./activate; fi',
    })
    at.change({ version: '2' })
    const run = onTerminal(at, ['deploy'])
    await waitUntil('the step runs', () => run.written().includes('│ hangs'), 120_000)
    run.type(ctrlC)
    expect((await run.ended).code, run.written()).toBe(130)
    expect(run.written()).toContain('ending cleanly: web1: the new release stays if')
    expect([at.current('web1'), await at.rotation('web1'), at.heldLocks()]).toEqual([before, 'serving', []])
  })

  it('twice: it ends at once, and says the command that goes on from there', { timeout: 300_000 }, async () => {
    const at = await site({ servers: 2 })
    const gate = join(at.temp, 'gate')
    // The way back has to run the step again, and hangs there: a person need not wait for it.
    at.manifest({ activate: `if [ -e ${gate} ]; then ./activate; else echo hangs; sleep 1000; fi` })
    at.change({ version: '2' })
    const run = onTerminal(at, ['deploy'])
    await waitUntil('the step runs', () => run.written().includes('│ hangs'), 120_000)
    run.type(ctrlC)
    await waitUntil('it is being recovered', () => (run.written().match(/│ hangs/g)?.length ?? 0) > 1, 120_000)
    run.type(ctrlC)
    expect(await run.ended, run.written()).toMatchObject({ code: 130, echo: true })
    expect(undecided(at, 'web1')).toBe(true)
    const { env } = laptop(at)
    const [, line = ''] = /(recover --ssh-key-file \S+)/.exec(run.written()) ?? []
    writeFileSync(gate, '')
    await waitUntil(
      'the dead run’s lease is over, and it is recovered',
      async () => (await piped(at.workspace, env, line.split(' '))).code === 0,
      200_000,
    )
    expect([await at.rotation('web1'), at.heldLocks(), undecided(at, 'web1')]).toEqual(['serving', [], false])
  })

  it('of a plan simply ends it', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 1 })
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    try {
      const { port } = silent.address() as AddressInfo
      at.manifest({ servers: [{ name: 'web1', host: `127.0.0.1:${port}`, roles: ['web', 'web1'] }] })
      const run = onTerminal(at, ['plan'])
      await waitUntil('it connects', () => run.written().includes('preflight ·'))
      run.type(ctrlC)
      expect((await run.ended).code, run.written()).toBe(130)
      expect(run.written()).not.toContain('ending cleanly')
    } finally {
      silent.close()
    }
  })
})

describe('the other ends', () => {
  it('a terminal that is closed ends the deployment as Ctrl-C does', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    const run = await draining(at)
    run.hangUp()
    expect((await run.ended).code).toBe(129)
    expect([await at.rotation('web1'), at.heldLocks(), undecided(at, 'web1')]).toEqual(['serving', [], false])
  })

  it('so does SIGTERM', { timeout: 240_000 }, async () => {
    const at = await site({ servers: 2 })
    const run = await draining(at)
    const { env } = laptop(at)
    const own = processesWith('HOME', env['HOME'] ?? '').filter(pid => nameOf(pid) !== 'python3')
    expect(own).toHaveLength(1)
    for (const pid of own) signal(pid, 'SIGTERM')
    expect((await run.ended).code, run.written()).toBe(143)
    expect([await at.rotation('web1'), at.heldLocks(), undecided(at, 'web1')]).toEqual(['serving', [], false])
  })
})
