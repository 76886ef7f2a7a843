/** GitHub's records of deployments: one for each run, with statuses that follow it. */
import { randomUUID } from 'node:crypto'
import { calling, type GitHub, GitHubError } from './api.ts'

export interface NewDeployment {
  /** A commit. */
  readonly ref: string
  readonly environment: string
  readonly task: 'deploy' | 'rollback'
  readonly description: string
  /** It will be gone some day: a preview. */
  readonly transient: boolean
  readonly production: boolean
  /** Whose it is, where applications share an environment. */
  readonly application?: string
  /** Finds it again where the answer was lost; default: a new one. */
  readonly key?: string
}

export interface DeploymentStatus {
  readonly state: 'queued' | 'in_progress' | 'success' | 'failure' | 'inactive'
  readonly description: string
  readonly logUrl: string | null
  /** Left out unless it is http or https. */
  readonly environmentUrl: string | null
}

/** GitHub's limit for a description, in characters. */
const longestDescription = 140

/** At most 140 characters, ended at a word with `…`. */
export function shortDescription(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim().toWellFormed()
  if (line.length <= longestDescription) return line
  const head = line.slice(0, longestDescription - 1)
  // The cut may fall between two words.
  const atWord = line[head.length] === ' ' ? head : head.slice(0, Math.max(0, head.lastIndexOf(' ')))
  const kept = atWord.length < longestDescription / 2 ? head : atWord
  return `${kept.replace(/[\s,;:([]+$/, '').replace(/[\ud800-\udbff]$/, '')}…`
}

/** Names in a record's payload. */
const [payloadKey, ownerKey] = ['deploy_action', 'application'] as const

/** Tries after a lost answer or a 5xx; each first looks whether the one before has made it. */
const tries = 3

/** Makes the record and returns its id. Throws GitHubError; a record that was made although the answer got lost is found, not made twice. */
export async function createDeployment(gh: GitHub, what: NewDeployment): Promise<number> {
  const { octokit, owner, repo } = gh
  const key = what.key ?? randomUUID()
  const create = () =>
    calling('asked to make a deployment', async () => {
      const { data, status } = await octokit.rest.repos.createDeployment({
        owner,
        repo,
        ref: what.ref,
        environment: what.environment,
        task: what.task,
        description: shortDescription(what.description),
        // GitHub's defaults are to merge the default branch first, and to wait for every check (docs: Create a deployment).
        auto_merge: false,
        required_contexts: [],
        transient_environment: what.transient,
        production_environment: what.production,
        payload: { [payloadKey]: key, ...(what.application === undefined ? {} : { [ownerKey]: what.application }) },
        request: { retries: 0 },
      })
      if (status !== 201 || !('id' in data))
        throw new GitHubError('GitHub merged the default branch in place of making a deployment', status, null)
      return data.id
    })
  for (let tried = 1; ; tried++)
    try {
      return await create()
    } catch (error) {
      const unclear = error instanceof GitHubError && (error.status === null || error.status >= 500)
      if (!unclear || tried > tries) throw error
      await gh.pause(tried)
      const made = await findDeployment(gh, { ...what, key })
      if (made !== null) return made
    }
}

/** The record that was made with this key; null: none was. Throws GitHubError. */
export async function findDeployment(
  { octokit, owner, repo }: GitHub,
  { environment, task, key }: Pick<NewDeployment, 'environment' | 'task'> & { readonly key: string },
): Promise<number | null> {
  const { data } = await calling('asked for the latest deployments', () =>
    octokit.rest.repos.listDeployments({ owner, repo, environment, task, per_page: 100 }),
  )
  const made = data.find(({ payload }) => typeof payload === 'object' && payload[payloadKey] === key)
  return made?.id ?? null
}

const httpOrNull = (url: string | null): string | null => {
  const parsed = url !== null && URL.canParse(url) ? new URL(url) : null
  return parsed?.protocol === 'http:' || parsed?.protocol === 'https:' ? url : null
}

/** Says how a deployment stands. Throws GitHubError. */
export async function setStatus(
  { octokit, owner, repo }: GitHub,
  id: number,
  { state, description, logUrl, environmentUrl }: DeploymentStatus,
  signal?: AbortSignal,
): Promise<void> {
  const log = httpOrNull(logUrl)
  const url = httpOrNull(environmentUrl)
  await calling(`told that deployment ${id} is ${state}`, () =>
    octokit.rest.repos.createDeploymentStatus({
      owner,
      repo,
      deployment_id: id,
      state,
      description: shortDescription(description),
      ...(log === null ? {} : { log_url: log }),
      ...(url === null ? {} : { environment_url: url }),
      ...(signal === undefined ? {} : { request: { signal } }),
    }),
  )
}

/** All records of an environment, newest first, but for those that say that they are another application's. Throws GitHubError. */
export async function deploymentsOf(
  { octokit, owner, repo }: GitHub,
  environment: string,
  application: string,
): Promise<readonly number[]> {
  const all = await calling('asked for the deployments of an environment', () =>
    octokit.paginate(octokit.rest.repos.listDeployments, { owner, repo, environment, per_page: 100 }),
  )
  const whose = ({ payload }: (typeof all)[number]) =>
    (typeof payload === 'object' && payload !== null ? payload[ownerKey] : undefined) ?? application
  return all.filter(d => d.environment === environment && whose(d) === application).map(d => d.id)
}

/** The state of its last status; null: it has none. Throws GitHubError. */
export async function lastState({ octokit, owner, repo }: GitHub, id: number): Promise<string | null> {
  const { data } = await calling(`asked how deployment ${id} stands`, () =>
    octokit.rest.repos.listDeploymentStatuses({ owner, repo, deployment_id: id, per_page: 1 }),
  )
  return data[0]?.state ?? null
}
