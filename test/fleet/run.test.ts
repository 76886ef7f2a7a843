import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ConnectionError, InputError, PreflightError } from '../../src/errors.ts'
import type { Connection, Output, RunOptions } from '../../src/fleet/connection.ts'
import type { Fleet } from '../../src/fleet/fleet.ts'
import { stepScript } from '../../src/fleet/step-script.ts'
import { commandLines, isRunning, signal } from '../support/processes.ts'
import { type Sshd, type SshdOptions, startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { failure, fleetOf, forever, serverAt, withTimeOf } from './reach.ts'

const root = mkdtempSync(join(tmpdir(), 'run-'))
const within = (more: Partial<RunOptions> = {}): RunOptions => ({ signal: forever, timeout: 60, ...more })

const started: { fleet: Fleet; sshd: Sshd }[] = []
async function connected(options: SshdOptions = {}) {
  const sshd = await startSshd(options)
  const fleet = fleetOf([sshd])
  started.push({ fleet, sshd })
  return { sshd, fleet, connection: await fleet.connect(serverAt(sshd), forever) }
}
afterAll(async () => {
  for (const { fleet } of started) fleet.close()
  await Promise.all(started.map(({ sshd }) => sshd.stop()))
  rmSync(root, { recursive: true, force: true })
})

let connection: Connection
let sshd: Sshd
let fleet: Fleet
beforeAll(async () => {
  ;({ connection, sshd, fleet } = await connected())
})

let trees = 0
/** A script of four processes that stay: a child, a child with a grandchild, one that ignores TERM. */
function tree() {
  const file = join(root, `tree-${trees++}`)
  const pids = () => readFileSync(file, 'utf8').trim().split('\n').map(Number)
  const script = `: >${file}
    sleep 300 & echo $! >>${file}
    sh -c 'sleep 300 & echo $! >>${file}; wait' & echo $! >>${file}
    sh -c 'trap "" TERM; echo $$ >>${file}; while :; do sleep 1; done' &
    while [ "$(wc -l <${file})" -lt 4 ]; do sleep 0.1; done
    echo ready; wait; echo done`
  return { script, pids }
}

/** Tells when a script has printed `ready`. */
function readiness() {
  const { promise, resolve } = Promise.withResolvers<void>()
  let seen = ''
  return {
    promise,
    onOutput: ({ text }: Output) => {
      seen += text
      if (seen.includes('ready')) resolve()
    },
  }
}

describe('a script on a server', () => {
  it('gives its output and its exit code', async () => {
    expect(await connection.run('echo out; echo err >&2; exit 3', within())).toEqual({
      ended: 'exit',
      code: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    })
    expect(await connection.run('', within())).toEqual({ ended: 'exit', code: 0, stdout: '', stderr: '' })
  })

  it('says by which signal it was ended', async () => {
    expect(await connection.run('echo before; kill -KILL $$', within())).toMatchObject({
      ended: 'signal',
      name: 'SIGKILL',
      stdout: 'before\n',
    })
  })

  it('has an empty stdin, so that no command in it eats the rest', async () => {
    const { stdout } = await connection.run('cat; read -r line || echo nothing; echo after', within())
    expect(stdout).toBe('nothing\nafter\n')
  })

  it('tells its output as it comes', async () => {
    const told: Output[] = []
    const gate = join(root, 'gate')
    const running = connection.run(
      `echo first; while [ ! -e ${gate} ]; do sleep 0.05; done; echo second >&2`,
      within({ onOutput: output => told.push(output) }),
    )
    await waitUntil('the first line is told', () => told.length > 0)
    expect(told).toEqual([{ stream: 'out', text: 'first\n' }])
    writeFileSync(gate, '')
    await running
    expect(told.slice(1)).toEqual([{ stream: 'err', text: 'second\n' }])
  })

  it('is decoded as UTF-8, also where a character comes in two pieces', async () => {
    const texts: string[] = []
    const { stdout } = await connection.run(
      `printf 'a\\303'; sleep 0.2; printf '\\251b'`,
      within({ onOutput: ({ text }) => texts.push(text) }),
    )
    expect(stdout).toBe('aéb')
    expect(texts.join('')).toBe('aéb')
  })

  it('gives megabytes of output to its last byte', async () => {
    let told = 0
    const script = `i=0; while [ $i -lt 5 ]; do head -c 1048576 /dev/zero | tr '\\000' x; i=$((i+1)); done; printf end`
    const { stdout } = await connection.run(
      script,
      within({ keep: 8 * 1024 * 1024, onOutput: ({ text }) => (told += text.length) }),
    )
    expect(stdout.length).toBe(5 * 1048576 + 3)
    expect(stdout.endsWith('xend')).toBe(true)
    expect(told).toBe(5 * 1048576 + 3)
    const kept = await connection.run(script, within({ keep: 1000 }))
    expect(kept.stdout).toMatch(/^x{500}\n\[\d+ bytes left out\]\nx{497}end$/)
  })

  it('may be larger than an argument list', async () => {
    const script = `# ${'x'.repeat(97)}\n`.repeat(2000)
    expect(script.length).toBe(200_000)
    const { stdout } = await connection.run(`${script}echo ${'y'.repeat(100_000)} | wc -c`, within())
    expect(stdout.trim()).toBe('100001')
  })

  it('is refused when it holds a NUL byte, which a shell would drop', async () => {
    await failure(connection.run('echo a\0b', within()), InputError)
  })

  it('shows nothing of itself in an argument list while it runs', async () => {
    const { promise, onOutput } = readiness()
    const stop = new AbortController()
    const step = stepScript({
      script: 'echo ready; sleep 300 # hush-script',
      shell: 'bash',
      env: { A: 'hush-env' },
      secrets: { B: 'hush-secret' },
      directory: '/',
    })
    const running = connection.run(step, within({ signal: stop.signal, onOutput }))
    await promise
    const lines = commandLines().map(c => c.args)
    expect(lines.some(line => line.includes('bash --norc -eu -o pipefail'))).toBe(true)
    expect(lines.filter(line => line.includes('hush-'))).toEqual([])
    stop.abort()
    await running
  })

  it('is not mixed with what a login shell prints', async () => {
    writeFileSync(join(sshd.home, '.bashrc'), 'echo "welcome, this is no output"; echo warning >&2\n')
    expect(await connection.run('echo own', within())).toMatchObject({ stdout: 'own\n', stderr: '' })
    rmSync(join(sshd.home, '.bashrc'))
  })

  it('does not wait for a daemon that holds its output, nor takes what that prints for its own', async () => {
    const pids: number[] = []
    for (let i = 0; i < 12; i++) {
      const result = await connection.run(
        '(echo $$ >/dev/null; while :; do echo noise; sleep 0.01; done) & echo $!',
        within(),
      )
      expect(result).toMatchObject({ ended: 'exit', code: 0 })
      pids.push(Number(/^\d+$/m.exec(result.stdout)?.[0]))
    }
    // Each still holds its session's output; more of them than MaxSessions allows do not keep the next script out.
    const echo = await connection.run('sleep 300 & echo $!', within())
    pids.push(Number(echo.stdout))
    expect(pids.filter(isRunning).length).toBeGreaterThan(0)
    expect(isRunning(Number(echo.stdout))).toBe(true)
    for (const pid of pids) signal(pid, 'SIGKILL')
  })
})

describe('a script that has to end', () => {
  it('is gone with its whole tree when its time is over', async () => {
    const { script, pids } = tree()
    const { promise, onOutput } = readiness()
    const result = await withTimeOf(4711, async timeIsUp => {
      const running = connection.run(script, within({ timeout: 4711, onOutput }))
      await promise
      timeIsUp()
      return running
    })
    expect(result).toMatchObject({ ended: 'timeout', stdout: 'ready\n' })
    expect(pids()).toHaveLength(4)
    await waitUntil('they are gone', () => !pids().some(isRunning))
  })

  it('is gone with its whole tree when it is cancelled', async () => {
    const { script, pids } = tree()
    const { promise, onOutput } = readiness()
    const stop = new AbortController()
    const running = connection.run(script, within({ signal: stop.signal, onOutput }))
    await promise
    stop.abort()
    expect(await running).toMatchObject({ ended: 'cancelled', stdout: 'ready\n' })
    expect(pids()).toHaveLength(4)
    await waitUntil('they are gone', () => !pids().some(isRunning))
  })

  it('is gone with its whole tree when the connection is lost, and is said to be lost', async () => {
    const other = await connected()
    const { script, pids } = tree()
    const { promise, onOutput } = readiness()
    const running = other.connection.run(script, within({ onOutput }))
    await promise
    for (const pid of other.sshd.sessions()) signal(pid, 'SIGKILL')
    expect(await running).toMatchObject({
      ended: 'lost',
      reason: expect.stringContaining(other.sshd.name),
      stdout: 'ready\n',
    })
    expect(other.connection.closed.aborted).toBe(true)
    await waitUntil('the tree is gone', () => pids().filter(isRunning).length === 0)
    expect(await other.connection.run('true', within())).toMatchObject({ ended: 'lost' })
  })

  it('is not started when it is cancelled before', async () => {
    const file = join(root, 'never')
    const result = await connection.run(`touch ${file}`, within({ signal: AbortSignal.abort() }))
    expect(result).toEqual({ ended: 'cancelled', stdout: '', stderr: '' })
    expect(() => readFileSync(file)).toThrow(/ENOENT/)
  })

  it('that ignores TERM and shuts the watcher out is ended all the same', async () => {
    const stop = new AbortController()
    const { promise, onOutput } = readiness()
    // Stops the watcher, as an overloaded or hostile machine might; its parent is this script's main shell.
    const script = `for f in /proc/[0-9]*/stat; do
        read -r l 2>/dev/null <$f || continue
        p=\${l%% *}; set -- \${l##*) }
        [ "$2" = $$ ] && [ "$3" = $$ ] && case $(cat /proc/$p/comm) in sleep|cat) ;; *) echo "$p" ;; esac
      done >${root}/group
      while read -r p; do [ -e /proc/$p ] && [ "$(readlink /proc/$p/fd/1)" = /dev/null ] && kill -STOP $p; done <${root}/group
      trap '' TERM; echo ready; sleep 300`
    const running = connection.run(script, within({ signal: stop.signal, onOutput }))
    await promise
    stop.abort()
    expect(await running).toMatchObject({ ended: 'cancelled' })
    const pids = readFileSync(join(root, 'group'), 'utf8').trim().split('\n').map(Number)
    expect(pids.length).toBeGreaterThan(0)
    await waitUntil('they are gone', () => pids.filter(isRunning).length === 0)
  })
})

describe('sessions on one connection', () => {
  it('are at most eight at a time, however many scripts are asked for', async () => {
    const here = mkdtempSync(join(root, 'sessions-'))
    const script = (i: number) => `: >${here}/${i}; sleep 0.2; ls ${here} | wc -l; rm ${here}/${i}`
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => connection.run(script(i), within())))
    const together = results.map(r => Number(r.stdout))
    expect(results.filter(r => r.ended !== 'exit' || r.code !== 0)).toEqual([])
    expect(Math.max(...together)).toBeLessThanOrEqual(8)
    expect(Math.max(...together)).toBeGreaterThan(1)
  })

  it('give way to a server that allows fewer', async () => {
    const other = await connected({ config: ['MaxSessions 2'] })
    const results = await Promise.all(
      Array.from({ length: 12 }, (_, i) => other.connection.run(`sleep 0.05; echo ${i}`, within())),
    )
    expect(results.map(r => r.stdout)).toEqual(Array.from({ length: 12 }, (_, i) => `${i}\n`))
  })

  it('that a server never allows are an error that says so', async () => {
    const other = await connected({ config: ['MaxSessions 0'] })
    const error = await failure(other.connection.run('true', within()), ConnectionError)
    expect(error.message).toContain('opens no further session')
    expect(error.hint).toContain('MaxSessions')
  })

  it('in which no shell starts are told with what the server said instead', async () => {
    const other = await connected({ config: ['ForceCommand echo "This account is locked."; exit 1'] })
    const error = await failure(other.connection.run('true', within()), PreflightError)
    expect(error.message).toContain('did not start a script (exit code 1): This account is locked.')
    expect(error.hint).toContain('ForceCommand')
  })
})

it('ends a connection by itself only once: after close, scripts are lost and the fleet opens a new one', async () => {
  const again = await fleet.connect(serverAt(sshd), forever)
  expect(again).toBe(connection)
  connection.close()
  expect(connection.closed.aborted).toBe(true)
  connection = await fleet.connect(serverAt(sshd), forever)
  expect(connection).not.toBe(again)
  expect(await connection.run('echo new', within())).toMatchObject({ stdout: 'new\n' })
})
