import { expect, it } from 'vitest'
import { pullOf } from '../../src/github/pulls.ts'
import { rejection, sha, useGitHub } from './use-github.ts'

const github = useGitHub()
const pulls = [
  { number: 1, state: 'open', headSha: sha },
  { number: 2, state: 'closed', headSha: sha },
  { number: 3, state: 'open', headSha: sha, from: 'mallory/shop' },
  { number: 4, state: 'open', headSha: sha, from: null },
] as const

it('says how a pull request stands, and whether it is a fork’s, or of one that is gone', async () => {
  const { gh } = await github({ pulls })
  expect(await Promise.all([1, 2, 3, 4].map(n => pullOf(gh, n)))).toEqual([
    { number: 1, state: 'open', headSha: sha, fork: false },
    { number: 2, state: 'closed', headSha: sha, fork: false },
    { number: 3, state: 'open', headSha: sha, fork: true },
    { number: 4, state: 'open', headSha: sha, fork: true },
  ])
})

it('knows nothing of a number that is not there', async () => {
  const { gh } = await github({ pulls })
  expect(await pullOf(gh, 99)).toBeNull()
})

it('does not take a refusal for a number that is not there', async () => {
  const { gh } = await github({ pulls, permissions: ['deployments: write'] })
  expect(await rejection(pullOf(gh, 1))).toMatchObject({ status: 403 })
})
