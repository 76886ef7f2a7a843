/** The tag of the major version, which users have in their workflows: it moves forward, and back only when someone says so. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { aRepository, type Repository } from './a-repository.ts'

let repository: Repository
beforeEach(() => {
  repository = aRepository()
})
afterEach(() => repository.remove())

const move = (version: string, ...options: readonly string[]) => repository.run('major-tag', version, ...options)

describe('v1', () => {
  it('begins at the first release and follows each newer one', () => {
    const first = repository.release('1.0.0')
    expect(move('1.0.0')).toMatchObject({ code: 0, out: `v1: new → ${first} (v1.0.0)` })
    const second = repository.release('1.0.1')
    expect(move('1.0.1')).toMatchObject({ code: 0, out: `v1: ${first} → ${second} (v1.0.1)` })
    const tenth = repository.release('1.10.0')
    expect(move('1.10.0').code).toBe(0)
    expect(repository.tagged('v1')).toBe(tenth)
  })

  it('stays when it is there already', () => {
    repository.release('1.0.0')
    move('1.0.0')
    expect(move('1.0.0')).toEqual({ code: 0, out: 'v1 is there already', err: '' })
  })

  it('does not go back, but with --back', () => {
    const first = repository.release('1.9.0')
    const second = repository.release('1.10.0')
    move('1.10.0')
    expect(move('1.9.0')).toMatchObject({
      code: 1,
      err: 'v1 is at v1.10.0: it would go back to v1.9.0, which only --back does',
    })
    expect(repository.tagged('v1')).toBe(second)
    expect(move('1.9.0', '--back').code).toBe(0)
    expect(repository.tagged('v1')).toBe(first)
    // And forward again, with the release that mends it.
    const third = repository.release('1.10.1')
    expect(move('1.10.1').code).toBe(0)
    expect(repository.tagged('v1')).toBe(third)
  })

  it('does not follow another major version, which has a tag of its own', () => {
    const first = repository.release('1.0.0')
    move('1.0.0')
    const second = repository.release('2.0.0')
    expect(move('2.0.0').code).toBe(0)
    expect([repository.tagged('v1'), repository.tagged('v2')]).toEqual([first, second])
  })

  it('that someone put on another major version is not touched, --back or not', () => {
    repository.release('1.0.0')
    const second = repository.release('2.0.0')
    repository.git('push', '--quiet', 'origin', `${second}:refs/tags/v1`)
    for (const options of [[], ['--back']])
      expect(move('1.0.0', ...options)).toMatchObject({
        code: 1,
        err: expect.stringContaining('another major version'),
      })
    expect(repository.tagged('v1')).toBe(second)
  })

  it('follows no pre-release, and there is none below 1.0.0', () => {
    repository.release('1.0.0-rc.1')
    expect(move('1.0.0-rc.1')).toMatchObject({ code: 0, out: expect.stringContaining('pre-release') })
    repository.release('0.9.0')
    expect(move('0.9.0')).toMatchObject({ code: 0, out: expect.stringContaining('below 1.0.0') })
    expect([repository.tagged('v1'), repository.tagged('v0')]).toEqual([null, null])
  })

  it('moves from a commit without a release only to what holds it', () => {
    const first = repository.release('1.0.0')
    const between = repository.commit({ other: 'x' })
    repository.git('push', '--quiet', 'origin', `${between}:refs/tags/v1`)
    expect(move('1.0.0')).toMatchObject({ code: 1, err: expect.stringContaining('which no release is at') })
    const second = repository.release('1.0.1')
    expect(move('1.0.1').code).toBe(0)
    expect(repository.tagged('v1')).toBe(second)
    expect(first).not.toBe(second)
  })

  it('goes to no tag that is not there, or not on main', () => {
    repository.release('1.0.0')
    expect(move('1.0.1')).toMatchObject({ code: 1, err: 'origin has no tag v1.0.1' })
    repository.git('commit', '--quiet', '--allow-empty', '--message', 'aside')
    repository.git('push', '--quiet', 'origin', 'HEAD:refs/tags/v1.0.2')
    expect(move('1.0.2')).toMatchObject({ code: 1, err: 'v1.0.2 is not on main' })
  })

  it('is a plain tag of the commit, also where the release has an annotated one and it was one itself', () => {
    const first = repository.release('1.0.0')
    repository.git('tag', '--annotate', '--message', 'x', 'v1', first)
    repository.git('push', '--quiet', 'origin', 'v1')
    const second = repository.commitOf('1.0.1')
    repository.git('tag', '--annotate', '--message', 'x', 'v1.0.1', second)
    repository.git('push', '--quiet', 'origin', 'v1.0.1')
    expect(move('1.0.1')).toMatchObject({ code: 0, err: '' })
    expect(repository.git('ls-remote', 'origin', 'refs/tags/v1', 'refs/tags/v1^{}')).toBe(`${second}\trefs/tags/v1`)
  })

  it('is looked up in origin, whatever tags the clone has', () => {
    repository.release('1.0.0')
    move('1.0.0')
    const second = repository.release('1.0.1')
    repository.git('tag', 'v1', second)
    repository.git('tag', 'v1.0.9', second)
    expect(move('1.0.1').code).toBe(0)
    expect(repository.tagged('v1')).toBe(second)
    expect(repository.git('rev-parse', 'v1.0.9')).toBe(second)
  })

  it('that moved meanwhile is left where it is', () => {
    repository.release('1.0.0')
    move('1.0.0')
    const newer = repository.release('1.0.2')
    repository.release('1.0.1')
    // Between the look and the push another run moves it.
    const meanwhile = `[ "$1" = push ] && "$REAL_GIT" -C "$ORIGIN" update-ref refs/tags/v1 ${newer}; exec "$REAL_GIT" "$@"`
    expect(repository.runWithGit(meanwhile, 'major-tag', '1.0.1')).toMatchObject({
      code: 1,
      err: expect.stringContaining('stale info'),
    })
    expect(repository.tagged('v1')).toBe(newer)
  })

  it('is asked for with no other word', () => {
    repository.release('1.0.0')
    expect(move('1.0.0', '--force')).toMatchObject({ code: 1, err: 'major-tag has no option --force' })
    expect(repository.run('check', '1.0.0', '--back')).toMatchObject({ code: 1, err: 'check has no option --back' })
    expect(repository.run('publish', '1.0.0').err).toContain('One of prepare, begin, check')
  })
})
