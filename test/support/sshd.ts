/** A real OpenSSH server on the loopback interface, for the user who runs the tests, with a home directory of its own. */
import { spawn } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { freePort } from './free-port.ts'
import { childrenOf, end, nameOf, processesWith } from './processes.ts'
import { clientKey, type KeyType, newKey } from './ssh-keys.ts'
import { waitUntil } from './wait-until.ts'

export type Mount = { readonly directory: string } | { readonly size: number }

export interface SshdOptions {
  readonly name?: string
  /** Further lines of sshd_config. They stand first, so they win: sshd takes the first value of a keyword. */
  readonly config?: readonly string[]
  readonly hostKeyTypes?: readonly KeyType[]
  /** Variables of every session. (sshd counts only the first SetEnv line, which is ours: use this instead.) */
  readonly env?: Readonly<Record<string, string>>
  /** What its sessions see in place of a directory, by path: another directory, or a file system of `size` bytes in memory. */
  readonly mounts?: Readonly<Record<string, Mount>>
  /** Another public key than the shared client's. */
  readonly authorizedKeys?: string
}

export interface Sshd {
  readonly name: string
  readonly host: '127.0.0.1'
  readonly port: number
  readonly user: string
  /** PEM text of an ed25519 key that is let in. */
  readonly privateKey: string
  /** One `[127.0.0.1]:port type key` line for each host key. */
  readonly knownHosts: string
  /** `ssh-ed25519 AAAA…` */
  readonly hostKeys: readonly string[]
  /** HOME of its sessions. sshd starts a session's shell in the passwd entry's directory all the same. */
  readonly home: string
  readonly pid: number
  /** What sshd logged so far, at VERBOSE. */
  log(): string
  /** Pids of the processes that serve its connections: one for each, or a monitor and its child (not for root, and while a key is checked). */
  sessions(): number[]
  /** Ends sshd, its sessions and whatever they started and left running, and removes its directory. */
  stop(): Promise<void>
}

const sshdPath = '/usr/sbin/sshd'

/** Debian's package makes /run/sshd at boot; a container has none, and sshd refuses to start as root without it. */
function makePrivilegeSeparationDirectory(): void {
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 })
}

/**
 * sshd's command line; with mounts, in a mount namespace of its own, so that several servers of one machine each have their own
 * /srv. An ordinary user gets one through a user namespace in which he keeps his id.
 */
function commandLine(mounts: Readonly<Record<string, Mount>>, file: string): readonly [string, readonly string[]] {
  const server = [sshdPath, '-D', '-e', '-f', file]
  const script = Object.entries(mounts).flatMap(([at, what]) =>
    'directory' in what
      ? [`mount --bind '${what.directory}' '${at}'`]
      : [`mount -t tmpfs -o size=${what.size},mode=0755 tmpfs '${at}'`],
  )
  if (script.length === 0) return [server[0] ?? '', server.slice(1)]
  const asUser = process.getuid?.() === 0 ? [] : ['--user', '--map-current-user', '--keep-caps']
  return ['unshare', [...asUser, '--mount', 'sh', '-ec', `${script.join('\n')}\nexec "$@"`, 'sshd', ...server]]
}

/** sshd, or sshd-session and sshd-auth since OpenSSH 9.8; what they start for a user is none of them. */
const sessionsOf = (pid: number): number[] =>
  childrenOf(pid)
    .filter(child => nameOf(child).startsWith('sshd'))
    .flatMap(child => [child, ...sessionsOf(child)])

async function launch(config: (port: number) => string, file: string, mounts: Readonly<Record<string, Mount>>) {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort()
    writeFileSync(file, config(port))
    const [program, words] = commandLine(mounts, file)
    const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'] })
    let log = ''
    child.stderr.on('data', (data: Buffer) => {
      log += data.toString('utf8')
    })
    const failed = new Promise<string>(resolve => {
      child.once('error', error => resolve(error.message))
      child.once('close', code => resolve(`sshd ended with ${code}: ${log}`))
    })
    const up = waitUntil(
      () => `sshd listens: ${log}`,
      () => log.includes('Server listening on 127.0.0.1'),
    )
    const problem = await Promise.race([failed, up.then(() => null)])
    const isThere = () => child.exitCode === null && child.signalCode === null
    if (problem === null && child.pid !== undefined) return { port, pid: child.pid, isThere, log: () => log }
    up.catch(() => undefined)
    if (attempt === 3 || !/in use/i.test(problem ?? '')) throw new Error(problem ?? 'sshd has no pid')
  }
}

/** Starts Debian's sshd on a free port. Throws with its log when it does not come up, and with what to install when it is missing. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  if (!existsSync(sshdPath)) throw new Error(`${sshdPath} is missing: apt-get install openssh-server`)
  makePrivilegeSeparationDirectory()
  const directory = mkdtempSync(join(tmpdir(), 'sshd-'))
  const home = join(directory, 'home')
  mkdirSync(home, { mode: 0o700 })
  const keys = (options.hostKeyTypes ?? ['ed25519']).map(type => ({ type, ...newKey(type) }))
  const client = clientKey()
  const keyFile = (type: string) => join(directory, `host_${type}`)
  for (const key of keys) writeFileSync(keyFile(key.type), key.privateKey, { mode: 0o600 })
  writeFileSync(join(directory, 'authorized_keys'), `${options.authorizedKeys ?? client.publicKey}\n`)
  chmodSync(directory, 0o700)

  const variables = Object.entries({ ...options.env, HOME: home }).map(([name, value]) => `"${name}=${value}"`)
  const config = (port: number) =>
    [
      ...(options.config ?? []),
      'ListenAddress 127.0.0.1',
      `Port ${port}`,
      ...keys.map(key => `HostKey ${keyFile(key.type)}`),
      `AuthorizedKeysFile ${join(directory, 'authorized_keys')}`,
      'StrictModes no',
      'UsePAM no',
      'PidFile none',
      'LogLevel VERBOSE',
      'PermitRootLogin yes',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      'X11Forwarding no',
      'PrintMotd no',
      'Subsystem sftp internal-sftp',
      `SetEnv ${variables.join(' ')}`,
      '',
    ].join('\n')

  const server = await launch(config, join(directory, 'sshd_config'), options.mounts ?? {}).catch((error: unknown) => {
    rmSync(directory, { recursive: true, force: true })
    throw error
  })
  const name = options.name ?? `sshd-${server.port}`
  return {
    name,
    host: '127.0.0.1',
    port: server.port,
    user: userInfo().username,
    privateKey: client.privateKey,
    knownHosts: keys.map(key => `[127.0.0.1]:${server.port} ${key.publicKey}\n`).join(''),
    hostKeys: keys.map(key => key.publicKey),
    home,
    pid: server.pid,
    log: server.log,
    sessions: () => sessionsOf(server.pid),
    stop: async () => {
      // Once it was ended by a test, its number may be another's.
      if (server.isThere()) await end([server.pid, ...sessionsOf(server.pid)])
      const left = () => processesWith('HOME', home) // daemons, and what a closed connection left running
      while (left().length > 0) await end(left())
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
