/** The script of update-dist.yml that may write: it takes over two files of a build it does not trust, and runs nothing of it. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { aRepository, type Repository } from './a-repository.ts'

const branch = 'dependabot/npm_and_yarn/x-1.2.3'
const script = (
  parse(readFileSync('.github/workflows/update-dist.yml', 'utf8')) as {
    readonly jobs: { readonly push: { readonly steps: readonly { readonly run?: string }[] } }
  }
).jobs.push.steps.flatMap(step => step.run ?? [])[0]

let repository: Repository
let scratch = ''
let built = ''
beforeEach(() => {
  repository = aRepository()
  scratch = mkdtempSync(join(tmpdir(), 'update-dist-'))
  built = join(scratch, 'dist')
  mkdirSync(built)
  mkdirSync(join(repository.directory, 'dist'))
  repository.commit({ 'dist/index.js': 'old', 'dist/licenses.txt': 'old' })
  repository.git('push', '--quiet', 'origin', `HEAD:refs/heads/${branch}`)
  repository.git('checkout', '--quiet', '--detach')
})
afterEach(() => {
  repository.remove()
  rmSync(scratch, { recursive: true, force: true })
})

/** As the runner starts it; `gh` writes down what it is asked. */
function run() {
  const gh = join(scratch, 'gh')
  writeFileSync(gh, `#!/bin/sh\necho "$@" >> "${scratch}/asked"\n`)
  chmodSync(gh, 0o755)
  const PATH = `${scratch}${delimiter}${process.env['PATH'] ?? ''}`
  const env = { PATH, GIT_CONFIG_GLOBAL: '/dev/null', BUILT: built, BRANCH: branch, GH_TOKEN: 'a-token' }
  return spawnSync('bash', ['-e', '-c', script ?? 'false'], { cwd: repository.directory, env, encoding: 'utf8' })
}
const pushed = (name: string) => repository.git('-C', repository.origin, 'show', `${branch}:${name}`)

describe('the dist/ of an update', () => {
  it('is pushed onto its branch, and its checks are started', () => {
    for (const name of ['index.js', 'licenses.txt']) writeFileSync(join(built, name), `new ${name}`)
    expect(run()).toMatchObject({ status: 0 })
    expect(pushed('dist/index.js')).toBe('new index.js')
    expect(pushed('dist/licenses.txt')).toBe('new licenses.txt')
    expect(readFileSync(join(scratch, 'asked'), 'utf8').trim().split('\n')).toEqual([
      'auth setup-git',
      `workflow run ci.yml --ref ${branch}`,
      `workflow run check-dist.yml --ref ${branch}`,
    ])
  })

  it('is two files: whatever else a build made stays behind', () => {
    for (const name of ['index.js', 'licenses.txt', 'other.js']) writeFileSync(join(built, name), 'new')
    mkdirSync(join(built, '.git', 'hooks'), { recursive: true })
    expect(run().status).toBe(0)
    expect(repository.git('-C', repository.origin, 'ls-tree', '--name-only', branch, 'dist/').split('\n')).toEqual([
      'dist/index.js',
      'dist/licenses.txt',
    ])
  })

  it('is no link to what this machine knows', () => {
    writeFileSync(join(built, 'licenses.txt'), 'new')
    symlinkSync('/proc/self/environ', join(built, 'index.js'))
    expect(run().status).toBe(1)
    expect(pushed('dist/index.js')).toBe('old')
  })

  it('is not pushed in part, and not over a branch that went on', () => {
    writeFileSync(join(built, 'index.js'), 'new')
    expect(run().status).not.toBe(0)
    expect(pushed('dist/index.js')).toBe('old')
    writeFileSync(join(built, 'licenses.txt'), 'new')
    const newer = repository.git('commit-tree', '-p', 'HEAD', '-m', 'newer', 'HEAD^{tree}')
    repository.git('push', '--quiet', 'origin', `${newer}:refs/heads/${branch}`)
    expect(run()).toMatchObject({ status: 1, stderr: expect.stringContaining('rejected') })
    expect(pushed('dist/index.js')).toBe('old')
  })
})
