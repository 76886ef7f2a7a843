/** How a pull request stands now, whatever the event said that started the run. */
import { calling, type GitHub, GitHubError } from './api.ts'

export interface PullRequest {
  readonly number: number
  readonly state: 'open' | 'closed'
  readonly headSha: string
  /** It comes from another repository, or from one that is gone. */
  readonly fork: boolean
}

/** null: there is none of that number, or the token may not see it. Throws GitHubError. */
export async function pullOf(gh: GitHub, number: number): Promise<PullRequest | null> {
  const { octokit, owner, repo } = gh
  try {
    return await calling(`asked for pull request ${number}`, async () => {
      const { data } = await octokit.rest.pulls.get({ owner, repo, pull_number: number })
      const fork = data.head.repo === null || data.head.repo.full_name !== data.base.repo.full_name
      return { number: data.number, state: data.state, headSha: data.head.sha, fork }
    })
  } catch (error) {
    if (error instanceof GitHubError && error.status === 404) return null
    throw error
  }
}
