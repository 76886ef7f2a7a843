import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { GitHub } from '../../src/github/api.ts'
import {
  createDeployment,
  deploymentsOf,
  findDeployment,
  type NewDeployment,
  setStatus,
  shortDescription,
} from '../../src/github/deployments.ts'
import { rejection, sha, useGitHub } from './use-github.ts'

const github = useGitHub()
const post = 'POST /repos/{owner}/{repo}/deployments'
const statuses = 'POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses'
const what: NewDeployment = {
  ref: sha,
  environment: 'staging',
  task: 'deploy',
  description: 'deploy to staging',
  transient: false,
  production: false,
}
const make = (gh: GitHub, more: Partial<NewDeployment> = {}) => createDeployment(gh, { ...what, ...more })
const done = { state: 'success', description: 'done', logUrl: 'https://github.com/r/1', environmentUrl: null } as const

describe('a deployment', () => {
  it('is made without a merge and without waiting for checks', async () => {
    const { at, gh } = await github({ behind: true, failingChecks: true })
    const id = await make(gh)
    expect(at.deployments()).toMatchObject([{ id, ref: sha, environment: 'staging', task: 'deploy', state: 'pending' }])
    expect(at.requests(post)[0]?.body).toMatchObject({ auto_merge: false, required_contexts: [] })
  })
  it('says whether it is transient and whether it is production', async () => {
    const { at, gh } = await github()
    await make(gh, { environment: 'preview/pr-7', transient: true })
    await make(gh, { environment: 'production', production: true, task: 'rollback' })
    expect(at.deployments()).toMatchObject([
      { environment: 'preview/pr-7', transient: true, production: false },
      { environment: 'production', transient: false, production: true, task: 'rollback' },
    ])
  })
  it('is not there when GitHub merged instead (202), conflicted (409), or knows no such ref (422): each is an error', async () => {
    const { at, gh } = await github()
    at.answer(post, { fault: 'status', status: 202, message: 'Auto-merged main into topic.' })
    expect(await rejection(make(gh))).toMatchObject({ status: 202, message: expect.stringContaining('merged') })
    at.answer(post, { fault: 'status', status: 409, message: 'Conflict merging main into topic' })
    expect(await rejection(make(gh))).toMatchObject({ status: 409, message: expect.stringContaining('Conflict') })
    expect(await rejection(make(gh, { ref: 'gone' }))).toMatchObject({
      status: 422,
      message: expect.stringContaining('No ref found'),
    })
    expect(at.requests(post)).toHaveLength(3)
    expect(at.deployments()).toEqual([])
  })
  it('is refused without the permission (403) or the right repository (404)', async () => {
    expect(await rejection(make((await github({ permissions: ['deployments: read'] })).gh))).toMatchObject({
      status: 403,
    })
    expect(await rejection(make((await github({}, { repository: 'octo/other' })).gh))).toMatchObject({ status: 404 })
  })
  it('is tried again after 5xx', async () => {
    const { at, gh } = await github()
    at.answer(post, { fault: 'status', status: 502 }, 3)
    const id = await make(gh)
    expect(at.deployments().map(d => d.id)).toEqual([id])
  })
  it.each([
    { fault: 'status', status: 502, done: true },
    { fault: 'drop', done: true },
  ] as const)('is one, also when the answer to it was lost: %j', async fault => {
    const { at, gh } = await github()
    at.answer(post, fault)
    const id = await make(gh)
    expect(at.deployments().map(d => d.id)).toEqual([id])
    expect(at.requests(post)).toHaveLength(1)
  })
  it('is found by its key, and by no other', async () => {
    const { gh } = await github()
    const id = await make(gh, { key: 'one' })
    expect(await findDeployment(gh, { ...what, key: 'one' })).toBe(id)
    expect(await findDeployment(gh, { ...what, key: 'two' })).toBeNull()
    expect(await findDeployment(gh, { ...what, environment: 'other', key: 'one' })).toBeNull()
  })
})

describe('a status', () => {
  it('has the state, the run and the address', async () => {
    const { at, gh } = await github()
    const id = await make(gh)
    await setStatus(gh, id, { ...done, environmentUrl: 'https://shop.example.com' })
    expect(at.deployments()[0]).toMatchObject({
      state: 'success',
      statuses: [{ description: 'done', logUrl: 'https://github.com/r/1', environmentUrl: 'https://shop.example.com' }],
    })
  })
  it.each(['javascript:alert(1)', 'ftp://x', 'shop.example.com', '', '//x'])('has no address that is %j', async url => {
    const { at, gh } = await github()
    const id = await make(gh)
    await setStatus(gh, id, { ...done, environmentUrl: url, logUrl: url })
    expect(at.requests(statuses)[0]?.body).toEqual({ state: 'success', description: 'done' })
  })
  it('has a description that GitHub takes, however long it was', async () => {
    const { at, gh } = await github()
    const id = await make(gh)
    await setStatus(gh, id, { ...done, state: 'failure', description: `failed: ${'web1 (verifying), '.repeat(99)}` })
    expect(at.deployments()[0]?.statuses[0]?.description).toMatch(
      /^failed: web1 \(verifying\), .*web1 \(verifying\), web1…$/,
    )
  })
  it('is tried again after 5xx', async () => {
    const { at, gh } = await github()
    const id = await make(gh)
    at.answer(statuses, { fault: 'status', status: 500 }, 2)
    await setStatus(gh, id, done)
    expect(at.deployments()[0]?.state).toBe('success')
  })
  it('of a record that is gone is an error', async () => {
    const { gh } = await github()
    expect(await rejection(setStatus(gh, 5, done))).toMatchObject({ status: 404 })
  })
})

describe('the deployments of an environment', () => {
  it.each([0, 100, 101, 250])('are all of them: %i', async n => {
    const of = (environment: string, count: number) =>
      Array.from({ length: count }, () => ({ environment, state: 'success' }))
    const { at, gh } = await github({ deployments: [...of('preview/pr-7', n), ...of('preview/pr-70', 3)] })
    const ids = await deploymentsOf(gh, 'preview/pr-7', 'shop')
    const there = at.deployments().filter(d => d.environment === 'preview/pr-7')
    expect(ids).toEqual(there.map(d => d.id).reverse())
    expect(ids).toHaveLength(n)
  })
  it('are asked for by a name that cannot change the question', async () => {
    const { at, gh } = await github({ deployments: [{ environment: 'a', state: 'success' }] })
    const name = 'a&environment=b#?/../é'
    expect(await deploymentsOf(gh, name, 'shop')).toEqual([])
    expect(new URL(at.requests()[0]?.path ?? '', 'http://x').searchParams.getAll('environment')).toEqual([name])
  })
})

describe('a description', () => {
  it('is cut at a word', () => {
    const words = `${'word '.repeat(27)}longer`
    expect(shortDescription(words)).toBe(`${'word '.repeat(27).trim()}…`)
    expect(shortDescription('short')).toBe('short')
    expect(shortDescription('a\n b\t c')).toBe('a b c')
    expect(shortDescription('x'.repeat(141))).toBe(`${'x'.repeat(139)}…`)
  })
  it('never has more than 140 characters, nor half of one', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 400 }), text => {
        const short = shortDescription(text)
        expect(short.length).toBeLessThanOrEqual(140)
        expect(short.isWellFormed()).toBe(true)
        expect(shortDescription(short)).toBe(short)
      }),
    )
  })
})
