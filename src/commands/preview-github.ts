/** What GitHub says of a pull request, and what it is told of its preview. Whatever goes wrong there changes nothing on servers. */
import { DeployError, messageOf } from '../errors.ts'
import type { GitHub, Purpose } from '../github/api.ts'
import { commentOf, type KeptComment, keepComment } from '../github/comment.ts'
import { deploymentsOf, lastState, setStatus } from '../github/deployments.ts'
import { pullOf } from '../github/pulls.ts'
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { previewName } from '../manifest/preview.ts'
import {
  commentMarker,
  cutOffComment,
  nothingFoundComment,
  notRemovedComment,
  removedComment,
  saysUp,
} from '../report/preview-comment.ts'
import type { Answer } from './preview-decision.ts'

/** What GitHub calls a preview's environment. */
export const recordEnvironment = (number: number): string => `preview/${previewName(number)}`

/** `gh` null: there is no token. Never throws. */
export async function askAbout(gh: GitHub | null, number: number): Promise<Answer> {
  if (gh === null) return { silent: null }
  try {
    return await pullOf(gh, number)
  } catch (error) {
    const hint = gh.permissionHint(error, 'pulls')
    // Names all that is missing: nothing is to be said of it once more.
    if (hint !== null) gh.tell()
    return { silent: [messageOf(error), hint].filter(Boolean).join('. ') }
  }
}

/** Whether there is no more to be said: it was, or this token may not. Never throws. */
async function told(gh: GitHub, purpose: Purpose, say: () => Promise<void>): Promise<boolean> {
  try {
    await say()
    return true
  } catch (error) {
    gh.trouble(error, purpose)
    return gh.permissionHint(error, purpose) !== null
  }
}

const sayComment = (gh: GitHub, comment: KeptComment, cancel: AbortSignal): Promise<boolean> =>
  told(gh, 'comments', () => gh.inTime(() => keepComment(gh, comment), cancel))

/** Milliseconds for the records of one preview, of which the client writes one a second. */
const longestMs = 60_000

/** Sets them inactive, as far as there is time; those that are so already cost hardly any. Throws for what is left. */
async function endRecords(
  gh: GitHub,
  application: string,
  number: number,
  logUrl: string | null,
  cancel: AbortSignal,
  ms: number,
) {
  const until = performance.now() + ms
  const all = await gh.inTime(() => deploymentsOf(gh, recordEnvironment(number), application), cancel)
  const gone = { state: 'inactive', description: 'removed', logUrl, environmentUrl: null } as const
  for (const [done, id] of all.entries()) {
    if (performance.now() > until)
      throw new DeployError(
        `Of preview ${number} they are ${done} of ${all.length} after ${ms / 1000} s; the command preview with pull-request: ${number} goes on`,
      )
    await gh.inTime(async () => {
      if ((await lastState(gh, id)) !== 'inactive') await setStatus(gh, id, gone)
    }, cancel)
  }
}

/**
 * The preview is gone: its records are inactive, and a comment that is there says so. false: GitHub did not take all of it, and another try
 * may be worth it. Never throws.
 */
export async function tellRemoved(
  gh: GitHub | null,
  request: Pick<Request, 'run' | 'githubDeployment' | 'comment'>,
  { application }: Pick<Manifest, 'application'>,
  number: number,
  cancel: AbortSignal,
  ms = longestMs,
): Promise<boolean> {
  if (gh === null) return true
  const { url } = request.run
  const body = removedComment({ application, number, runUrl: url })
  const comment = { issue: number, marker: commentMarker(application), body, create: false }
  const records = () => told(gh, 'removal', () => endRecords(gh, application, number, url, cancel, ms))
  const all = await Promise.all([
    ...(request.githubDeployment === false ? [] : [records()]),
    ...(request.comment ? [sayComment(gh, comment, cancel)] : []),
  ])
  return all.every(Boolean)
}

/** By the newest record that says anything of it: a deployment that failed does not. A removal sets the newest inactive first. */
async function recordsSayUp(gh: GitHub, application: string, number: number): Promise<boolean> {
  for (const id of await deploymentsOf(gh, recordEnvironment(number), application)) {
    const state = await lastState(gh, id)
    if (state === 'success' || state === 'inactive') return state === 'success'
  }
  return false
}

/**
 * Nothing was found of it. true: by a record or the comment it was up, so it may be where nobody looked: the records stay, and the comment
 * says no more than that. Else it is told as one that is removed. Never throws.
 */
export async function tellNothingFound(
  gh: GitHub | null,
  request: Pick<Request, 'run' | 'githubDeployment' | 'comment'>,
  manifest: Pick<Manifest, 'application'>,
  number: number,
  path: string,
  cancel: AbortSignal,
): Promise<boolean> {
  if (gh === null) return false
  const { application } = manifest
  const marker = commentMarker(application)
  const isUp = async () =>
    (request.githubDeployment !== false && (await recordsSayUp(gh, application, number))) ||
    (request.comment && saysUp((await commentOf(gh, number, marker)) ?? ''))
  const up = await gh.inTime(isUp, cancel).catch((error: unknown) => gh.trouble(error, 'removal'))
  if (up === false) await tellRemoved(gh, request, manifest, number, cancel)
  if (up !== true) return false
  const body = nothingFoundComment({ application, number, runUrl: request.run.url }, path)
  if (request.comment) await sayComment(gh, { issue: number, marker, body, create: false }, cancel)
  return true
}

/** The removal was cut off: a comment that is there says so. Never throws. */
export async function tellCutOff(
  gh: GitHub | null,
  { run, comment }: Pick<Request, 'run' | 'comment'>,
  { application }: Pick<Manifest, 'application'>,
  number: number,
  cancel: AbortSignal,
): Promise<void> {
  if (gh === null || !comment) return
  const body = cutOffComment({ application, number, runUrl: run.url })
  await sayComment(gh, { issue: number, marker: commentMarker(application), body, create: false }, cancel)
}

/** The preview is not removed from these servers: a comment that is there says so, and the records stay. Never throws. */
export async function tellNotRemoved(
  gh: GitHub | null,
  { run, comment }: Pick<Request, 'run' | 'comment'>,
  { application }: Pick<Manifest, 'application'>,
  number: number,
  servers: readonly string[],
  cancel: AbortSignal,
): Promise<void> {
  if (gh === null || !comment) return
  const body = notRemovedComment({ application, number, runUrl: run.url }, servers)
  await sayComment(gh, { issue: number, marker: commentMarker(application), body, create: false }, cancel)
}
