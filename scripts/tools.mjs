/** The programs of this machine that the tests need: which are missing, and how they get here. */
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Program → Debian package. */
export const needed = {
  bash: 'bash',
  git: 'git',
  tar: 'tar',
  setsid: 'util-linux',
  sshd: 'openssh-server',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  haproxy: 'haproxy',
  nginx: 'nginx-light',
  flock: 'util-linux',
  sudo: 'sudo',
  busybox: 'busybox',
  curl: 'curl',
  caddy: 'caddy',
  apache2: 'apache2',
  python3: 'python3',
  pip3: 'python3-pip',
}

/** Where Debian puts servers; a user's PATH often lacks it. */
const always = ['/usr/local/sbin', '/usr/sbin', '/sbin']

function isThere(program, path) {
  return [...path.split(delimiter), ...always].some(directory => {
    try {
      accessSync(join(directory, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** Programs that are not there, in the order of `needed`. */
export const missing = (path = process.env.PATH ?? '') => Object.keys(needed).filter(name => !isThere(name, path))

export const packagesFor = programs => [...new Set(programs.map(name => needed[name]))]

/** The line a person runs. */
export const installLine = programs =>
  `sudo apt-get update && sudo apt-get install -y ${packagesFor(programs).join(' ')}`

const succeeds = (command, args, env) =>
  spawnSync(command, args, { stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...env } }).status === 0

/** How packages can be installed without a question: as root, by a sudo that asks nothing, or not at all (null). */
export function installer() {
  if (!isThere('apt-get', process.env.PATH ?? '')) return null
  if (process.getuid?.() === 0) return []
  const sudo = spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' })
  return sudo.status === 0 ? ['sudo', '-n'] : null
}

/** Installs the packages; the services they bring are not started (RUNLEVEL, invoke-rc.d(8)): tests start their own. */
export function install(programs, prefix) {
  const settings = ['DEBIAN_FRONTEND=noninteractive', 'RUNLEVEL=1']
  const apt = args => {
    const [command, ...rest] = [...prefix, 'env', ...settings, 'apt-get', '-q', '-o', 'Acquire::Retries=3', ...args]
    return succeeds(command, rest)
  }
  const get = () => apt(['install', '-y', '--no-install-recommends', ...packagesFor(programs)])
  return get() || (apt(['update']) && get())
}
