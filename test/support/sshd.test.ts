import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { isRunning } from './processes.ts'
import { type Sshd, type SshdOptions, startSshd } from './sshd.ts'

const run = promisify(execFile)
const open: Sshd[] = []
const start = async (options?: SshdOptions) => {
  const server = await startSshd(options)
  open.push(server)
  return server
}
afterEach(async () => {
  await Promise.all(open.splice(0).map(s => s.stop()))
})

/** Runs a command with Debian's own ssh client, which knows nothing of this project. */
async function ssh(server: Sshd, command: string, knownHosts = server.knownHosts): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'ssh-'))
  try {
    writeFileSync(join(directory, 'key'), server.privateKey, { mode: 0o600 })
    writeFileSync(join(directory, 'known'), knownHosts)
    const options = ['-F', 'none', '-o', 'BatchMode=yes', '-o', `UserKnownHostsFile=${join(directory, 'known')}`]
    const login = ['-i', join(directory, 'key'), '-p', String(server.port), `${server.user}@127.0.0.1`]
    return (await run('ssh', [...options, ...login, command])).stdout
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

describe('a test sshd', () => {
  it('lets the key in, with a home and variables of its own', async () => {
    const server = await start({ name: 'web1', env: { COLOUR: 'dark blue' } })
    expect(await ssh(server, 'echo "$HOME|$COLOUR"')).toBe(`${server.home}|dark blue\n`)
    expect(server.log()).toContain('Accepted publickey')
  })

  it('is known by its own host keys only', async () => {
    const [one, two] = [await start(), await start({ hostKeyTypes: ['ed25519', 'ecdsa', 'rsa'] })]
    expect(two.hostKeys.map(k => k.split(' ')[0])).toEqual(['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ssh-rsa'])
    const wrong = one.knownHosts.replace(String(one.port), String(two.port))
    await expect(ssh(two, 'true', wrong)).rejects.toThrow('Host key verification failed')
    expect(await ssh(two, 'echo in', two.knownHosts.split('\n').slice(2).join('\n'))).toBe('in\n')
  })

  it('takes lines of configuration before its own', async () => {
    const server = await start({ config: ['AllowTcpForwarding no', 'ForceCommand echo forced'] })
    expect(await ssh(server, 'echo mine')).toBe('forced\n')
  })

  it('has its own files where it is told to, and room that ends', async () => {
    const shared = mkdtempSync(join(tmpdir(), 'srv-'))
    const own = mkdtempSync(join(tmpdir(), 'own-'))
    const [one, two] = [
      await start({ mounts: { [shared]: { directory: own } } }),
      await start({ mounts: { [shared]: { size: 65_536 } } }),
    ]
    await ssh(one, `echo one >${shared}/file`)
    expect([existsSync(join(own, 'file')), existsSync(join(shared, 'file'))]).toEqual([true, false])
    await expect(ssh(two, `head -c 100000 /dev/zero >${shared}/file`)).rejects.toThrow('No space left')
    for (const directory of [shared, own]) rmSync(directory, { recursive: true })
  })

  it('takes everything along that was started on it when it stops', async () => {
    const server = await start()
    const pid = Number(await ssh(server, 'setsid sleep 1000 >/dev/null 2>&1 </dev/null & echo $!'))
    expect(isRunning(pid)).toBe(true)
    await server.stop()
    open.splice(0)
    expect([isRunning(pid), isRunning(server.pid), existsSync(server.home)]).toEqual([false, false, false])
  })
})
