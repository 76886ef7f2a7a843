import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { outlivesTerminal } from '../src/begin.ts'
import { InputError } from '../src/errors.ts'
import { commands, readRequest } from '../src/inputs.ts'
import { checkNode, keyFileWarning, placeIn, wishOf } from '../src/shell.ts'
import { endsAtOnce } from '../src/signals.ts'
import { checkOptions, recoverLine, typable, usage } from '../src/usage.ts'
import { versionOf } from '../src/version.ts'

const directory = mkdtempSync(join(tmpdir(), 'shell-'))
afterAll(() => rmSync(directory, { recursive: true }))
const read = (...argv: string[]) => readRequest({}, argv, directory)

/** What a person reads. */
function refusal(...argv: string[]): string {
  try {
    read(...argv)
  } catch (error) {
    if (error instanceof InputError) return `${error.message} → ${error.hint}`
    throw error
  }
  throw new Error(`${argv.join(' ')} is not refused`)
}

describe('the command line', () => {
  it.each([
    [['plan', '--environmnt', 'x'], /^unknown option --environmnt → did you mean --environment\?/],
    [['plan', '--zzz=1'], /^unknown option --zzz → known: --/],
    [['deplyo'], /^unknown command "deplyo" → did you mean deploy\? known: deploy, plan/],
    [['plan', 'deploy'], /^unexpected argument "deploy"/],
    [['plan', '--environment'], /^--environment needs a value → write --environment VALUE/],
    [['plan', '--environment', '--servers', 'web1'], /--servers is the next option → write --environment=--servers if/],
    [['plan', '--servers', 'web1', '--servers=web2'], /^--servers is given twice/],
    [['plan', '--command', 'deploy'], /^--command is given twice/],
    [['plan', '-e', 'x'], /^unknown option -e .*two hyphens/],
    [['plan', '--'], /^unknown option --/],
    [['--environment', 'x'], /^the command is missing → .*plan --environment x/],
    [['plan', '--ssh-key', 'K'], /not taken as an argument.*--ssh-key-file/],
    [['plan', '--ssh-key-passphrase=p'], /not taken as an argument.*INPUT_SSH_KEY_PASSPHRASE/],
    [['plan', '--github-token=t'], /not taken as an argument.*INPUT_GITHUB_TOKEN/],
    [['plan', '--ssh-key-file', 'none'], /^--ssh-key-file none cannot be read: ENOENT/],
    [['plan', '--ssh-key-file='], /names no file/],
    [['plan', '--servers='], /servers is empty/],
  ])('%j is refused with what to write instead', (argv, words) => expect(refusal(...argv)).toMatch(words))

  it('takes values after a space and after =, also such as begin with hyphens', () => {
    expect(read('plan', '--environment', 'staging', '--servers=--x')).toMatchObject({
      environment: 'staging',
      servers: '--x',
    })
    expect(read('plan', '--servers', '!web1', '--environment=a=b')).toMatchObject({
      servers: '!web1',
      environment: 'a=b',
    })
  })

  it('takes an empty value for none, as a workflow does', () =>
    expect(read('plan', '--environment', '', '--strategy=')).toMatchObject({ environment: null, strategy: null }))

  it('takes the text of files, with ~ for the home directory', () => {
    writeFileSync(join(directory, 'known'), 'web1 ssh-ed25519 AAAA\n')
    expect(read('plan', '--ssh-known-hosts-file', 'known').sshKnownHosts).toBe('web1 ssh-ed25519 AAAA\n')
    expect(refusal('plan', '--ssh-key-file=~/none/at/all')).toContain(join(homedir(), 'none/at/all'))
    expect(refusal('plan', '--ssh-known-hosts-file=known', '--ssh-known-hosts=x')).toMatch(/given twice/)
  })

  it('takes secrets by variables that a shell can set', () =>
    expect(readRequest({ INPUT_SSH_KEY_PASSPHRASE: 'p', INPUT_GITHUB_TOKEN: 't' }, ['plan'], directory)).toMatchObject({
      sshKeyPassphrase: 'p',
      githubToken: 't',
      env: {},
    }))

  it('is shown by help, for all and for one command, and the version by --version', () => {
    const wish = (...argv: string[]) => wishOf(argv, { commands })
    expect([wish('-h'), wish('help'), wish('--help')]).toEqual(Array(3).fill({ show: 'help', about: null }))
    expect([wish('help', 'deploy'), wish('deploy', '--help'), wish('deploy', '--servers', 'x', '-h')]).toEqual(
      Array(3).fill({ show: 'help', about: 'deploy' }),
    )
    expect([wish('--version'), wish('version'), wish('plan', '--version')]).toEqual(Array(3).fill({ show: 'version' }))
    expect([wish(), wish('deploy'), wish('deploy', '--release', 'version')]).toEqual([null, null, null])
  })

  it('refuses help about what is no command, and names the nearest', () => {
    const about =
      (...argv: string[]) =>
      () =>
        wishOf(argv, { commands })
    expect(about('help', 'nonsense')).toThrow(InputError)
    expect(about('help', 'deplyo')).toThrow('unknown command "deplyo"')
    expect(about('deplyo', '--help')).toThrow('unknown command "deplyo"')
    expect(about('help', '--help')()).toEqual({ show: 'help', about: null })
  })

  it.each([
    ['validate', ['--strategy', 'serial'], '--strategy is for plan, deploy, rollback, preview; the command here is'],
    ['status', ['--environment=x', '--migrate=true'], '--migrate is for plan, deploy; the command here is status'],
    ['report', ['--servers', 'all'], '--servers is for plan, status'],
    ['preview', ['--environment', 'x'], '--environment is for validate, plan, status, deploy, rollback, recover; the'],
    ['preview', ['--servers', 'web1'], '--servers is for plan, status, deploy, rollback, recover; the command here is'],
    ['preview', ['--shard', '1/2'], '--shard is for plan, deploy, rollback; the command here is preview'],
    ['plan', ['--github-deployment', 'true'], '--github-deployment is for deploy, rollback, preview, report; the'],
  ] as const)('%s refuses %j, which it would ignore', (command, words, said) =>
    expect(() => checkOptions(command, [command, ...words])).toThrow(said),
  )

  it('takes the options about the key with every command, and every option where help shows it', () => {
    checkOptions('validate', ['validate', '--ssh-key-file', 'key', '--environment', 'x', '--ssh-strict=true'])
    for (const command of commands)
      for (const [, name] of usage('x', command).matchAll(/^ {2}(--[a-z-]+) /gm))
        checkOptions(command, [command, name ?? '', 'value'])
  })

  it('warns once of a key that others may read, and of no other', () => {
    const key = join(directory, 'key')
    writeFileSync(key, 'KEY', { mode: 0o644 })
    const warning = keyFileWarning(['plan', '--ssh-key-file', 'key'], directory)
    expect(warning).toBe('warning: others on this machine may read the key key (mode 0644): chmod 600 key')
    expect(keyFileWarning(['plan', `--ssh-key-file=${key}`], '/')).toContain(`chmod 600 ${key}`)
    chmodSync(key, 0o600)
    expect(keyFileWarning(['plan', '--ssh-key-file', 'key'], directory)).toBeNull()
    expect(keyFileWarning(['plan', '--ssh-key-file', 'none'], directory)).toBeNull()
    expect(keyFileWarning(['plan'], directory)).toBeNull()
  })

  it('names whoever types, for locks and history', () => {
    expect(read('plan').run.actor).toMatch(/^\S+@\S+$/)
    expect(readRequest({ GITHUB_ACTOR: 'octocat' }, ['plan'], directory).run.actor).toBe('octocat')
  })
})

