import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { type GitHub, GitHubError, gitHub } from '../../src/github/api.ts'
import { createDeployment, setStatus } from '../../src/github/deployments.ts'
import { pullOf } from '../../src/github/pulls.ts'
import { freePort } from '../support/free-port.ts'
import { waitUntil } from '../support/wait-until.ts'
import { rejection, sha, useGitHub } from './use-github.ts'

const github = useGitHub()
const pull = { number: 7, state: 'open', headSha: sha } as const
const get = 'GET /repos/{owner}/{repo}/pulls/{pull_number}'
const ask = (gh: GitHub) => pullOf(gh, 7)

describe('the one client', () => {
  it('tries again after 5xx, three times', async () => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer(get, { fault: 'status', status: 502 }, 3)
    expect(await ask(gh)).toMatchObject({ state: 'open' })
    expect(at.requests(get).map(r => r.status)).toEqual([502, 502, 502, 200])
  })
  it('gives up after that', async () => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer(get, { fault: 'status', status: 503 }, 9)
    expect(await rejection(ask(gh))).toMatchObject({ status: 503 })
    expect(at.requests(get)).toHaveLength(4)
  })
  it('tries again when the connection breaks', async () => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer(get, { fault: 'drop' }, 2)
    expect(await ask(gh)).toMatchObject({ number: 7 })
  })
  it('has no answer from a GitHub that is not there, and says so', async () => {
    const { gh } = await github({}, { apiUrl: `http://127.0.0.1:${await freePort()}` })
    const error = await rejection(ask(gh))
    expect(error).toBeInstanceOf(GitHubError)
    expect(error).toMatchObject({ status: null, message: expect.stringMatching(/no answer.*ECONNREFUSED/) })
  })
  it('waits for each try no longer than its time', async () => {
    const { at, gh } = await github({ pulls: [pull] }, { callMs: 1_000 })
    at.answer(get, { fault: 'slow', ms: 30_000 })
    expect(await ask(gh)).toMatchObject({ number: 7 })
  })
  it('keeps the time of a call from all others, also of calls at once', async () => {
    const { at, gh } = await github({ pulls: [pull] }, { callMs: 500 })
    at.answer(get, { fault: 'slow', ms: 100 }, 2)
    await Promise.all([ask(gh), ask(gh)])
    await new Promise(done => setTimeout(done, 600))
    expect(await ask(gh)).toMatchObject({ number: 7 })
  })
  it.each([400, 401, 404, 409, 410, 422, 451])('does not try again after %i', async status => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer(get, { fault: 'status', status, message: 'no' })
    await ask(gh).catch(() => null)
    expect(at.requests(get)).toHaveLength(1)
  })
  it.each([new Error('enough'), undefined])('stops when it is told to: %s', async reason => {
    const stop = new AbortController()
    const { at, gh } = await github({ pulls: [pull] }, { signal: stop.signal, secondMs: 1000 })
    at.answer(get, { fault: 'slow', ms: 30_000 })
    const asked = rejection(ask(gh))
    await waitUntil('it is asked', () => at.asked() > 0)
    stop.abort(reason)
    expect(await asked).toBeInstanceOf(GitHubError)
    expect(at.asked()).toBe(1)
  })
  it('asks a GitHub Enterprise Server under its own address', async () => {
    const { at, gh } = await github({ base: '/api/v3', pulls: [pull] })
    expect(await ask(gh)).toMatchObject({ number: 7 })
    expect(at.requests(get)[0]?.path).toBe('/api/v3/repos/octo/shop/pulls/7')
  })
  it('is for one repository', () =>
    expect(() => gitHub({ repository: 'octo/shop/../other', token: 't', apiUrl: 'http://x', warn: () => {} })).toThrow(
      'owner/name',
    ))
})

