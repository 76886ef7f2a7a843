/** The workspace's manifest, as the request asks for it. */
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { mentionsPreviews, type ReadOptions, readManifest, readPreviewManifest } from '../manifest/read.ts'
import { workspaceReader } from './workspace.ts'

/** Throws InputError, ManifestError. A plan on a pull request's event is that of its preview, where the manifest has any. */
export function openManifest(request: Request): Manifest {
  const { command, environment, pullRequest, run } = request
  const number = command === 'plan' && environment === null ? (run.pull?.number ?? pullRequest) : null
  const options = optionsOf(request)
  return number !== null && mentionsPreviews(options)
    ? readPreviewManifest(options, number)
    : readManifest({ ...options, environment })
}

/** The manifest of a pull request's preview; null: of whichever. Throws InputError, ManifestError. */
export const openPreview = (request: Request, number: number | null): Manifest =>
  readPreviewManifest(optionsOf(request), number)

function optionsOf(request: Request): Omit<ReadOptions, 'environment'> {
  const readFile = workspaceReader(request)
  return {
    file: request.manifest,
    text: readFile(request.manifest),
    readFile,
    ...(request.onGitHub
      ? { names: { 'github.run_id': request.run.runId ?? '', 'github.repository': request.run.repository ?? '' } }
      : {}),
  }
}
