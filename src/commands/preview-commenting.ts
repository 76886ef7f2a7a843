/** The comment on a pull request that follows the deployment of its preview, and what post makes of it where that was cut off. */
import type { GitHub } from '../github/api.ts'
import { keepComment } from '../github/comment.ts'
import { keepUntilSaid, type LastComment, type OpenComment, openComment } from '../github/comment-state.ts'
import { LateError } from '../github/in-time.ts'
import type { Request } from '../inputs.ts'
import type { Follower } from '../report/follower.ts'
import { commentMarker, previewComment } from '../report/preview-comment.ts'
import { emptyState } from '../report/state.ts'
import type { Following } from './followers.ts'

/** Says how the preview is, once something was done about it. */
export function commenting({ request, manifest, cancel, saveState }: Following, gh: GitHub, number: number): Follower {
  const application = manifest?.application ?? ''
  const about = { number, application, commit: request.run.headSha }
  const kept = keepUntilSaid(saveState)
  let begun = false
  return {
    listener(event) {
      if (begun || event.type !== 'phase') return
      begun = true
      kept.begun(about)
    },
    async end(state) {
      if (!begun) return
      const end = { body: previewComment(state, about), create: state.result !== 'cancelled' }
      kept.ending(end)
      try {
        await gh.inTime(() => say(gh, about, end), cancel)
        kept.said()
      } catch (error) {
        const late = error instanceof LateError
        if (late && cancel.aborted && request.onGitHub) return
        gh.trouble(error, 'comments')
        // Post would only wait for the same.
        if (late) kept.said()
      }
    },
    outputs: () => ({}),
  }
}

const say = (gh: GitHub, { number, application }: OpenComment['about'], end: LastComment) =>
  keepComment(gh, { issue: number, marker: commentMarker(application), ...end })

/** Of a preview whose deployment was cut off, in post: says what main would have said last, or else how the recovery found it. */
export function closingComment(request: Request, gh: GitHub, cancel: AbortSignal): Follower | null {
  const open = request.comment ? openComment(request.env) : null
  if (open === null) return null
  return {
    listener: () => {},
    async end(state) {
      const cutOff = { ...state, runUrl: request.run.url }
      const end = open.end ?? { body: previewComment(cutOff, open.about, true), create: true }
      await gh.inTime(() => say(gh, open.about, end), cancel).catch((error: unknown) => gh.trouble(error, 'comments'))
    },
    outputs: () => ({}),
  }
}

/** The same where post has nothing to recover. Never throws. */
export const closeLeftComment = async (request: Request, gh: GitHub, cancel: AbortSignal): Promise<void> =>
  closingComment(request, gh, cancel)?.end(emptyState)
