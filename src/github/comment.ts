/** One comment on a pull request that is kept up to date, in place of a new one for each push. */
import { calling, type GitHub, GitHubError } from './api.ts'

export interface KeptComment {
  /** Number of the pull request. */
  readonly issue: number
  /** An HTML comment; the first line of ours, and of nobody else's that counts. */
  readonly marker: string
  readonly body: string
  /** false: only a comment that is there already is changed. */
  readonly create: boolean
}

/** GitHub's limit for a comment, in characters. */
const longestBody = 65_536

const cutSentence =
  '\n\n…\n\nThis is cut here: GitHub takes comments of at most 65,536 characters. The run has all of it.'

function bodyOf({ marker, body }: KeptComment): string {
  const whole = (body.startsWith(marker) ? body : `${marker}\n${body}`).toWellFormed()
  if (whole.length <= longestBody) return whole
  return `${whole.slice(0, longestBody - cutSentence.length).replace(/[\ud800-\udbff]$/, '')}${cutSentence}`
}

interface Author {
  readonly login: string
  readonly type: string
}

/** Whether it is who the token speaks for. */
type IsOurs = (author: Author | null) => boolean

/**
 * A person's token says whose it is. The token of an app's installation, and GITHUB_TOKEN is one, is refused that (403, "Resource not
 * accessible by integration"), and nothing else of REST names it: then it is a bot, and a bot is what no visitor can be.
 */
async function whoWeAre({ octokit }: GitHub): Promise<IsOurs> {
  try {
    const { data } = await octokit.rest.users.getAuthenticated()
    return author => author?.login === data.login
  } catch (error) {
    if ((error as { status?: unknown }).status !== 403) throw error
    return author => author?.type === 'Bot'
  }
}

/** Ours; null: there is none. Throws GitHubError. */
async function find({ octokit, owner, repo }: GitHub, isOurs: IsOurs, issue: number, marker: string) {
  const all = await calling(`asked for the comments of #${issue}`, () =>
    octokit.paginate(octokit.rest.issues.listComments, { owner, repo, issue_number: issue, per_page: 100 }),
  )
  const marked = all.filter(c => c.body?.split('\n', 1)[0]?.trim() === marker && isOurs(c.user))
  const one = marked.find(c => c.user?.login === 'github-actions[bot]') ?? marked[0]
  return one === undefined ? null : { id: one.id, body: one.body ?? '' }
}

/** The text of the one that is there; null: there is none. Throws GitHubError. */
export async function commentOf(gh: GitHub, issue: number, marker: string): Promise<string | null> {
  const isOurs = await calling('asked whose the token is', () => whoWeAre(gh))
  return (await find(gh, isOurs, issue, marker))?.body ?? null
}

/** Creates or updates it. Throws GitHubError. */
export async function keepComment(gh: GitHub, comment: KeptComment): Promise<void> {
  const { octokit, owner, repo } = gh
  const body = bodyOf(comment)
  const isOurs = await calling('asked whose the token is', () => whoWeAre(gh))
  const ours = async () => (await find(gh, isOurs, comment.issue, comment.marker))?.id ?? null
  const update = (id: number) =>
    calling(`told to change a comment on #${comment.issue}`, () =>
      octokit.rest.issues.updateComment({ owner, repo, comment_id: id, body }),
    )
  const found = await ours()
  if (found !== null) return void (await update(found))
  if (!comment.create) return
  try {
    await calling(`asked to comment on #${comment.issue}`, () =>
      octokit.rest.issues.createComment({
        owner,
        repo,
        issue_number: comment.issue,
        body,
        request: { retries: 0 },
      }),
    )
  } catch (error) {
    if (!(error instanceof GitHubError) || (error.status !== null && error.status < 500)) throw error
    await gh.pause(1)
    // The answer was lost, or there was none: it may be there now. A second comment would stay for good.
    const made = await ours()
    if (made !== null) return void (await update(made))
    await calling(`asked to comment on #${comment.issue}`, () =>
      octokit.rest.issues.createComment({ owner, repo, issue_number: comment.issue, body }),
    )
  }
}
