import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { bundle } from '../support/runner.ts'
import { newKey } from '../support/ssh-keys.ts'

const directory = mkdtempSync(join(tmpdir(), 'no-end-'))
afterAll(() => rmSync(directory, { recursive: true }))

/** A child process that never says anything, and that nothing waits for. */
const silentChild = `
const { EventEmitter } = require('node:events')
const { PassThrough } = require('node:stream')
require('node:child_process').spawn = () => {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  return Object.assign(new EventEmitter(), { stdin, stdout, stderr, pid: 0 })
}
`

it('is no success when it ends before it has come to a result', { timeout: 120_000 }, () => {
  const preload = join(directory, 'preload.cjs')
  writeFileSync(preload, silentChild)
  writeFileSync(join(directory, 'known_hosts'), `127.0.0.1 ${newKey().publicKey}\n`)
  const manifest = 'application: shop\nssh: { user: deploy, known_hosts: known_hosts }\nservers: [127.0.0.1]\n'
  writeFileSync(join(directory, 'deploy.yml'), manifest)
  const env = {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    RUNNER_TEMP: directory,
    GITHUB_ACTIONS: 'true',
    GITHUB_WORKSPACE: directory,
    // Here git is asked which commit is checked out.
    GITHUB_EVENT_NAME: 'workflow_run',
    INPUT_COMMAND: 'status',
  }
  const ended = spawnSync(process.execPath, ['--require', preload, bundle], { cwd: directory, env, encoding: 'utf8' })
  expect(ended.stdout).toContain('status deploy.yml')
  expect(ended.status, ended.stdout).toBe(1)
  expect(ended.stderr).toContain('it ended before the run had come to a result')
})
