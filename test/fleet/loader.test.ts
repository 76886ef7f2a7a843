import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { endGroup, killGroup, runCommand, scriptOnStdin, sendCommand } from '../../src/fleet/loader.ts'
import { isRunning, signal } from '../support/processes.ts'
import { waitUntil } from '../support/wait-until.ts'
import { type LocalShell, runWords, shells } from './shells.ts'

const root = mkdtempSync(join(tmpdir(), 'loader-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))
const token = 'a1b2c3'

/** A PATH in which `sh` is the shell under test, whatever the login shell is. */
function pathWith(shell: LocalShell): string {
  const bin = mkdtempSync(join(root, 'bin-'))
  writeFileSync(join(bin, 'sh'), `#!/bin/sh\nexec ${shell.argv.join(' ')} "$@"\n`, { mode: 0o755 })
  return `${bin}:${process.env['PATH']}`
}

describe('the commands that scripts are started by', () => {
  const commands = [runCommand(token), sendCommand(token), endGroup(4711), killGroup(4711)]

  it('mean the same to every login shell: one line, single quotes, nothing that csh or fish read otherwise', () => {
    for (const command of commands) {
      const words = [...command.matchAll(/'([^']*)'/g)].map(([, word]) => word ?? '')
      expect(command).toBe(`exec sh -c ${words.map(w => `'${w}'`).join(' ')}`)
      for (const word of words) {
        expect(word).not.toMatch(/[\\\n]|!(?!;)/)
        expect(word.length).toBeLessThan(1000) // csh: "Words can be no longer than 1024 characters"
      }
    }
  })
})

for (const shell of shells)
  describe(`a script that ${shell.name} is given over stdin`, () => {
    const env = { PATH: pathWith(shell), HOME: root }
    // setsid -w: a group of its own, as sshd gives one; ssh does not close stdin, so neither does the pipe until the script ended.
    const start = (command: string) => {
      const child = spawn('setsid', ['-w', 'sh', '-c', command], { env, stdio: ['pipe', 'pipe', 'pipe'] })
      let stdout = ''
      child.stdout.on('data', (d: Buffer) => {
        stdout += d.toString('utf8')
      })
      child.stdin.on('error', () => undefined)
      return { child, stdout: () => stdout, ended: once(child, 'close') }
    }
    const unmarked = (text: string) => text.replaceAll(new RegExp(`<${token} \\d+\n|>${token}\n`, 'g'), '')

    it('runs whole, with empty stdin, and gives its exit code', async () => {
      const { child, stdout, ended } = start(runCommand(token))
      child.stdin.write(scriptOnStdin('cat\necho "a\\tb"\necho "$# $0"; exit 7', token))
      await ended
      expect(child.exitCode).toBe(7)
      expect(unmarked(stdout())).toMatch(/^a(\t|\\t)b\n0 .*\n$/)
    })

    it('does not run in part: without the token nothing happens', async () => {
      const file = join(root, `partial-${shell.name.replaceAll(' ', '-')}`)
      for (const command of [runCommand(token), sendCommand(token)]) {
        const ran = await runWords(['setsid', '-w', 'sh', '-c', command], {
          env,
          stdin: `touch ${file}\necho ran\n${token.slice(1)}\n`,
        })
        expect(ran).toMatchObject({ code: 70, stdout: '' })
        expect(() => readFileSync(file)).toThrow(/ENOENT/)
      }
    })

    it('keeps every byte of its text', async () => {
      const odd = `cat <<'X'\n  two  spaces\t\\n \\\\ $HOME 'é' "\n\n\n\ttab \\\nX\nprintf end`
      const { child, stdout, ended } = start(runCommand(token))
      child.stdin.write(scriptOnStdin(odd, token))
      await ended
      expect(unmarked(stdout())).toBe(`  two  spaces\t\\n \\\\ $HOME 'é' "\n\n\n\ttab \\\nend`)
    })

    it.each([
      'exit 6',
      '(exit 6)',
      'trap "exit 6" EXIT; true',
      'exec sh -c "exit 6"',
      'set -eu; sh -c "exit 6"; echo on',
      'eval "exit 6"',
    ])('keeps control and exit code at: %s', async script => {
      const ran = await runWords(['setsid', '-w', 'sh', '-c', sendCommand(token)], {
        env,
        stdin: scriptOnStdin(script, token),
      })
      expect(ran.code).toBe(6)
      expect(ran.stdout).toMatch(new RegExp(`>${token}\n$`))
    })

    it('says where its output ends, also after a syntax error', async () => {
      const ran = await runWords(['setsid', '-w', 'sh', '-c', sendCommand(token)], {
        env,
        stdin: scriptOnStdin('echo a\n}\n', token),
      })
      expect(ran.code).not.toBe(0)
      expect(ran.stdout).toMatch(new RegExp(`>${token}\n$`))
      expect(ran.stderr).toMatch(/syntax|unexpected/i)
    })

    it('leaves on stdin exactly what follows the token', async () => {
      const ran = await runWords(['setsid', '-w', 'sh', '-c', sendCommand(token)], {
        env,
        stdin: `${scriptOnStdin('cat', token)}first\nno newline`,
      })
      expect(unmarked(ran.stdout)).toBe('first\nno newline')
    })

    it('is ended with its whole tree when stdin ends, also what ignores TERM', async () => {
      const file = join(root, `tree-${shell.name.replaceAll(' ', '-')}`)
      const pids = () => readFileSync(file, 'utf8').trim().split('\n').map(Number)
      const { child, stdout, ended } = start(runCommand(token))
      const tree = `: >${file}
        sleep 300 & echo $! >>${file}
        sh -c 'sleep 300 & echo $! >>${file}; wait' & echo $! >>${file}
        sh -c 'trap "" TERM; echo $$ >>${file}; while :; do sleep 1; done' &
        while [ "$(wc -l <${file})" -lt 4 ]; do sleep 0.1; done; echo ready; wait`
      child.stdin.write(scriptOnStdin(tree, token))
      await waitUntil('the tree is there', () => stdout().includes('ready'))
      child.stdin.end()
      await ended
      expect(pids()).toHaveLength(4)
      await waitUntil('they are gone', () => !pids().some(isRunning))
    })

    it('gets a process group of its own where the server gives it none', async () => {
      // Started without setsid, so in the group of this test's process.
      const child = spawn('sh', ['-c', runCommand(token)], { env, stdio: ['pipe', 'pipe', 'ignore'] })
      const chunks: Buffer[] = []
      child.stdout.on('data', (d: Buffer) => chunks.push(d))
      const said = () => Buffer.concat(chunks).toString('utf8')
      child.stdin.write(scriptOnStdin('echo "$$"; sleep 300', token))
      const own = await waitUntil('it says its group', () => new RegExp(`<${token} (\\d+)\n\\1\n`).exec(said())?.[1])
      const [, , , , group] = readFileSync(`/proc/${own}/stat`, 'utf8').split(' ')
      expect(group).toBe(own)
      child.stdin.end()
      await once(child, 'close')
      await waitUntil('it is gone', () => !isRunning(Number(own)))
    })

    it('leaves alone what it started in a session of its own, and what it left running when it ended by itself', async () => {
      const { child, stdout, ended } = start(runCommand(token))
      child.stdin.write(scriptOnStdin('sleep 300 >/dev/null 2>&1 & echo $!', token))
      await ended
      const pid = Number(unmarked(stdout()).trim())
      expect(isRunning(pid)).toBe(true)
      signal(pid, 'SIGKILL')
    })
  })
