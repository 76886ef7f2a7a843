/** The embedded SSH server, judged by OpenSSH's client: it has to be as good as a real one for what the tests and the demo ask of it. */
import { execFile, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { newKeyPair, ownDirectory, type SshServer, startSshServer } from '../../demo/ssh-server.ts'
import { freePort } from '../support/free-port.ts'
import { isRunning, signal } from '../support/processes.ts'
import { waitUntil } from '../support/wait-until.ts'

const client = newKeyPair()
const closing: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(env: Record<string, string> = {}): Promise<SshServer> {
  const server = await startSshServer({ name: 'web1', authorizedKeys: [client.publicKey], env })
  closing.push(() => server.stop())
  return server
}

function sshArguments(server: SshServer, options: readonly string[] = [], key = client.privateKey): string[] {
  const directory = mkdtempSync(join(tmpdir(), 'ssh-'))
  closing.push(() => rmSync(directory, { recursive: true, force: true }))
  writeFileSync(join(directory, 'key'), key, { mode: 0o600 })
  writeFileSync(join(directory, 'known'), server.knownHosts)
  return [
    ...['-F', 'none', '-o', 'BatchMode=yes', '-o', 'IdentitiesOnly=yes', '-o', 'IdentityAgent=none'],
    ...['-o', `UserKnownHostsFile=${join(directory, 'known')}`, '-i', join(directory, 'key')],
    ...['-p', String(server.port), ...options, `${server.user}@127.0.0.1`],
  ]
}

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}
const ssh = (server: SshServer, command: string, stdin: string | Buffer = '', key?: string): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const child = spawn('ssh', [...sshArguments(server, [], key), command])
    const out: Buffer[] = []
    const err: Buffer[] = []
    child.stdout.on('data', (b: Buffer) => out.push(b))
    child.stderr.on('data', (b: Buffer) => err.push(b))
    child.stdin.on('error', () => undefined)
    child.on('error', reject)
    child.on('close', code => resolve({ code, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }))
    child.stdin.end(stdin)
  })

describe('the embedded SSH server', () => {
  it('tells exit status, stdout and stderr apart, in a home of its own', async () => {
    const server = await start({ COLOUR: 'dark blue' })
    const ended = await ssh(server, 'echo "$PWD|$HOME|$USER|$COLOUR"; echo wrong >&2; exit 7')
    expect(ended).toEqual({ code: 7, out: `${server.home}|${server.home}|deploy|dark blue\n`, err: 'wrong\n' })
  })

  it('hands megabytes through in both directions, and the end of stdin', async () => {
    const server = await start()
    const sent = Buffer.alloc(5_000_000, 'abcdefghijklmno\n')
    const ended = await ssh(server, 'cat; echo end >&2', sent)
    expect([ended.code, ended.out === sent.toString(), ended.err]).toEqual([0, true, 'end\n'])
  })

  it('runs each command in a process group of its own', async () => {
    const ended = await ssh(await start(), 'read -r _ _ _ _ group session _ < /proc/$$/stat; echo "$$ $group $session"')
    const [pid, group, session] = ended.out.trim().split(' ')
    expect([group, session]).toEqual([pid, pid])
  })

  it('says which signal ended a command', async () => {
    const ended = await ssh(await start(), 'kill -KILL $$')
    expect(ended.code).toBe(255)
  })

  it('lets in no other key, and no client that expects another host', async () => {
    const server = await start()
    const stranger = await ssh(server, 'true', '', newKeyPair().privateKey)
    expect([stranger.code, stranger.err]).toEqual([255, expect.stringContaining('Permission denied')])
    const other = { ...server, knownHosts: `[127.0.0.1]:${server.port} ${newKeyPair().publicKey}\n` }
    expect((await ssh(other, 'true')).err).toContain('Host key verification failed')
  })

  it('forwards to a port of its own machine, and says when nobody listens there', async () => {
    const server = await start()
    const web = createServer((_request, response) => response.end('through')).listen(0, '127.0.0.1')
    closing.push(() => void web.close())
    await waitUntil('the web server listens', () => web.listening)
    const address = web.address()
    const to = async (port: number) => {
      const child = spawn('ssh', sshArguments(server, ['-W', `127.0.0.1:${port}`]))
      let text = ''
      child.stdout.on('data', data => {
        text += data
      })
      child.stderr.on('data', data => {
        text += data
      })
      child.stdin.on('error', () => undefined)
      child.stdin.end('GET / HTTP/1.0\r\n\r\n')
      await new Promise(resolve => child.on('close', resolve))
      return text
    }
    expect(await to(typeof address === 'object' ? (address?.port ?? 0) : 0)).toContain('through')
    expect(await to(await freePort())).toContain('open failed')
  })

  it('leaves a command running when its connection is lost, and ends it when it stops', async () => {
    const server = await start()
    const child = spawn('ssh', [...sshArguments(server), 'echo $$; exec sleep 1000'])
    let out = ''
    child.stdout.on('data', data => {
      out += data
    })
    const pid = Number(await waitUntil('the command says its pid', () => out.includes('\n') && out.trim()))
    if (child.pid !== undefined) signal(child.pid, 'SIGKILL')
    await new Promise(resolve => child.on('close', resolve))
    expect(isRunning(pid)).toBe(true)
    await server.stop()
    closing.splice(0, 1)
    expect([isRunning(pid), existsSync(server.home)]).toEqual([false, false])
  })

  it('shows each server a directory of its own at the same path', async () => {
    const [one, two] = [await start(), await start()]
    await Promise.all([one, two].map(server => ssh(server, `echo ${server.port} > ${ownDirectory}/name`)))
    const read = (server: SshServer) => ssh(server, `sh -c 'cat ${ownDirectory}/name'; cat name`)
    expect((await read(one)).out).toBe(`${one.port}\n${one.port}\n`)
    expect((await read(two)).out).toBe(`${two.port}\n${two.port}\n`)
  })

  it('takes many connections at once', async () => {
    const server = await start()
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => ssh(server, `echo ${i}`)))
    expect(all.map(ended => ended.out.trim())).toEqual(['0', '1', '2', '3', '4', '5', '6', '7'])
  })

  it('is understood by OpenSSH without a warning', async () => {
    const run = promisify(execFile)
    const { stderr } = await run('ssh', [...sshArguments(await start()), 'true'])
    expect(stderr).toBe('')
  })
})
