import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { readRun } from '../src/event.ts'

const directory = mkdtempSync(join(tmpdir(), 'event-'))
afterAll(() => rmSync(directory, { recursive: true }))

const runOf = (event: string, payload: unknown) => {
  const file = join(directory, 'event.json')
  writeFileSync(file, typeof payload === 'string' ? payload : JSON.stringify(payload))
  return readRun({ GITHUB_EVENT_NAME: event, GITHUB_EVENT_PATH: file })
}

const repo = (name: string, fork = false) => ({ repo: { full_name: name, fork } })
const sha = 'a'.repeat(40)
const pull = (more: object = {}) => ({
  action: 'synchronize',
  pull_request: { number: 12, state: 'open', head: { ...repo('o/r'), sha }, base: repo('o/r'), ...more },
})

describe('the event', () => {
  it('names its pull request', () =>
    expect(runOf('pull_request', pull()).pull).toEqual({
      number: 12,
      action: 'synchronize',
      state: 'open',
      headSha: sha,
      fork: false,
    }))
  it('of a closed one says so', () =>
    expect(runOf('pull_request', { ...pull({ state: 'closed' }), action: 'closed' }).pull).toMatchObject({
      action: 'closed',
      state: 'closed',
    }))
  it.each([
    ['another repository', { head: { ...repo('x/r'), sha } }],
    ['one that says it is a fork', { head: { ...repo('o/r', true), sha } }],
    ['a fork, as far as a payload without its base says', { base: null, head: { ...repo('o/r', true), sha } }],
    ['one that is gone', { head: { repo: null, sha } }],
  ])('from %s is a fork’s', (_, more) => expect(runOf('pull_request', pull(more)).pull?.fork).toBe(true))
  it('of a repository that is itself a fork is not a fork’s', () =>
    expect(
      runOf('pull_request', pull({ head: { ...repo('o/r', true), sha }, base: repo('o/r', true) })).pull?.fork,
    ).toBe(false))
  it('of a comment names the pull request it stands in, without its commit', () =>
    expect(
      runOf('issue_comment', { action: 'created', issue: { number: 3, state: 'open', pull_request: {} } }).pull,
    ).toMatchObject({ number: 3, headSha: null }))
  it('of a comment in an issue names none', () =>
    expect(runOf('issue_comment', { action: 'created', issue: { number: 3, state: 'open' } }).pull).toBeNull())
  it.each([['12'], [0], [-1], [1.5], ['../..'], [null], [{}]])('with the number %j names none', number =>
    expect(runOf('pull_request', pull({ number })).pull).toBeNull(),
  )
  it.each([['$(id)'], ['../x'], ['a'.repeat(39)], [7]])('takes no %j for a commit', bad =>
    expect(runOf('pull_request', pull({ head: { ...repo('o/r'), sha: bad } }))).toMatchObject({
      headSha: null,
      pull: { headSha: null },
    }),
  )
  it('that cannot be read names nothing', () =>
    expect(runOf('pull_request', '{')).toMatchObject({ pull: null, fork: false, headSha: null }))
})