describe('rate limits', () => {
  it.each([403, 429] as const)('waits as long as a secondary limit says (%i)', async status => {
    const { at, gh } = await github({ pulls: [pull] }, { secondMs: 10 })
    at.answer(get, { fault: 'secondary-limit', retryAfter: 20, status })
    expect(await ask(gh)).toMatchObject({ number: 7 })
    const [first, second] = at.requests(get)
    expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThan(150)
  })
  it('waits for what only has a header', async () => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer(get, { fault: 'secondary-limit', retryAfter: 2, status: 429, message: 'Too many requests' })
    expect(await ask(gh)).toMatchObject({ number: 7 })
  })
  it('waits a minute for a secondary limit that does not say', async () => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer(get, { fault: 'secondary-limit' })
    expect(await ask(gh)).toMatchObject({ number: 7 })
  })
  it.each([403, 429] as const)('waits for the reset of a primary limit (%i)', async status => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer(get, { fault: 'primary-limit', resetInSeconds: 20, status })
    expect(await ask(gh)).toMatchObject({ number: 7 })
  })
  it('does not wait for the hour: the first limit that takes over a minute ends it', async () => {
    const { at, gh } = await github({ pulls: [pull] }, { secondMs: 1000 })
    at.answer(get, { fault: 'primary-limit', resetInSeconds: 3000 }, 9)
    expect(await rejection(ask(gh))).toMatchObject({ status: 403, message: expect.stringContaining('rate limit') })
    expect(at.requests(get)).toHaveLength(1)
  })
  it('waits a minute in all, whatever the calls', async () => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer(get, { fault: 'secondary-limit', retryAfter: 25 }, 99)
    await rejection(ask(gh))
    expect(at.requests(get)).toHaveLength(3)
    await rejection(ask(gh))
    expect(at.requests(get)).toHaveLength(4)
  })
  it('is no missing permission', async () => {
    const { gh } = await github()
    expect(gh.permissionHint(new GitHubError('API rate limit exceeded', 403, null), 'deployments')).toBeNull()
    expect(gh.permissionHint(new GitHubError('a secondary rate limit', 429, null), 'deployments')).toBeNull()
  })
})

describe('what is told', () => {
  const refused = new GitHubError('GitHub, asked: 403 (Resource not accessible by integration)', 403, null)
  it.each([
    ['deployments', 'deployments: write'],
    ['comments', 'pull-requests: write'],
    ['pulls', 'pull-requests: read'],
    ['preview', 'deployments: write'],
    ['removal', 'deployments: write'],
    ['contents', 'contents: read'],
  ] as const)('names the line that is missing for %s', async (purpose, line) => {
    const { gh } = await github()
    expect(gh.permissionHint(refused, purpose)).toContain(`permissions: `)
    expect(gh.permissionHint(refused, purpose)).toContain(line)
    expect(gh.permissionHint(new GitHubError('Not Found', 404, null), purpose)).toContain(line)
  })
  it('names all that the run needs, where that is said, whichever call was refused', async () => {
    const { gh } = await github({}, { needs: 'deployments: write, pull-requests: write' })
    for (const purpose of ['comments', 'pulls', 'preview'] as const)
      expect(gh.permissionHint(refused, purpose)).toMatch(/permissions: deployments: write, pull-requests: write$/)
  })
  it('is silent once it was told in other words, and who waits for it knows', async () => {
    const { gh, warnings } = await github()
    const told: number[] = []
    gh.whenTold(() => void told.push(1))
    expect(told).toEqual([])
    gh.tell()
    gh.trouble(refused, 'comments')
    gh.whenTold(() => void told.push(2))
    expect([warnings, told]).toEqual([[], [1, 2]])
  })
  it('names no line for another failure', async () => {
    const { gh } = await github()
    for (const status of [null, 401, 409, 422, 500])
      expect(gh.permissionHint(new GitHubError('x', status, null), 'deployments')).toBeNull()
  })
  it('is one warning, however many calls fail', async () => {
    const { gh, warnings } = await github()
    gh.trouble(refused, 'deployments')
    gh.trouble(refused, 'comments')
    expect(warnings).toEqual([expect.stringContaining('deployments: write')])
    expect(warnings[0]).toContain('nothing else is affected')
  })
  it('never holds the token, whatever GitHub answers', async () => {
    const { at, gh } = await github({ permissions: [] })
    for (const fault of [null, 401, 403, 422, 500] as const) {
      if (fault !== null) at.answer('*', { fault: 'status', status: fault, message: 'no' }, 4)
      const what = { environment: 'e', task: 'deploy', description: '', transient: false, production: false } as const
      const errors = [await rejection(createDeployment(gh, { ref: sha, ...what })), await rejection(ask(gh))]
      for (const error of errors) expect(inspect(error, { depth: 9, showHidden: true })).not.toContain(at.token)
    }
  }, 120_000)
  it('comes from GitHub, so it is cut', async () => {
    const { at, gh } = await github({ pulls: [pull] })
    at.answer('*', { fault: 'status', status: 422, message: 'x'.repeat(5000) })
    expect((await rejection(ask(gh))).message.length).toBeLessThan(700)
  })
})

describe('addresses', () => {
  it('hold nothing but numbers and encoded names', async () => {
    const { at, gh } = await github()
    await rejection(
      setStatus(gh, Number('12'), { state: 'success', description: '', logUrl: null, environmentUrl: null }),
    )
    expect(at.requests().map(r => r.path)).toEqual(['/repos/octo/shop/deployments/12/statuses'])
  })
})
