import { describe, expect, it } from 'vitest'
import { keepComment } from '../../src/github/comment.ts'
import type { GitHubOptions } from '../support/github/server.ts'
import type { KnownComment, Person } from '../support/github/state.ts'
import { rejection, useGitHub } from './use-github.ts'

const github = useGitHub()
const marker = '<!-- deploy-action: shop preview -->'
const post = 'POST /repos/{owner}/{repo}/issues/{issue_number}/comments'
const patch = 'PATCH /repos/{owner}/{repo}/issues/comments/{comment_id}'
const bot: Person = { login: 'github-actions[bot]', type: 'Bot' }
const stranger: Person = { login: 'mallory', type: 'User' }
const person: Person = { login: 'octocat', type: 'User' }
const said = (by: Person, body: string, issue = 7): KnownComment => ({ issue, body, by })
const ours = (body = 'before') => said(bot, `${marker}\n${body}`)
const keep = { issue: 7, marker, body: `${marker}\nnow`, create: true }

const kept = async (options: GitHubOptions, more: Partial<typeof keep> = {}) => {
  const { at, gh } = await github(options)
  const before = at.comments()
  await keepComment(gh, { ...keep, ...more })
  return { at, before, texts: at.comments().map(c => c.body) }
}

describe('the one comment', () => {
  it('is made', async () =>
    expect((await kept({})).at.comments(7)).toMatchObject([{ body: `${marker}\nnow`, by: bot }]))
  it('has the marker as its first line, also where the body came without', async () =>
    expect((await kept({}, { body: 'now' })).texts).toEqual([`${marker}\nnow`]))
  it('is changed, when it is there', async () => {
    const { at, texts } = await kept({ comments: [said(stranger, 'hi'), ours()] })
    expect(texts).toEqual(['hi', `${marker}\nnow`])
    expect(at.requests(post)).toEqual([])
  })
  it('is one, run after run', async () => {
    const { at, gh } = await github()
    for (const body of ['one', 'two', 'three']) await keepComment(gh, { ...keep, body })
    expect(at.comments().map(c => c.body)).toEqual([`${marker}\nthree`])
  })
  it('is found on a later page', async () => {
    for (const before of [100, 230]) {
      const many = Array.from({ length: before }, (_, i) => said(stranger, `${i}`))
      const { at, texts } = await kept({ comments: [...many, ours(), said(stranger, 'last')] })
      expect(texts[before]).toBe(`${marker}\nnow`)
      expect(at.comments()).toHaveLength(before + 2)
    }
  })
  it('is made only where it should be', async () =>
    expect((await kept({ comments: [said(stranger, 'hi')] }, { create: false })).texts).toEqual(['hi']))
  it('is changed without being made', async () =>
    expect((await kept({ comments: [ours()] }, { create: false })).texts).toEqual([`${marker}\nnow`]))
  it('of another pull request is left alone', async () =>
    expect((await kept({ comments: [said(bot, `${marker}\nother`, 8)] })).texts).toEqual([
      `${marker}\nother`,
      `${marker}\nnow`,
    ]))
})

describe('whose comment it is', () => {
  it('a stranger who pastes the marker keeps his own, and ours is beside it', async () => {
    const pasted = `${marker}\nI am the preview`
    expect((await kept({ comments: [said(stranger, pasted)] })).texts).toEqual([pasted, `${marker}\nnow`])
    expect((await kept({ comments: [said(stranger, pasted), ours()] })).texts).toEqual([pasted, `${marker}\nnow`])
  })
  it('a stranger who is called nearly so is a stranger', async () => {
    const near: Person = { login: 'github-actions[bot]', type: 'User' }
    expect((await kept({ comments: [said(near, `${marker}\nx`)] })).texts).toEqual([`${marker}\nx`, `${marker}\nnow`])
  })
  it('a comment of ours that only quotes the marker is another one', async () => {
    const quote = `> see\n${marker}`
    expect((await kept({ comments: [said(bot, quote)] })).texts).toEqual([quote, `${marker}\nnow`])
    const inline = `look: ${marker}`
    expect((await kept({ comments: [said(bot, inline)] })).texts).toEqual([inline, `${marker}\nnow`])
  })
  it('with a token of a person it is that person, and not the bot', async () => {
    const mine = said(person, `${marker}\nmine`)
    expect((await kept({ as: person, comments: [ours(), mine] })).texts).toEqual([
      `${marker}\nbefore`,
      `${marker}\nnow`,
    ])
  })
  it('one whose author is gone is not ours', async () =>
    expect((await kept({ as: person, comments: [ours()] })).texts).toEqual([`${marker}\nbefore`, `${marker}\nnow`]))
  it('the comment of another application is another one', async () => {
    const other = said(bot, '<!-- deploy-action: admin preview -->\nx')
    expect((await kept({ comments: [other] })).texts).toEqual([other.body, `${marker}\nnow`])
  })
})

describe('what GitHub does not take', () => {
  it('a body over 65,536 characters is cut, and says so', async () => {
    const { texts } = await kept({}, { body: `${marker}\n${'é🙂'.repeat(40_000)}` })
    expect(texts[0]?.length).toBeLessThanOrEqual(65_536)
    expect(texts[0]).toMatch(/cut here: GitHub takes comments of at most 65,536 characters/)
    expect(texts[0]?.isWellFormed()).toBe(true)
  })
  it('a body of 65,536 characters is whole', async () => {
    const body = `${marker}\n`.padEnd(65_536, 'x')
    expect((await kept({}, { body })).texts).toEqual([body])
  })
  it('without the permission it is an error that the hint is for', async () => {
    const { gh } = await github({ permissions: ['deployments: write', 'pull-requests: read'] })
    expect(await rejection(keepComment(gh, keep))).toMatchObject({ status: 403 })
  })
  it.each([
    { fault: 'status', status: 502, done: true },
    { fault: 'drop', done: true },
  ] as const)('a lost answer makes no second comment: %j', async fault => {
    const { at, gh } = await github()
    at.answer(post, fault)
    await keepComment(gh, keep)
    expect(at.comments().map(c => c.body)).toEqual([`${marker}\nnow`])
    expect(at.requests(patch)).toHaveLength(1)
  })
  it('5xx without a comment is tried again', async () => {
    const { at, gh } = await github()
    at.answer(post, { fault: 'status', status: 500 })
    await keepComment(gh, keep)
    expect(at.comments()).toHaveLength(1)
  })
  it('a token that GitHub does not know is an error, not a bot', async () => {
    const { at, gh } = await github({ comments: [ours()] }, { token: 'ghs_other' })
    expect(await rejection(keepComment(gh, keep))).toMatchObject({ status: 401 })
    expect(at.comments()).toHaveLength(1)
  })
})