describe('help', () => {
  it('has every command, and every option that is taken', () => {
    const text = usage('node dist/index.js')
    for (const command of commands) expect(text).toMatch(new RegExp(`^  ${command} `, 'm'))
    const known = [...(refusal('plan', '--no-such-option').split('known: ')[1] ?? '').matchAll(/--[a-z-]+/g)].map(
      String,
    )
    for (const option of known.filter(o => o !== '--command')) expect(text).toContain(`  ${option} `)
    expect(text.split('\n').filter(line => line.length > 120)).toEqual([])
  })
  it('of one command has its own options only', () => {
    expect(usage('x', 'rollback')).toContain('--release')
    expect(usage('x', 'deploy')).not.toContain('--release')
    expect(usage('x', 'report')).not.toContain('--ssh')
  })
})

describe('the place', () => {
  const root = join(directory, 'repository')
  const below = join(root, 'services/shop')
  mkdirSync(below, { recursive: true })
  mkdirSync(join(root, '.git'))

  it('is the repository around the directory; without one, the directory', () => {
    expect(placeIn(below, {}).workspace).toBe(root)
    expect(placeIn(directory, {})).toEqual({
      workspace: directory,
      manifest: 'deploy.yml',
      source: null,
      reports: 'reports',
    })
  })
  it('makes typed paths, which are relative to the directory, relative to the repository', () =>
    expect(placeIn(below, { manifest: '../deploy.yml', source: 'dist', reports: '.' })).toEqual({
      workspace: root,
      manifest: 'services/deploy.yml',
      source: 'services/shop/dist',
      reports: 'services/shop',
    }))
  it('takes ~ for the home directory, which a shell does not replace after =', () => {
    const { workspace, reports } = placeIn(below, { reports: '~/reports' })
    expect(resolve(workspace, reports)).toBe(join(homedir(), 'reports'))
  })
  it('prefers a manifest in the directory to that at the root', () => {
    expect(placeIn(below, {}).manifest).toBe('deploy.yml')
    writeFileSync(join(below, 'deploy.yml'), '')
    expect(placeIn(below, {}).manifest).toBe('services/shop/deploy.yml')
  })
})

