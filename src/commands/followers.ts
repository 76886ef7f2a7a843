/** Who follows a run, by what was asked for. */
import type { GitHub } from '../github/api.ts'
import { keepTold } from '../github/record-state.ts'
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { Emit } from '../report/events.ts'
import type { Follower } from '../report/follower.ts'
import { mergedRecording } from './merged-record.ts'
import { commenting } from './preview-commenting.ts'
import { closingFollowers, gitHubOf, recordFactsOf, recording } from './recording.ts'

export interface Following {
  readonly request: Request
  /** null: the command needs none. */
  readonly manifest: Manifest | null
  readonly emit: Emit
  readonly cancel: AbortSignal
  /** The run is over, and this is what brings it to an end. */
  readonly post: boolean
  /** The client that was asked already before the run began; default: a new one. */
  readonly gitHub?: GitHub | null
  /** Keeps a value for `post`; does nothing outside GitHub. */
  readonly saveState: (name: string, value: string) => void
}

/** Opens nothing yet. */
export function followersOf(f: Following): readonly Follower[] {
  const warn = (text: string) => {
    f.emit({ type: 'message', level: 'warning', text })
    keepTold(f.saveState)
  }
  if (f.post) return closingFollowers(f, warn)
  const merged = mergedRecording(f, warn)
  if (merged !== null) return [merged]
  const { request, manifest } = f
  const facts = recordFactsOf(request, manifest)
  const ofPreview = request.command === 'preview' ? (manifest?.preview?.number ?? null) : null
  if (facts === null && ofPreview === null) return []
  const gh = f.gitHub === undefined ? gitHubOf(request, warn) : f.gitHub
  gh?.whenTold(() => keepTold(f.saveState))
  return [
    ...(facts === null ? [] : [recording(f, gh, facts, warn)]),
    ...(ofPreview === null || !request.comment || gh === null ? [] : [commenting(f, gh, ofPreview)]),
  ]
}
