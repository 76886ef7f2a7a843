/** What GitHub says of a pull request, and what it is told of its preview. Whatever goes wrong there changes nothing on servers. */
import { messageOf } from '../errors.ts'
import type { GitHub } from '../github/api.ts'
import { permissionHint } from '../github/api.ts'
import { keepComment } from '../github/comment.ts'
import { deploymentsOf, setStatus } from '../github/deployments.ts'
import { pullOf } from '../github/pulls.ts'
import { inTime } from '../github/record.ts'
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { previewName } from '../manifest/preview.ts'
import type { Follower } from '../report/follower.ts'
import { commentMarker, previewComment, removedComment } from '../report/preview-comment.ts'
import type { Answer } from './preview-decision.ts'

/** What GitHub calls a preview's environment. */
export const recordEnvironment = (number: number): string => `preview/${previewName(number)}`

/** `gh` null: there is no token. Never throws. */
export async function askAbout(gh: GitHub | null, number: number): Promise<Answer> {
  if (gh === null) return { silent: null }
  try {
    return await pullOf(gh, number)
  } catch (error) {
    return { silent: [messageOf(error), permissionHint(error, 'pulls')].filter(Boolean).join('. ') }
  }
}

/** Milliseconds for a comment, or for the records of one preview. */
const longestMs = 60_000

/** The comment on the pull request says how its preview is, once something was done about it. */
export function commenting(gh: GitHub, request: Request, manifest: Manifest, cancel: AbortSignal): Follower {
  const number = manifest.preview?.number ?? 0
  let begun = false
  return {
    listener(event) {
      begun ||= event.type === 'phase'
    },
    async end(state) {
      if (!begun) return
      const { application } = manifest
      const commit = request.run.headSha
      const body = previewComment(state, { application, number, commit })
      const comment = { issue: number, marker: commentMarker(application), body, create: state.result !== 'cancelled' }
      await inTime(
        keepComment(gh, comment).catch((error: unknown) => gh.trouble(error, 'comments')),
        longestMs,
        cancel,
      )
    },
    outputs: () => ({}),
  }
}

/** The preview is gone: its records are inactive, and a comment that is there says so. Never throws. */
export async function tellRemoved(
  gh: GitHub | null,
  request: Request,
  { application }: Manifest,
  number: number,
  cancel: AbortSignal,
): Promise<void> {
  if (gh === null) return
  const { url } = request.run
  const records = async () => {
    for (const id of await deploymentsOf(gh, recordEnvironment(number)))
      await setStatus(gh, id, { state: 'inactive', description: 'removed', logUrl: url, environmentUrl: null })
  }
  const comment = async () =>
    keepComment(gh, {
      issue: number,
      marker: commentMarker(application),
      body: removedComment({ application, number, runUrl: url }),
      create: false,
    })
  const told = [
    ...(request.githubDeployment === false
      ? []
      : [records().catch((error: unknown) => gh.trouble(error, 'deployments'))]),
    ...(request.comment ? [comment().catch((error: unknown) => gh.trouble(error, 'comments'))] : []),
  ]
  await inTime(
    Promise.all(told).then(() => {}),
    longestMs,
    cancel,
  )
}