describe('a signal after the first', () => {
  it.each([
    // The runner: SIGINT, then SIGTERM.
    [true, 'SIGINT', 'SIGTERM', 7500, false],
    [true, 'SIGINT', 'SIGINT', 10, true],
    [false, 'SIGINT', 'SIGINT', 1000, true],
    // npm hands on what the terminal has sent to both.
    [false, 'SIGINT', 'SIGINT', 5, false],
    [false, 'SIGTERM', 'SIGTERM', 1000, true],
    [false, 'SIGINT', 'SIGTERM', 1000, false],
    // A terminal that is closed, and the end of the session.
    [false, 'SIGHUP', 'SIGHUP', 1000, false],
    [false, 'SIGHUP', 'SIGTERM', 1000, false],
    [false, 'SIGHUP', 'SIGINT', 1000, true],
  ] as const)('in a job: %s, %s then %s after %i ms: ends at once: %s', (onGitHub, first, next, after, expected) =>
    expect(endsAtOnce(onGitHub, first, next, after)).toBe(expected),
  )
})

describe('a closed terminal', () => {
  const nothing = { started: '/usr/bin/node', parent: '', input: '', inputPath: '/dev/pts/1' }
  const status = (mask: string) => `Name:\tsh\nSigIgn:\t${mask}\nSigCgt:\t0000000000000001\n`
  it.each([
    ['a shell on a terminal', {}, false],
    ['nohup, from bash or zsh', { started: '/usr/bin/nohup' }, true],
    ['a program of another name', { started: '/opt/nohup/node' }, false],
    ['a script that nohup started', { parent: status('0000000000000001') }, true],
    ['a parent that ignores SIGINT and SIGQUIT only', { parent: status('0000000000000006') }, false],
    ['a parent that ignores SIGHUP among others', { parent: status('0000000000380005') }, true],
    ['nohup on a terminal', { input: 'pos:\t0\nflags:\t0100001\n', inputPath: '/dev/null' }, true],
    ['input from /dev/null', { input: 'pos:\t0\nflags:\t0100000\n', inputPath: '/dev/null' }, false],
    ['the same, to read and write', { input: 'flags:\t02100002\n', inputPath: '/dev/null' }, false],
  ] as const)('%s: %j is to be outlived: %s', (_, traces, expected) =>
    expect(outlivesTerminal({ ...nothing, ...traces })).toBe(expected),
  )
})

describe('the line for going on', () => {
  it('has what says where the run was, in words that a shell takes, and nothing that was for the deployment', () => {
    const words = ['deploy', '--environment', "it's", '--servers', 'web1', '--ssh-key-file=~/key', '--strategy=serial']
    expect(recoverLine('node dist/index.js', words)).toBe(
      `node dist/index.js recover --environment 'it'\\''s' --ssh-key-file=~/key`,
    )
    expect(recoverLine('x', ['rollback', '--manifest=a b.yml'])).toBe("x recover '--manifest=a b.yml'")
  })
  it('of a preview is that of the preview once more, for recover knows none', () =>
    expect(recoverLine('x', ['preview', '--pull-request', '12', '--source=a b'])).toBe(
      "x preview --pull-request 12 '--source=a b'",
    ))
  it('names the program as a shell takes it', () =>
    expect(typable('/home/anna/my tools/index.js')).toBe("'/home/anna/my tools/index.js'"))
})

describe('the version', () => {
  it('of Node has to be one that has what is used', () => {
    expect(() => checkNode('20.20.2')).toThrow('Node 22 or newer is needed; this is 20.20.2')
    for (const version of ['22.0.0', '24.21.0', '100.1.2', process.versions.node]) checkNode(version)
  })
  it('is that of package.json, and not known for a bundle that lies alone', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    expect(versionOf(join('dist', basename('index.js')))).toBe(version)
    expect(versionOf(join(directory, 'index.js'))).toBe('unknown')
  })
})
