/** What `preview` does: by the event that started it, and by what GitHub says of the pull request now. Pure. */
import { DeployError, InputError } from '../errors.ts'
import type { Run } from '../event.ts'
import type { PullRequest } from '../github/pulls.ts'
import type { Request } from '../inputs.ts'
import { checkedNumber } from '../manifest/preview-path.ts'

/** What GitHub said: the pull request; null: there is none of that number that the token may see; or why it said nothing. */
export type Answer = PullRequest | null | { readonly silent: string | null }

export const isOpen = (answer: Answer): boolean => answer !== null && !('silent' in answer) && answer.state === 'open'

export type Decision =
  /** headSha null: nothing says it. */
  | { readonly what: 'deploy'; readonly headSha: string | null; readonly warning?: string }
  | { readonly what: 'teardown'; readonly warning?: string }
  | { readonly what: 'skip'; readonly why: string }

/** Without a number these clean up. */
const ofNobody: readonly string[] = ['schedule', 'workflow_dispatch', 'repository_dispatch', 'push']

/** Throws InputError for what a preview cannot be asked for. */
export function checkWishes({ environment, migrate, servers }: Request): void {
  const no = (message: string, hint: string): never => {
    throw new InputError(message, { hint })
  }
  if (environment !== null)
    no(
      `the command preview takes no input environment, and "${environment}" was given`,
      'leave it out: a preview is pr-<number>, made from the block `previews`',
    )
  if (migrate === true)
    no(
      'a preview has no migration: migrate: true cannot be done',
      'leave the input migrate out; prepare a database of its own in `prepare`',
    )
  if (servers.trim() !== 'all')
    no(`a preview goes to all its servers, and the input servers is "${servers}"`, 'leave it out')
}

/** The pull request it is about; null: all of them (the clean-up). Throws InputError. */
export function whichPull({ event, pull }: Pick<Run, 'event' | 'pull'>, asked: number | null): number | null {
  if (pull !== null && asked !== null && pull.number !== asked)
    throw new InputError(`the event is about pull request ${pull.number}, and the input pull-request is ${asked}`, {
      hint: 'leave the input out: the event says it',
    })
  const number = pull?.number ?? asked
  if (number !== null) return checkedNumber(number)
  if (event !== null && ofNobody.includes(event)) return null
  throw new InputError(`nothing says which pull request is meant${event === null ? '' : ` (the event is ${event})`}`, {
    hint: 'set the input pull-request to its number; on a schedule, all whose pull request is closed are removed',
  })
}

const commitOrNull = (text: string): string | null => (/^[0-9a-f]{40}$/.test(text) ? text : null)

/** The head as GitHub says it. */
export const headOf = (answer: Answer): string | null =>
  answer === null || 'silent' in answer ? null : commitOrNull(answer.headSha)

/** What is deployed is called after the head. null: the checkout is that; or there is none, as beside a build that was downloaded. */
export function checkoutNote(
  { event, sha }: Pick<Run, 'event' | 'sha'>,
  headSha: string,
  checkout: string | null,
): { readonly level: 'info' | 'warning'; readonly text: string } | null {
  if (checkout === null || checkout === headSha) return null
  const [is, called] = [checkout.slice(0, 12), headSha.slice(0, 12)]
  if (event === 'pull_request' && checkout === sha)
    return {
      level: 'info',
      text: `The checkout is GitHub's trial merge ${is}; what is deployed is called after the head, ${called}. With ref: \${{ github.event.pull_request.head.sha }} actions/checkout takes the head.`,
    }
  return {
    level: 'warning',
    text: `The checkout is ${is}; what is deployed is called ${called}, after the head of the pull request: that is right only if release.source was built from it.`,
  }
}

/** Throws DeployError where nothing says whether it is open. */
export function decide({ event, pull }: Pick<Run, 'event' | 'pull'>, number: number, answer: Answer): Decision {
  // Of the other events none says by itself whether it is open: they speak of something else, or may be old.
  const byEvent = event === 'pull_request' && pull !== null ? (pull.action === 'closed' ? 'teardown' : 'deploy') : null
  if (answer === null || 'silent' in answer) {
    const why = answer === null ? 'it says there is none, or that this token may not see it' : answer.silent
    const said = `GitHub does not say whether pull request ${number} is open${why === null ? '' : ` (${why})`}`
    if (byEvent === null)
      throw new DeployError(said, {
        hint: 'the job needs permissions: pull-requests: read, and the input github-token',
      })
    // Without a token GitHub was not asked, as is right.
    const warning =
      why === null ? {} : { warning: `${said}: the event (${pull?.action ?? 'pull_request'}) is followed.` }
    if (byEvent === 'deploy' && pull?.state === 'closed')
      return { what: 'skip', why: `Pull request ${number} is closed, so its preview is not deployed.` }
    return byEvent === 'teardown'
      ? { what: 'teardown', ...warning }
      : { what: 'deploy', headSha: pull?.headSha ?? null, ...warning }
  }
  if (answer.fork) return { what: 'skip', why: forkText(number) }
  const now = answer.state === 'closed' ? 'teardown' : 'deploy'
  if (byEvent !== null && byEvent !== now)
    return {
      what: 'skip',
      why:
        now === 'teardown'
          ? `Pull request ${number} is closed by now, so its preview is not deployed: this run is an old one.`
          : `Pull request ${number} is open again, so its preview is not removed: this run is an old one.`,
    }
  if (now === 'teardown') return { what: 'teardown' }
  const head = headOf(answer)
  const own = event === 'pull_request' ? (pull?.headSha ?? null) : null
  if (own !== null && head !== null && own !== head)
    return {
      what: 'deploy',
      headSha: own,
      warning: `The head of pull request ${number} is ${head.slice(0, 12)} by now; this run is of ${own.slice(0, 12)}, and deploys that.`,
    }
  return { what: 'deploy', headSha: own ?? head }
}

/** Asked again right before a preview is removed: null, or why it stays. Throws DeployError where nothing says whether it is open. */
export function whyItStays(run: Pick<Run, 'event' | 'pull'>, number: number, answer: Answer): string | null {
  const now = decide(run, number, answer)
  if (now.what === 'teardown') return null
  return now.what === 'skip' ? now.why : `Pull request ${number} is open again, so its preview is not removed.`
}

const forkText = (number: number): string =>
  `Pull request ${number} comes from a fork: it has no secrets, and its code must not reach servers. Nothing is deployed or removed.`
