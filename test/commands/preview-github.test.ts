import { describe, expect, it } from 'vitest'
import { tellRemoved } from '../../src/commands/preview-github.ts'
import type { GitHub } from '../../src/github/api.ts'
import { readRequest } from '../../src/inputs.ts'
import { useGitHub } from '../github/use-github.ts'
import { waitUntil } from '../support/wait-until.ts'

const github = useGitHub()
const statuses = 'POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses'
const many = (of: number) => Array.from({ length: of }, () => ({ environment: 'preview/pr-7', state: 'success' }))
const request = readRequest({ INPUT_COMMAND: 'preview' }, [], '/work')
const none = new AbortController().signal
const removed = (gh: GitHub, ms?: number, cancel = none) =>
  tellRemoved(gh, request, { application: 'shop' }, 7, cancel, ms)

describe('the records of a preview that is removed', () => {
  it('are inactive, all of them', async () => {
    const { at, gh, warnings } = await github({ deployments: many(3) })
    await removed(gh)
    expect(at.deployments().map(d => d.state)).toEqual(['inactive', 'inactive', 'inactive'])
    expect(warnings).toEqual([])
  })
  it('that are too many for its time are told of, and the next time goes on with them', {
    timeout: 30_000,
  }, async () => {
    const { at, gh, warnings } = await github({ deployments: many(4) })
    // The client writes one a second.
    await removed(gh, 1500)
    const left = at.deployments().filter(d => d.state === 'success').length
    expect(left).toBeGreaterThan(0)
    expect(warnings).toEqual([expect.stringMatching(/not all records .* Of preview 7 they are \d of 4 after 1.5 s; /i)])
    await removed(gh)
    expect(at.deployments().map(d => d.statuses.map(s => s.state))).toEqual(many(4).map(() => ['success', 'inactive']))
    expect(at.requests(statuses)).toHaveLength(4)
  })
  it('of a GitHub that never answers are waited for once, with the comment, with one warning', async () => {
    const { at, gh, warnings } = await github({ deployments: many(2) }, { endMs: 200 })
    at.answer('*', { fault: 'slow', ms: 600_000 }, 99)
    await removed(gh)
    // The list, and whose the token is; nothing for the second and the third.
    await waitUntil('both are asked', () => at.asked() === 2)
    for (let i = 0; i < 2; i++) await removed(gh)
    expect(warnings).toEqual([expect.stringMatching(/^GitHub did not answer in time: /)])
    expect(at.asked()).toBe(2)
  })
  it('are left when the run is cancelled and GitHub does not answer', { timeout: 30_000 }, async () => {
    const { at, gh, warnings } = await github({ deployments: many(2) })
    at.answer('*', { fault: 'slow', ms: 600_000 }, 99)
    await removed(gh, undefined, AbortSignal.abort())
    expect(warnings).toHaveLength(1)
  })
})
