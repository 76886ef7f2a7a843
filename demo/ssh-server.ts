/**
 * An SSH server inside this process, on the loopback interface: ssh2's own server side with a key made for the occasion. It needs no
 * sshd, no root and no free port number, so that the demo runs anywhere and a test can have hundreds. What it does as sshd does: a
 * command runs in a session of its own, stdin and its end arrive, exit status and signal are told when the command ends and the channel
 * closes when nobody holds its output any more, signals go to the process group, a lost connection kills nothing.
 * What it does not do: pty, sftp, agent forwarding, remote forwarding, a signal after the end of stdin (ssh2 refuses that one).
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import type { AuthContext, Connection, PublicKeyAuthContext, ServerChannel, Session } from 'ssh2'
import ssh2 from 'ssh2'
import { end, processesWith } from '../test/support/processes.ts'

const { Server, utils } = ssh2

export interface SshServerOptions {
  readonly name: string
  /** Public keys that are let in, as `ssh-ed25519 AAAA…`. */
  readonly authorizedKeys: readonly string[]
  /** Variables of every session, beside HOME, USER and PATH. */
  readonly env?: Readonly<Record<string, string>>
  /** Ports of this machine that stand for ports of the server: what is forwarded to the first goes to the second. */
  readonly ports?: ReadonlyMap<number, number>
}

/**
 * A path that is another directory on each of these servers: descriptor 19 of every session is its home, and a process's descriptors
 * are its children's. A link to it gives all servers of one machine the same `release.path`, with nobody's permission.
 */
export const ownDirectory = '/proc/self/fd/19'
const ownDescriptor = 19

export interface SshServer {
  readonly name: string
  readonly host: '127.0.0.1'
  readonly port: number
  readonly user: string
  /** `ssh-ed25519 AAAA…` */
  readonly hostKey: string
  /** Its line of known_hosts, with newline. */
  readonly knownHosts: string
  /** HOME and working directory of every session. */
  readonly home: string
  /** Ends the server, its connections and whatever was started on it and left running, and removes its directory. */
  stop(): Promise<void>
}

export interface KeyPair {
  readonly privateKey: string
  readonly publicKey: string
}

/** An ed25519 pair in OpenSSH's forms. */
export function newKeyPair(): KeyPair {
  for (;;) {
    const pair = utils.generateKeyPairSync('ed25519')
    // ssh2 takes a zero at the start of the public half for padding (its lib/keygen.js): one pair in 256 is too short to be read.
    if (utils.parseKey(pair.private) instanceof Error) continue
    return { privateKey: pair.private, publicKey: pair.public.trim() }
  }
}

const user = 'deploy'
const signals = new Set<string>(Object.keys(constants.signals))

/** The client proves that it holds the private half of an authorised key (RFC 4252 section 7). */
function authenticate(context: AuthContext, authorized: readonly string[]): void {
  if (context.method === 'publickey' && isHeld(context, authorized)) context.accept()
  else context.reject(['publickey'])
}

function isHeld(offer: PublicKeyAuthContext, authorized: readonly string[]): boolean {
  const wire = offer.key.data.toString('base64')
  const line = authorized.find(known => known.split(' ')[1] === wire)
  const key = line === undefined ? null : utils.parseKey(line)
  if (key === null || key instanceof Error) return false
  // Without a signature the client only asks whether this key would do.
  if (offer.signature === undefined || offer.blob === undefined) return true
  return key.verify(offer.blob, offer.signature, offer.hashAlgo) === true
}

