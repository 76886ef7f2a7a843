/** Which record a run has on GitHub (spec/action.md: github-deployment). */
import { type GitHub, gitHub } from '../github/api.ts'
import { type Closing, closeRecord, closingRecord } from '../github/close-record.ts'
import { openComment } from '../github/comment-state.ts'
import { type RecordFacts, record } from '../github/record.ts'
import { openRecord, wasTold } from '../github/record-state.ts'
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { Follower } from '../report/follower.ts'
import type { Following } from './followers.ts'
import { closeLeftComment, closingComment } from './preview-commenting.ts'
import { recordEnvironment } from './preview-github.ts'

/** null: no token, or no repository that it could be for. */
export function gitHubOf(request: Request, warn: (text: string) => void): GitHub | null {
  const { run, githubToken: token } = request
  if (token === null || run.repository === null) return null
  const needs = request.command === 'preview' ? { needs: neededBy(request) } : {}
  return gitHub({ repository: run.repository, token, apiUrl: run.apiUrl, warn, ...needs })
}

/** The permissions of a preview's job, so that a run that lacks several says so once. */
const neededBy = ({ githubDeployment, comment }: Request): string =>
  [
    ...(githubDeployment === false ? [] : ['deployments: write']),
    comment ? 'pull-requests: write' : 'pull-requests: read',
  ].join(', ')

export const noToken =
  'GitHub is told nothing about this run, for there is no token or no repository: set the input github-token.'

/** Of `deploy`, `rollback` and a preview; null: it has none. A shard has none: the run as a whole has one. */
export function recordFactsOf(request: Request, manifest: Manifest | null): RecordFacts | null {
  const { command, githubDeployment, shard, run } = request
  const preview = manifest?.preview?.number ?? null
  if (command === 'preview' && manifest && preview !== null && githubDeployment !== false) {
    const { application } = manifest
    return { ...factsOf(run, recordEnvironment(preview), 'deploy'), transient: true, application }
  }
  if (manifest === null || (command !== 'deploy' && command !== 'rollback')) return null
  if (githubDeployment !== true || shard !== null) return null
  return factsOf(run, manifest.environment ?? manifest.application, command)
}

/** As GitHub has it, an environment that is called `production` is one. */
export const factsOf = (run: Request['run'], environment: string, task: RecordFacts['task']): RecordFacts => ({
  ref: run.headSha ?? run.sha,
  environment,
  task,
  transient: false,
  production: environment === 'production',
})

/** The record of a run that deploys; `gh` null: it has none, and says so once it begins. */
export function recording(
  { request, cancel, saveState }: Following,
  gh: GitHub | null,
  facts: RecordFacts,
  warn: (text: string) => void,
): Follower {
  if (gh !== null) return record({ gh, facts, logUrl: request.run.url, cancel, saveState, hasPost: request.onGitHub })
  let told = false
  return {
    listener(event) {
      if (event.type !== 'phase' || told) return
      told = true
      warn(noToken)
    },
    end: async () => {},
    outputs: () => ({}),
  }
}

/** For post: says nothing of GitHub where main has. */
export const gitHubOfPost = (request: Request, warn: (text: string) => void): GitHub | null =>
  gitHubOf(request, wasTold(request.env) ? () => {} : warn)

function closingOf(request: Request, gh: GitHub, cancel: AbortSignal): Closing | null {
  const open = openRecord(request.env)
  return open === null ? null : { gh, open, logUrl: request.run.url, cancel }
}

/** The record and the comment that main left open, while post recovers what it left on the servers. */
export function closingFollowers({ request, cancel }: Following, warn: (text: string) => void): readonly Follower[] {
  const gh = gitHubOfPost(request, warn)
  if (gh === null) return []
  const closing = closingOf(request, gh, cancel)
  const followers = [closing && closingRecord(closing), closingComment(request, gh, cancel)]
  return followers.filter(follower => follower !== null)
}

/** Whether main left a record or a comment open, from post's environment. */
export const hasLeftRecord = (env: Request['env']): boolean => openRecord(env) !== null || openComment(env) !== null

/** The same where post has nothing to recover; `finished`: main had decided about every server. */
export async function closeLeftRecord(
  request: Request,
  finished: boolean,
  cancel: AbortSignal,
  warn: (text: string) => void,
): Promise<void> {
  const gh = gitHubOfPost(request, warn)
  if (gh === null) return
  const closing = closingOf(request, gh, cancel)
  const description = finished ? 'cut off at its end, after every server was decided' : 'cut off'
  await Promise.all([
    closing === null ? null : closeRecord(closing, { state: 'failure', description }),
    closeLeftComment(request, gh, cancel),
  ])
}
