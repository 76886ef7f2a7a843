import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkEvent } from '../../src/commands/trust.ts'
import { readRequest } from '../../src/inputs.ts'

let workspace: string
let head: string
beforeAll(() => {
  workspace = mkdtempSync(join(tmpdir(), 'trust-'))
  const git = (...args: string[]) =>
    execFileSync('git', ['-C', workspace, '-c', 'user.name=t', '-c', 'user.email=t@example.com', ...args], {
      encoding: 'utf8',
    })
  git('init', '-q')
  git('commit', '-qm', 'one', '--allow-empty')
  head = git('rev-parse', 'HEAD').trim()
})
afterAll(() => rmSync(workspace, { recursive: true }))

const check = (event: string, more: Record<string, string> = {}) =>
  checkEvent(
    readRequest({ GITHUB_EVENT_NAME: event, GITHUB_SHA: head, GITHUB_WORKSPACE: workspace, ...more }, [], workspace),
  )

describe('the event that started a run', () => {
  it.each(['push', 'workflow_dispatch', 'schedule'])('%s deploys without further ado', event =>
    expect(check(event)).resolves.toBeUndefined(),
  )
  it.each(['pull_request', 'pull_request_target', 'pull_request_review', 'pull_request_review_comment'])(
    '%s deploys only to an environment that is named',
    async event => {
      await expect(check(event)).rejects.toThrow(/needs the input environment/)
      await expect(check(event, { INPUT_ENVIRONMENT: 'staging' })).resolves.toBeUndefined()
      await expect(check(event, { INPUT_COMMAND: 'plan' })).resolves.toBeUndefined()
    },
  )
  it.each(['pull_request_target', 'workflow_run', 'issue_comment'])(
    '%s is refused with another checkout than GITHUB_SHA',
    async event => {
      const more = { INPUT_ENVIRONMENT: 'staging' }
      await expect(check(event, more)).resolves.toBeUndefined()
      await expect(check(event, { ...more, GITHUB_SHA: 'f'.repeat(40) })).rejects.toThrow(/has to be GITHUB_SHA/)
      await expect(check(event, { ...more, GITHUB_WORKSPACE: tmpdir() })).rejects.toThrow(/no git checkout/)
    },
  )
})
