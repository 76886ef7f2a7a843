import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CommandDeps, command } from '../../src/balancers/command.ts'
import { runLocally } from '../../src/balancers/local-script.ts'
import { BalancerError } from '../../src/errors.ts'
import { plainConnection } from '../support/plain-connection.ts'
import { type Sshd, startSshd } from '../support/sshd.ts'
import { waitUntil } from '../support/wait-until.ts'
import { keepsTheContract } from './contract.ts'
import { commandSettings, server } from './fixtures.ts'
import { subject } from './haproxy-fixture.ts'

const signal = new AbortController().signal
const servers = [server('web1'), server('web2')] as const
const ctl = new URL('haproxyctl.mjs', import.meta.url).pathname

let sshd: Sshd
const closing: (() => void)[] = []
beforeAll(async () => {
  sshd = await startSshd()
})
afterAll(async () => {
  for (const close of closing) close()
  await sshd?.stop()
})

const deps = (env: Record<string, string> = {}, behind: CommandDeps['servers'] = servers): CommandDeps => ({
  servers: behind,
  connect: () => plainConnection(sshd),
  shell: 'bash',
  variables: at => ({ env: { DEPLOY_SERVER: at.name, ...env }, secrets: { TOKEN: "it's secret" } }),
  runnerEnv: { PATH: process.env['PATH'] ?? '' },
  onOutput: () => undefined,
})

const calls = (what: string) => `"$NODE" "$CTL" "$SOCKET" ${what} "web/$DEPLOY_SERVER"`
const build =
  (on: 'runner' | 'server') =>
  (socket: string) =>
  (behind: CommandDeps['servers'] = servers) => {
    const balancer = command(
      'edge',
      commandSettings(
        { remove: calls('remove'), drained: calls('drained'), add: calls('add'), serving: calls('serving') },
        on,
      ),
      deps({ NODE: process.execPath, CTL: ctl, SOCKET: socket }, behind),
    )
    closing.push(() => balancer.close?.())
    return balancer
  }
/** Whom the scripts know, and how they log in, only they know. */
const theirs = {
  'unknown member': 'only the scripts know members',
  'ambiguous member': 'only the scripts know members',
}
keepsTheContract('command on the runner', () => subject(build('runner'), theirs))
keepsTheContract('command on the server', () => subject(build('server'), theirs))

describe('scripts', () => {
  const yes = { remove: 'true', drained: 'true', add: 'true', serving: 'true' }
  const balancer = (scripts: Partial<typeof yes>, on: 'runner' | 'server' = 'runner') =>
    command('edge', commandSettings({ ...yes, ...scripts }, on), deps())

  it.each(['runner', 'server'] as const)('that cannot start on the %s are an error, not a "not yet"', async on => {
    const edge = balancer({ serving: 'no-such-command-here' }, on)
    const error = await edge.preflight(servers, signal).catch((e: unknown) => e)
    edge.close?.()
    expect(error).toBeInstanceOf(BalancerError)
    expect((error as BalancerError).message).toMatch(/`serving` for web1 .*exit 127.*`serving` for web2 /)
    expect((error as BalancerError).hint).toContain('no-such-command-here')
  })

  it('that fail to remove are an error with what they said', async () => {
    const edge = balancer({ remove: 'echo "no rights" >&2; exit 3' })
    const receipt = await edge.receipt(servers[0], signal)
    const error = await edge.remove(receipt, signal).catch((e: unknown) => e)
    expect((error as BalancerError).message).toMatch(/exit 3/)
    expect((error as BalancerError).hint).toContain('no rights')
  })

  it('fail in the middle of a pipe and at an unset variable', async () => {
    const edge = balancer({ remove: 'false | cat', add: 'echo "$NOT_SET"' })
    const receipt = await edge.receipt(servers[0], signal)
    await expect(edge.remove(receipt, signal)).rejects.toThrow(BalancerError)
    await expect(edge.restore(receipt, signal)).rejects.toThrow(BalancerError)
  })

  it('see their variables and secrets', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'command-'))
    const file = join(directory, 'seen')
    const edge = balancer({ remove: `echo "$DEPLOY_SERVER $TOKEN" > '${file}'` })
    await edge.remove(await edge.receipt(servers[1], signal), signal)
    const seen = readFileSync(file, 'utf8')
    rmSync(directory, { recursive: true })
    expect(seen).toBe("web2 it's secret\n")
  })

  it('tell draining from warming by what was asked last', async () => {
    const edge = balancer({ drained: 'false', serving: 'false' })
    const receipt = await edge.receipt(servers[0], signal)
    expect(receipt.before).toBe('unhealthy')
    await edge.remove(receipt, signal)
    expect((await edge.read(receipt, signal)).state).toBe('draining')
    await edge.restore(receipt, signal)
    expect((await edge.read(receipt, signal)).state).toBe('warming')
  })

  const alive = (pid: number) => {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  }
  it('are ended with everything they started when the time is over', async () => {
    let output = ''
    const result = await runLocally('sleep 1000 & echo $!; wait', {
      env: { PATH: process.env['PATH'] ?? '' },
      // Long enough for a busy machine to start a shell.
      timeout: 3,
      signal,
      onOutput: o => {
        output += o.text
      },
    })
    expect(result.ended).toBe('timeout')
    await waitUntil('its child is gone', () => !alive(Number(output)))
  })

  it('are ended when the deployment is cancelled', async () => {
    const cancel = new AbortController()
    const running = runLocally('echo started; sleep 1000', {
      env: { PATH: process.env['PATH'] ?? '' },
      timeout: 1000,
      signal: cancel.signal,
      onOutput: () => cancel.abort(new Error('cancelled')),
    })
    await expect(running).rejects.toThrow('cancelled')
  })

  it('do not hang on a background process that keeps their output open', async () => {
    let output = ''
    const result = await runLocally('sleep 1000 & echo $!', {
      env: { PATH: process.env['PATH'] ?? '' },
      timeout: 100,
      signal,
      onOutput: o => {
        output += o.text
      },
    })
    process.kill(Number(output), 'SIGKILL')
    expect(result).toMatchObject({ ended: 'exit', code: 0 })
  })
})
