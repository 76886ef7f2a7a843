/** What a run may do, by the event that started it (spec/action.md: environment; Safety of previews and files). */
import { InputError } from '../errors.ts'
import { headCommit } from '../github/changed-files.ts'
import type { Request } from '../inputs.ts'

/** This run may not be, and neither may another one by the same event: no server waits for it. */
export class EventRefused extends InputError {}

const pullRequestEvents: readonly string[] = [
  ...['pull_request', 'pull_request_target', 'pull_request_review', 'pull_request_review_comment'],
]
/** These run with the base repository's secrets, whatever a stranger has proposed. */
const privilegedEvents: readonly string[] = ['pull_request_target', 'workflow_run', 'issue_comment']

/** A fork's pull request gets no secrets, so it deploys nowhere: the sentence that says so; null: it is none. */
export const forkOrNull = ({ command, run }: Pick<Request, 'command' | 'run'>): string | null =>
  run.fork && command !== 'validate'
    ? `Nothing is done for a fork's pull request: it has no secrets, and its code must not reach servers. ${command} runs once it is merged.`
    : null

/** Throws EventRefused where a pull request would deploy to nowhere in particular, or a stranger's checkout would run with our secrets. */
export async function checkEvent({ command, environment, run, workspace }: Request): Promise<void> {
  const event = run.event ?? ''
  if (
    ['deploy', 'rollback', 'recover', 'status'].includes(command) &&
    environment === null &&
    pullRequestEvents.includes(event)
  )
    throw new EventRefused(`on ${event} the command ${command} needs the input environment`, {
      hint: 'name the environment that this pull request may deploy to, or use plan or validate',
    })
  if (!privilegedEvents.includes(event)) return
  const head = await headCommit(workspace)
  if (head === null || head !== run.sha)
    throw new EventRefused(
      `on ${event} the checkout has to be GITHUB_SHA (${run.sha ?? 'not set'}); it is ${head ?? 'no git checkout'}`,
      {
        hint: 'this event has secrets that a pull request must not reach: check out without ref',
      },
    )
}
