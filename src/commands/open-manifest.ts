/** The workspace's manifest, as the request asks for it. */
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { readManifest } from '../manifest/read.ts'
import { workspaceReader } from './workspace.ts'

/** Throws InputError, ManifestError. */
export function openManifest(request: Request): Manifest {
  const readFile = workspaceReader(request.workspace)
  return readManifest({
    file: request.manifest,
    text: readFile(request.manifest),
    environment: request.environment,
    readFile,
    ...(request.onGitHub
      ? { names: { 'github.run_id': request.run.runId ?? '', 'github.repository': request.run.repository ?? '' } }
      : {}),
  })
}
