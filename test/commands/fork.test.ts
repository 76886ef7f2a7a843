import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { forkOrNull } from '../../src/commands/trust.ts'
import { readRequest } from '../../src/inputs.ts'

const directory = mkdtempSync(join(tmpdir(), 'fork-'))
afterAll(() => rmSync(directory, { recursive: true }))

const why = (head: unknown, command = 'deploy') => {
  const file = join(directory, 'event.json')
  writeFileSync(file, JSON.stringify({ pull_request: { head, base: { repo: { full_name: 'org/shop' } } } }))
  return forkOrNull(
    readRequest({ GITHUB_EVENT_NAME: 'pull_request', GITHUB_EVENT_PATH: file, INPUT_COMMAND: command }, [], directory),
  )
}

describe("a fork's pull request", () => {
  it.each([
    ['says so itself', { repo: { fork: true, full_name: 'org/shop' } }],
    ['comes from another repository', { repo: { fork: false, full_name: 'stranger/shop' } }],
    ['comes from a repository that is gone', { repo: null }],
  ])('deploys nothing when it %s', (_, head) => {
    expect(why(head)).toMatch(/Nothing is done for a fork/)
    expect(why(head, 'plan')).toMatch(/Nothing is done for a fork/)
    expect(why(head, 'validate')).toBeNull()
  })
  it('is not one from the repository itself', () =>
    expect(why({ repo: { fork: false, full_name: 'org/shop' } })).toBeNull())
  it('is none without a pull request', () => expect(forkOrNull(readRequest({}, [], directory))).toBeNull())
})