/** Wires one command to its channel. */
function attach(child: ChildProcessWithoutNullStreams, channel: ServerChannel): void {
  const { stdin, stdout, stderr } = child
  channel.pipe(stdin)
  stdin.on('error', () => undefined) // the command ended without reading all of it
  stdout.pipe(channel, { end: false })
  stderr.pipe(channel.stderr, { end: false })
  channel.on('error', () => undefined)
  channel.on('close', () => {
    // As with sshd: stdin ends, the next write to stdout gets SIGPIPE, and nothing is killed.
    for (const stream of [stdin, stdout, stderr]) stream.destroy()
  })
  child.on('error', error => {
    channel.stderr.write(`${error.message}\n`)
    channel.exit(127)
    channel.end()
  })
  child.on('exit', (code, signal) => {
    if (signal === null) channel.exit(code ?? 255)
    else channel.exit(signal.replace(/^SIG/, ''), false, '')
  })
  child.on('close', () => channel.end())
}

function serveSession(session: Session, start: (command: string | null) => ChildProcessWithoutNullStreams): void {
  let child: ChildProcessWithoutNullStreams | undefined
  const begin = (accept: () => ServerChannel, command: string | null) => {
    child = start(command)
    attach(child, accept())
  }
  session.on('exec', (accept, _reject, info) => begin(accept, info.command))
  session.on('shell', accept => begin(accept, null))
  session.on('signal', (accept, _reject, info) => {
    const name = `SIG${info.name.replace(/^SIG/, '')}`
    if (child?.pid !== undefined && signals.has(name)) {
      try {
        process.kill(-child.pid, name as NodeJS.Signals)
      } catch {
        // it has ended
      }
    }
    accept?.()
  })
}

/** Joins a channel and a socket on the server's side. */
function forward(accept: () => ServerChannel, reject: () => void, socket: Socket): void {
  socket.setNoDelay(true)
  socket.once('error', reject)
  socket.once('connect', () => {
    socket.off('error', reject)
    const channel = accept()
    channel.on('error', () => socket.destroy())
    socket.on('error', () => channel.end())
    channel.on('close', () => socket.destroy())
    socket.pipe(channel)
    channel.pipe(socket)
  })
}

/** Starts a server on a free port. Resolves when it listens. */
export async function startSshServer(options: SshServerOptions): Promise<SshServer> {
  const home = mkdtempSync(join(tmpdir(), `${options.name}-`))
  const host = newKeyPair()
  const open = new Set<Connection>()
  const directory = openSync(home, 'r')
  const unused = Array.from({ length: ownDescriptor - 3 }, () => 'ignore' as const)
  const start = (command: string | null) =>
    spawn('/bin/sh', command === null ? [] : ['-c', command], {
      cwd: home,
      detached: true, // setsid: a session and a process group of its own
      env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin', ...options.env, HOME: home, USER: user },
      stdio: ['pipe', 'pipe', 'pipe', ...unused, directory],
    }) as ChildProcessWithoutNullStreams

  const server = new Server({ hostKeys: [host.privateKey] }, client => {
    open.add(client)
    // Missing in the types; without it each answer waits for the client's delayed acknowledgement, 40 ms.
    ;(client as Connection & { setNoDelay(on: boolean): void }).setNoDelay(true)
    client.on('error', () => undefined) // reset by the other side
    client.on('close', () => open.delete(client))
    client.on('authentication', context => authenticate(context, options.authorizedKeys))
    client.on('session', accept => serveSession(accept(), start))
    client.on('tcpip', (accept, reject, info) =>
      forward(accept, reject, connect(options.ports?.get(info.destPort) ?? info.destPort, '127.0.0.1')),
    )
    client.on('openssh.streamlocal', (accept, reject, info) => forward(accept, reject, connect(info.socketPath)))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('the SSH server has no port')
  const { port } = address
  return {
    name: options.name,
    host: '127.0.0.1',
    port,
    user,
    hostKey: host.publicKey,
    knownHosts: `[127.0.0.1]:${port} ${host.publicKey}\n`,
    home,
    stop: async () => {
      const closed = new Promise<void>(resolve => server.close(() => resolve()))
      for (const client of open) client.end()
      const left = () => processesWith('HOME', home)
      while (left().length > 0) await end(left())
      await closed
      closeSync(directory)
      rmSync(home, { recursive: true, force: true })
    },
  }
}
