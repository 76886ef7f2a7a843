/** A repository with an origin, in a temporary directory: what a release is made in. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'

const script = resolve('scripts/release.mjs')

/** Nothing of the one who runs the tests: no name, no hooks, no signatures. */
const env = {
  PATH: process.env['PATH'] ?? '',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.org',
}

export interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

export interface Repository {
  readonly directory: string
  readonly origin: string
  git(...args: readonly string[]): string
  write(files: Readonly<Record<string, string>>): void
  /** A commit of all that is there, pushed to main; its id. */
  commit(files: Readonly<Record<string, string>>): string
  /** A commit whose files say that it is `version`, pushed. */
  commitOf(version: string, changelog?: string): string
  /** Commit, tag and push: a version that was released. */
  release(version: string): string
  /** The commit of a tag in origin; null: there is none. */
  tagged(tag: string): string | null
  run(...args: readonly string[]): Ended
  /** `run` with a program in the place of git, which may go on to $REAL_GIT. */
  runWithGit(program: string, ...args: readonly string[]): Ended
  remove(): void
}

export const changelogOf = (version: string) =>
  `# Changelog\n\n## [Unreleased]\n\n## [${version}] - 2026-11-21\n\n### Added\n\n- ${version}\n`

export function aRepository(): Repository {
  const place = mkdtempSync(join(tmpdir(), 'release-'))
  const [directory, origin] = [join(place, 'clone'), join(place, 'origin.git')]
  const at = (cwd: string, args: readonly string[]) =>
    execFileSync('git', args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()
  at(place, ['init', '--quiet', '--bare', '--initial-branch=main', origin])
  at(place, ['init', '--quiet', '--initial-branch=main', directory])
  at(directory, ['remote', 'add', 'origin', origin])
  const start = (more: Readonly<Record<string, string>>, args: readonly string[]): Ended => {
    const ended = spawnSync(process.execPath, [script, ...args], {
      cwd: directory,
      env: { ...env, ...more },
      encoding: 'utf8',
    })
    return { code: ended.status, out: ended.stdout.trim(), err: ended.stderr.trim() }
  }
  const repository: Repository = {
    directory,
    origin,
    git: (...args) => at(directory, args),
    write(files) {
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(directory, name)), { recursive: true })
        writeFileSync(join(directory, name), text)
      }
    },
    commit(files) {
      repository.write(files)
      at(directory, ['add', '--all'])
      at(directory, ['commit', '--quiet', '--allow-empty', '--message', 'x'])
      at(directory, ['push', '--quiet', 'origin', 'HEAD:main'])
      return at(directory, ['rev-parse', 'HEAD'])
    },
    commitOf: (version, changelog = changelogOf(version)) =>
      repository.commit({
        'package.json': JSON.stringify({ name: 'x', version }),
        'package-lock.json': JSON.stringify({ name: 'x', version, packages: { '': { name: 'x', version } } }),
        'CHANGELOG.md': changelog,
        '.github/workflows/deploy.yml': `      - uses: org/deploy-action@v${version} # the release\n`,
      }),
    release(version) {
      const commit = repository.commitOf(version)
      at(directory, ['push', '--quiet', 'origin', `${commit}:refs/tags/v${version}`])
      return commit
    },
    tagged(tag) {
      const found = spawnSync('git', ['rev-parse', '--verify', '--quiet', `refs/tags/${tag}^{commit}`], {
        cwd: origin,
        env,
        encoding: 'utf8',
      })
      return found.status === 0 ? found.stdout.trim() : null
    },
    run: (...args) => start({}, args),
    runWithGit(program, ...args) {
      const bin = join(place, 'bin')
      mkdirSync(bin, { recursive: true })
      writeFileSync(join(bin, 'git'), `#!/bin/sh\n${program}\n`, { mode: 0o755 })
      const real = execFileSync('sh', ['-c', 'command -v git'], { env, encoding: 'utf8' }).trim()
      return start({ PATH: `${bin}${delimiter}${env.PATH}`, REAL_GIT: real, ORIGIN: origin }, args)
    },
    remove: () => rmSync(place, { recursive: true, force: true }),
  }
  return repository
}
