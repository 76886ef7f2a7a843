import { describe, expect, it } from 'vitest'
import { closeLeftComment, commenting } from '../../src/commands/preview-commenting.ts'
import { hasLeftRecord } from '../../src/commands/recording.ts'
import { type GitHubAt, gitHub } from '../../src/github/api.ts'
import { readRequest } from '../../src/inputs.ts'
import type { Manifest } from '../../src/manifest/manifest.ts'
import type { EventBody } from '../../src/report/events.ts'
import { createFold } from '../../src/report/state.ts'
import { useGitHub } from '../github/use-github.ts'
import type { GitHubOptions } from '../support/github/server.ts'
import { waitUntil } from '../support/wait-until.ts'

const github = useGitHub()
const preview = { application: 'shop', environment: 'pr-7', preview: { number: 7 } } as unknown as Manifest
const title = (body: string | undefined) => body?.split('\n')[1]

/** A preview's run with its comment, event for event, and its post step. */
async function aPreview(options: GitHubOptions = {}, client: Partial<GitHubAt> = {}) {
  const { at, gh, warnings } = await github(options, client)
  const state: Record<string, string> = {}
  const requestOf = (more: Readonly<Record<string, string>>) =>
    readRequest({ GITHUB_ACTIONS: 'true', INPUT_COMMAND: 'preview', INPUT_SERVERS: 'all', ...more }, [], '/work')
  const cancel = new AbortController()
  const following = { request: requestOf({}), manifest: preview, cancel: cancel.signal, emit: () => {}, post: false }
  const saveState = (name: string, value: string) => {
    state[`STATE_${name}`] = value
  }
  const follower = commenting({ ...following, saveState }, gh, 7)
  const fold = createFold()
  const emit = (...bodies: readonly EventBody[]) => {
    for (const body of bodies) for (const to of [fold.listener, follower.listener]) to({ ...body, at: 1 })
  }
  return {
    ...{ at, warnings, state, emit },
    end: () => follower.end(fold.state()),
    /** Cancelled once GitHub was asked. */
    cutShort: async () => {
      const before = at.asked()
      const ended = follower.end(fold.state())
      await waitUntil('GitHub is asked', () => at.asked() > before)
      cancel.abort()
      await ended
    },
    /** Another process, so a client of its own. */
    post: () => {
      const { repository, token, url: apiUrl } = at
      const own = gitHub({ repository, token, apiUrl, warn: text => void warnings.push(text), ...client })
      return closeLeftComment(requestOf(state), own, new AbortController().signal)
    },
    said: () => at.comments(7).map(c => title(c.body)),
  }
}

const begun: EventBody = { type: 'phase', phase: 'preflight' }
const success: EventBody = { type: 'run-ended', result: 'success' }

describe('the comment on a pull request', () => {
  it('is not written by post where main has written it, or had not begun', async () => {
    const none = await aPreview()
    expect(hasLeftRecord(none.state)).toBe(false)
    await none.post()
    const one = await aPreview()
    one.emit(begun, success)
    await one.end()
    expect(hasLeftRecord(one.state)).toBe(false)
    await one.post()
    expect([none.said(), one.said()]).toEqual([[], ['### ✅ The preview of shop is up']])
  })

  it('says that the deployment was cut off, when it was killed', async () => {
    const one = await aPreview()
    one.emit(begun)
    expect(hasLeftRecord(one.state)).toBe(true)
    await one.post()
    expect(one.said()).toEqual(['### ❌ The preview of shop: the deployment was cut off'])
  })

  it('is left to post by a run that is cancelled and has no time for GitHub', { timeout: 30_000 }, async () => {
    const one = await aPreview({
      comments: [
        { issue: 7, body: '<!-- deploy-action: shop preview -->\n### ✅ up', by: { login: 'b[bot]', type: 'Bot' } },
      ],
    })
    one.at.answer('*', { fault: 'slow', ms: 600_000 })
    one.emit(begun, { type: 'run-ended', result: 'cancelled' })
    await one.cutShort()
    expect([one.warnings, one.said()]).toEqual([[], ['### ✅ up']])
    await one.post()
    expect(one.said()).toEqual(['### ⚪ The preview of shop: the deployment was cancelled'])
  })

  it('costs post its bounded time, and one warning, where GitHub does not answer', async () => {
    const one = await aPreview({}, { endMs: 200 })
    one.emit(begun)
    one.at.answer('*', { fault: 'slow', ms: 600_000 }, 99)
    await one.post()
    expect(one.warnings).toEqual([expect.stringContaining('the comment on the pull request is not up to date')])
  })

  it('that is too long to be kept for post is said as cut off', { timeout: 30_000 }, async () => {
    const one = await aPreview()
    const failed = (server: string): EventBody => ({
      ...{ type: 'server-ended', server, outcome: 'failed', rotation: 'none', leftOut: false, keptOut: false },
      ...{ notVerified: false, release: null, previous: null },
    })
    one.emit(begun, ...Array.from({ length: 100 }, (_, i) => failed(`${'x'.repeat(400)}${i}`)))
    one.at.answer('*', { fault: 'slow', ms: 600_000 })
    await one.cutShort()
    expect(Object.keys(one.state)).toEqual(['STATE_comment'])
    await one.post()
    expect(one.said()).toEqual(['### ❌ The preview of shop: the deployment was cut off'])
  })
})
