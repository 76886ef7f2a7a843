/** The steps of release.yml, as the runner starts them; `gh` writes down what it is asked. */
import { spawnSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { aRepository, changelogOf, type Repository } from './a-repository.ts'

interface Workflow {
  readonly jobs: Readonly<Record<string, { readonly steps: readonly { readonly run?: string }[] }>>
}
const { jobs } = parse(readFileSync('.github/workflows/release.yml', 'utf8')) as Workflow
// The last step of the first job is all tests, this one among them.
const steps = (job: string) => (jobs[job]?.steps ?? []).flatMap(({ run }) => (run && run !== '.ci/run' ? [run] : []))

let repository: Repository
let scratch = ''
beforeEach(() => {
  repository = aRepository()
  scratch = mkdtempSync(join(tmpdir(), 'release-workflow-'))
  cpSync('scripts', join(repository.directory, 'scripts'), { recursive: true })
})
afterEach(() => {
  repository.remove()
  rmSync(scratch, { recursive: true, force: true })
})

/** Both jobs, until a step fails; what `gh` was asked for. `there`: the release was made by an earlier run. */
function release(version: string, { there = false } = {}) {
  const log = join(scratch, 'asked')
  rmSync(log, { force: true })
  const gh = join(scratch, 'gh')
  writeFileSync(gh, `#!/bin/sh\nprintf '%s\\n' "$*" >> "${log}"\n[ "$2" != view ] || exit ${there ? 0 : 1}\n`)
  chmodSync(gh, 0o755)
  const PATH = `${scratch}${delimiter}${process.env['PATH'] ?? ''}`
  const env = { PATH, GIT_CONFIG_GLOBAL: '/dev/null', RUNNER_TEMP: scratch, VERSION: version }
  const failed = ['check', 'publish'].flatMap(steps).find((run, n) => {
    // Each job has a checkout of its own, of main.
    if (n === 0 || n === steps('check').length) repository.git('checkout', '--quiet', 'main')
    return spawnSync('bash', ['-e', '-c', run], { cwd: repository.directory, env }).status !== 0
  })
  const asked = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []
  return { failed: failed !== undefined, asked: asked.filter(line => line !== 'auth setup-git') }
}

describe('a release', () => {
  it('is a tag, the release with its section of the changelog, and the major tag', () => {
    const commit = repository.commitOf('1.2.3')
    const notes = join(scratch, 'notes.md')
    expect(release('1.2.3')).toEqual({
      failed: false,
      asked: [
        'release view v1.2.3',
        `release create v1.2.3 --verify-tag --title v1.2.3 --notes-file ${notes} --latest`,
      ],
    })
    expect(readFileSync(notes, 'utf8')).toBe('### Added\n\n- 1.2.3\n')
    expect([repository.tagged('v1.2.3'), repository.tagged('v1')]).toEqual([commit, commit])
  })

  it('begins with a pushed tag as well', () => {
    repository.release('1.2.3')
    expect(release('v1.2.3').asked.at(-1)).toMatch(/^release create v1\.2\.3 .* --latest$/)
  })

  it('that was cut off is finished by a second run', () => {
    const commit = repository.release('1.2.3')
    expect(release('1.2.3', { there: true })).toEqual({ failed: false, asked: ['release view v1.2.3'] })
    expect(repository.tagged('v1')).toBe(commit)
  })

  it('that was cut off is finished at its tag once main went on', () => {
    const commit = repository.release('1.2.3')
    const later = '# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.3] - 2026-11-21\n\n- changed since\n'
    repository.commitOf('1.2.3', later)
    expect(release('1.2.3').asked.at(-1)).toMatch(/^release create v1\.2\.3 .* --latest$/)
    expect(readFileSync(join(scratch, 'notes.md'), 'utf8')).toBe('### Added\n\n- 1.2.3\n')
    expect([repository.tagged('v1.2.3'), repository.tagged('v1')]).toEqual([commit, commit])
  })

  it('before the version is marked as one, and moves nothing', () => {
    repository.commitOf('1.3.0-rc.1')
    expect(release('1.3.0-rc.1').asked.at(-1)).toMatch(/ --prerelease$/)
    expect(repository.tagged('v1')).toBe(null)
  })

  it('that may not be leaves no tag and no release', () => {
    repository.commitOf('1.2.3', changelogOf('1.2.2'))
    expect(release('1.2.3')).toEqual({ failed: true, asked: [] })
    expect([repository.tagged('v1.2.3'), repository.tagged('v1')]).toEqual([null, null])
  })

  it('is no way to run a word of the one who starts it', () => {
    repository.commitOf('1.2.3')
    expect(release('1.2.3; touch done').failed).toBe(true)
    expect(release('$(touch done)').failed).toBe(true)
    expect(existsSync(join(repository.directory, 'done'))).toBe(false)
  })
})
