/** A fake GitHub and a client for it in each test of a file; at its end every request must have fitted GitHub's description. */
import { afterEach, expect } from 'vitest'
import { type GitHub, type GitHubAt, gitHub } from '../../src/github/api.ts'
import { type FakeGitHub, type GitHubOptions, startGitHub } from '../support/github/server.ts'

export const sha = 'c0ffee0123456789c0ffee0123456789c0ffee01'

export interface Used {
  readonly at: FakeGitHub
  readonly gh: GitHub
  readonly warnings: string[]
}

/** A client's end has a minute unless it is told otherwise: what has to be in time says so itself. */
export function useGitHub(): (options?: GitHubOptions, client?: Partial<GitHubAt>) => Promise<Used> {
  const open: FakeGitHub[] = []
  afterEach(async () => {
    await Promise.all(open.splice(0).map(github => github.stop()))
  })
  return async (options, client) => {
    const at = await startGitHub(options)
    open.push(at)
    const warnings: string[] = []
    const warn = (text: string) => void warnings.push(text)
    const { repository, token, url: apiUrl } = at
    return { at, warnings, gh: gitHub({ repository, token, apiUrl, warn, secondMs: 3, endMs: 60_000, ...client }) }
  }
}

/** What a promise is rejected with; it fails when it is not. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  const error: unknown = await promise.then(
    value => expect.fail(`it was fulfilled with ${JSON.stringify(value)}`),
    reason => reason,
  )
  if (!(error instanceof Error)) throw new Error(`it was rejected with ${String(error)}`)
  return error
}
