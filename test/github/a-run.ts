/** A run with a record, event for event, and what it leaves to post. */
import type { GitHubAt } from '../../src/github/api.ts'
import { type RecordFacts, type Recording, record } from '../../src/github/record.ts'
import type { EventBody, Outcome } from '../../src/report/events.ts'
import { createFold } from '../../src/report/state.ts'
import { planOf } from '../report/recorded.ts'
import type { GitHubOptions } from '../support/github/server.ts'
import { waitUntil } from '../support/wait-until.ts'
import { sha, type Used, type useGitHub } from './use-github.ts'

export const post = 'POST /repos/{owner}/{repo}/deployments'
export const statuses = 'POST /repos/{owner}/{repo}/deployments/{deployment_id}/statuses'
export const logUrl = 'https://github.com/octo/shop/actions/runs/4711'
export const facts: RecordFacts = {
  ref: sha,
  environment: 'staging',
  task: 'deploy',
  transient: false,
  production: false,
}

/** Events go in, and what the runner would hand to post comes out. */
export const aRun =
  (github: ReturnType<typeof useGitHub>) =>
  async (options?: GitHubOptions, more: Partial<Recording> = {}, client?: Partial<GitHubAt>) => {
    const { at, gh, warnings }: Used = await github(options, client)
    const env: Record<string, string> = {}
    const cancel = new AbortController()
    const follower = record({
      ...{ gh, facts, logUrl, cancel: cancel.signal, hasPost: true },
      saveState: (name, value) => {
        env[`STATE_${name}`] = value
      },
      ...more,
    })
    const fold = createFold()
    const emit = (...bodies: readonly EventBody[]) => {
      for (const body of bodies) for (const to of [fold.listener, follower.listener]) to({ ...body, at: Date.now() })
    }
    return {
      ...{ at, gh, warnings, env, cancel, emit, fold },
      outputs: () => follower.outputs(),
      end: () => follower.end(fold.state()),
      made: () => waitUntil('the record is made', () => at.deployments()[0]?.state === 'in_progress'),
      said: () => at.deployments()[0]?.statuses.map(s => `${s.state}: ${s.description}`),
    }
  }

export const preflight: EventBody = { type: 'phase', phase: 'preflight' }
export const planned = (names: readonly string[]): EventBody => ({ type: 'planned', plan: planOf(names) })
export const ended = (server: string, outcome: Outcome = 'succeeded'): EventBody => ({
  ...{ type: 'server-ended', server, outcome, rotation: 'in', leftOut: false, keptOut: false, notVerified: false },
  ...{ release: null, previous: null },
})
export const success: EventBody = { type: 'run-ended', result: 'success' }
