/** scripts/release.mjs, as a program, in repositories of its own. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
// @ts-expect-error: a script of the project, without types
import { emptied } from '../../scripts/changelog.mjs'
import { aRepository, changelogOf, type Repository } from './a-repository.ts'

let repository: Repository
beforeEach(() => {
  repository = aRepository()
})
afterEach(() => repository.remove())

describe('check', () => {
  const objection = (version: string) => {
    const { code, err } = repository.run('check', version)
    expect(code).toBe(1)
    return err
  }

  it('lets a version through that is on main, with its section and its number everywhere', () => {
    repository.release('1.2.2')
    repository.commitOf('1.2.3')
    expect(repository.run('check', '1.2.3')).toEqual({ code: 0, out: '1.2.3 can be released', err: '' })
    expect(repository.run('check', 'v1.2.3').code).toBe(0)
  })

  it('changes nothing, in the clone and in origin', () => {
    repository.commitOf('1.2.3')
    repository.git('tag', 'mine')
    const refs = () => [repository.git('for-each-ref'), repository.git('ls-remote', 'origin')]
    const before = refs()
    repository.run('check', '1.2.3')
    expect(refs()).toEqual(before)
  })

  it('refuses what is no version', () => {
    repository.commitOf('1.2.3')
    for (const text of [
      '',
      '1',
      '1.2',
      '01.2.3',
      '1.2.3-',
      '1.2.3-01',
      '1.2.3+build',
      '1.2.3 ',
      'v1',
      '1.2.3\n',
      '--back',
    ])
      expect(objection(text)).toContain('is no version like 1.2.3')
  })

  it('refuses a commit that is not on main', () => {
    repository.commitOf('1.2.3')
    repository.git('commit', '--quiet', '--allow-empty', '--message', 'not pushed')
    expect(objection('1.2.3')).toMatch(/commit [0-9a-f]{40} is not on main/)
  })

  it('takes a commit of main that main went on from', () => {
    const commit = repository.commitOf('1.2.3')
    repository.commit({ other: 'x' })
    repository.git('checkout', '--quiet', '--detach', commit)
    expect(repository.run('check', '1.2.3').code).toBe(0)
  })

  it('refuses another number, or none, in the workflow that others call', () => {
    repository.commitOf('1.2.3')
    repository.commit({ '.github/workflows/deploy.yml': '      - uses: org/deploy-action@v1.2.2\n' })
    expect(objection('1.2.3')).toContain('.github/workflows/deploy.yml says 1.2.2, not 1.2.3')
    repository.commit({ '.github/workflows/deploy.yml': '      - uses: ./\n' })
    expect(objection('1.2.3')).toContain('.github/workflows/deploy.yml says nothing, not 1.2.3')
  })

  it('refuses another number in package.json or package-lock.json', () => {
    repository.commitOf('1.2.3')
    expect(objection('1.2.4')).toContain('package.json says 1.2.3, not 1.2.4')
    repository.commit({ 'package-lock.json': '{"version":"1.2.2","packages":{"":{"version":"1.2.1"}}}' })
    expect(objection('1.2.3').split('\n').slice(1)).toEqual([
      '  package-lock.json says 1.2.2, not 1.2.3',
      '  package-lock.json (packages) says 1.2.1, not 1.2.3',
    ])
  })

  it.each([
    ['no section', '# Changelog\n\n## [Unreleased]\n', 'has no section “## [1.2.3] - YYYY-MM-DD”'],
    ['an empty section', '## [1.2.3] - 2026-11-21\n\n### Added\n\n<!-- soon -->\n', 'says nothing of 1.2.3'],
    ['no day', '## [1.2.3]\n\n- x\n', '“## [1.2.3]” is to be “## [1.2.3] - YYYY-MM-DD”'],
    ['a day that is none', '## [1.2.3] - 2026-02-30\n\n- x\n', '2026-02-30, of 1.2.3, is no day'],
    ['a pre-release only', '## [1.2.3-rc.1] - 2026-11-21\n\n- x\n', 'has no section “## [1.2.3]'],
    ['a heading that is code', '```\n## [1.2.3] - 2026-11-21\n- x\n```\n', 'has no section “## [1.2.3]'],
    ['two sections', `${changelogOf('1.2.3')}${changelogOf('1.2.3')}`, 'has 2 sections of 1.2.3'],
    [
      'a newer section before it',
      '## [1.2.4] - 2026-11-21\n\n- y\n\n## [1.2.3] - 2026-11-20\n\n- x\n',
      'not the newest',
    ],
    ['something unreleased left', `## [Unreleased]\n\n- y\n\n## [1.2.3] - 2026-11-21\n\n- x\n`, 'under [Unreleased]'],
    [
      'something unreleased left, without brackets',
      `## Unreleased\n- y\n## [1.2.3] - 2026-11-21\n- x\n`,
      '[Unreleased]',
    ],
  ])('refuses a changelog with %s', (_what, changelog, words) => {
    repository.commitOf('1.2.3', changelog)
    expect(objection('1.2.3')).toContain(words)
  })

  it('lets a pre-release leave something for later', () => {
    repository.commitOf('2.0.0-rc.1', '## [Unreleased]\n\n- y\n\n## [2.0.0-rc.1] - 2026-11-21\n\n- x\n')
    expect(repository.run('check', '2.0.0-rc.1').code).toBe(0)
  })

  it('refuses what is changed and not committed', () => {
    repository.commitOf('1.2.3')
    repository.write({ 'CHANGELOG.md': `${changelogOf('1.2.3')}- and this\n` })
    expect(objection('1.2.3')).toContain('changed and not committed: CHANGELOG.md')
  })

  it('refuses a version that is there, unless at this very commit: a second run finishes a release', () => {
    repository.release('1.2.3')
    expect(repository.run('check', '1.2.3').code).toBe(0)
    repository.commit({ other: 'x' })
    expect(objection('1.2.3')).toMatch(
      /v1\.2\.3 is there already, at [0-9a-f]{40}.* the workflow Release with 1\.2\.3 again/,
    )
    expect(repository.run('begin', '1.2.3').code).toBe(0)
    expect(repository.run('check', '1.2.3').code).toBe(0)
  })

  it('refuses one before a released one of the same major version', () => {
    repository.release('1.10.0')
    repository.release('2.0.0')
    repository.commitOf('1.9.0')
    expect(objection('1.9.0')).toContain('v1.10.0 is released already, which is newer')
    repository.commitOf('1.11.0')
    expect(repository.run('check', '1.11.0').code).toBe(0)
  })
})

describe('notes', () => {
  it('are the section of the version, and nothing else', () => {
    const section = '### Fixed\n\n- a\n\n```\n## not a heading\n```\n\n- b'
    const older = '## [1.2.2] - 2026-11-20\n\n- old\n\n[1.2.3]: https://example.org\n'
    repository.commitOf('1.2.3', `# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-11-21\n\n${section}\n\n${older}`)
    expect(repository.run('notes', '1.2.3')).toEqual({ code: 0, out: section, err: '' })
  })
})

describe('mark', () => {
  it('is the latest when it is the highest full version, whatever else there is', () => {
    repository.release('1.9.0')
    repository.release('2.0.0-rc.1')
    expect(repository.run('mark', '1.10.0').out).toBe('--latest')
    expect(repository.run('mark', '1.9.0').out).toBe('--latest')
    expect(repository.run('mark', '1.8.9').out).toBe('--latest=false')
    expect(repository.run('mark', '2.0.0-rc.2').out).toBe('--prerelease')
  })
})

describe('prepare', () => {
  it('makes of what is unreleased a release that can be checked', () => {
    repository.commitOf('1.2.2', '# Changelog\n\n## [Unreleased]\n\n- a\n\n## [1.2.2] - 2026-11-01\n\n- old\n')
    expect(repository.run('prepare', '1.2.3').code).toBe(0)
    repository.commit({})
    expect(repository.run('check', '1.2.3')).toMatchObject({ code: 0, err: '' })
    expect(repository.run('notes', '1.2.3').out).toBe('- a')
    expect(readFileSync(join(repository.directory, '.github/workflows/deploy.yml'), 'utf8')).toBe(
      '      - uses: org/deploy-action@v1.2.3 # the release\n',
    )
    expect(readFileSync(join(repository.directory, 'CHANGELOG.md'), 'utf8')).toMatch(
      /^# Changelog\n\n## \[Unreleased\]\n\n## \[1\.2\.3\] - \d{4}-\d\d-\d\d\n\n- a\n\n## \[1\.2\.2\] - 2026-11-01\n\n- old\n$/,
    )
  })

  it('refuses when there is nothing to release', () => {
    repository.commitOf('1.2.2')
    expect(repository.run('prepare', '1.2.3').err).toContain('nothing under [Unreleased]: write there what is new')
    expect(repository.git('status', '--porcelain')).toBe('')
  })

  const prereleases = [
    '## [2.0.0-rc.2] - 2026-11-20\n\n### Fixed\n\n- c\n\n### Added\n\n- b\n',
    '## [2.0.0-rc.1] - 2026-11-19\n\nA word before.\n\n### Added\n\n- a\n\n```\n### no heading\n```\n',
    '## [1.9.0] - 2026-11-01\n\n- old\n',
  ].join('\n')

  it('makes of the pre-releases of a version the release, and leaves their own sections', () => {
    repository.commitOf('2.0.0-rc.2', `# Changelog\n\n## [Unreleased]\n\n${prereleases}`)
    expect(repository.run('prepare', '2.0.0')).toMatchObject({ code: 0, err: '' })
    repository.commit({})
    expect(repository.run('check', '2.0.0')).toMatchObject({ code: 0, err: '' })
    const notes = 'A word before.\n\n### Fixed\n\n- c\n\n### Added\n\n- b\n- a\n\n```\n### no heading\n```'
    expect(repository.run('notes', '2.0.0').out).toBe(notes)
    const changelog = readFileSync(join(repository.directory, 'CHANGELOG.md'), 'utf8')
    expect(changelog).toMatch(/^# Changelog\n\n## \[Unreleased\]\n\n## \[2\.0\.0\] - \S+\n\nA word/)
    expect(changelog.endsWith(`\n\n${prereleases}`)).toBe(true)
  })

  it('adds what came after the last pre-release; a pre-release has only that', () => {
    const changelog = `# Changelog\n\n## [Unreleased]\n\n### Added\n\n- d\n\n${prereleases}`
    repository.commitOf('2.0.0-rc.2', changelog)
    repository.run('prepare', '2.0.0-rc.3')
    expect(repository.run('notes', '2.0.0-rc.3').out).toBe('### Added\n\n- d')
    repository.commitOf('2.0.0-rc.2', changelog)
    repository.run('prepare', '2.0.0')
    expect(repository.run('notes', '2.0.0').out).toMatch(/### Added\n\n- d\n- b\n- a\n/)
  })
})

describe('begin', () => {
  it('goes to the tag where there is one, and nowhere else', () => {
    const commit = repository.release('1.2.3')
    const main = repository.commit({ other: 'x' })
    expect(repository.run('begin', '1.2.4')).toEqual({ code: 0, out: 'v1.2.4 is not there yet', err: '' })
    expect(repository.git('rev-parse', 'HEAD')).toBe(main)
    expect(repository.run('begin', '1.2.3').out).toBe(`v1.2.3 is there already: on with it at ${commit}`)
    expect(repository.git('rev-parse', 'HEAD')).toBe(commit)
  })

  it('goes to no tag on what was not merged', () => {
    const main = repository.commitOf('1.2.2')
    repository.git('commit', '--quiet', '--allow-empty', '--message', 'not merged')
    repository.git('push', '--quiet', 'origin', 'HEAD:refs/tags/v1.2.3')
    repository.git('reset', '--quiet', '--hard', main)
    expect(repository.run('begin', '1.2.3').err).toMatch(/v1\.2\.3 is at [0-9a-f]{40}, which is not on main/)
    expect(repository.git('rev-parse', 'HEAD')).toBe(main)
  })
})

describe('tag', () => {
  it('is set once, at the commit that was checked', () => {
    const commit = repository.commitOf('1.2.3')
    expect(repository.run('tag', '1.2.3').code).toBe(0)
    expect(repository.tagged('v1.2.3')).toBe(commit)
    expect(repository.run('tag', '1.2.3')).toMatchObject({ code: 0, out: 'v1.2.3 is there already' })
  })

  it('is never moved', () => {
    const commit = repository.release('1.2.3')
    repository.commit({ other: 'x' })
    const { code, err } = repository.run('tag', '1.2.3')
    expect([code, err]).toEqual([
      1,
      expect.stringContaining(`v1.2.3 is there already, at ${commit}; to finish its release`),
    ])
    expect(repository.tagged('v1.2.3')).toBe(commit)
  })

  it('that a token may not set is set by a person, who is told the line', () => {
    const commit = repository.commitOf('1.2.3')
    // What GitHub answers, see docs/releasing.md.
    const refusal = 'refusing to allow a GitHub App to create or update workflow `x` without `workflows` permission'
    const { code, err } = repository.runWithGit(
      `[ "$1" = push ] && { echo '${refusal}' >&2; exit 1; }; exec "$REAL_GIT" "$@"`,
      'tag',
      '1.2.3',
    )
    expect(code).toBe(1)
    const line = /^ {2}git (push .*)$/m.exec(err)?.[1] ?? ''
    repository.git(...line.split(' '))
    expect(repository.tagged('v1.2.3')).toBe(commit)
  })
})

describe('the changelog of this project', () => {
  it('can be made a release of as it is', () => {
    repository.commitOf('0.0.1', readFileSync('CHANGELOG.md', 'utf8'))
    const waiting = emptied(readFileSync('CHANGELOG.md', 'utf8')) === false
    if (waiting) expect(repository.run('prepare', '99.0.0')).toMatchObject({ code: 0, err: '' })
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
    const notes = repository.run('notes', waiting ? '99.0.0' : version)
    expect(notes).toMatchObject({ code: 0, err: '' })
    expect(notes.out).not.toBe('')
  })
})
