/** Workspaces with files in them. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openSource, type SourceOptions } from '../../src/release/source.ts'
import { temporary } from './shells.ts'

/** Text, or a link's target. */
export type Files = Readonly<Record<string, string | { readonly link: string }>>

export function workspaceWith(files: Files): string {
  const workspace = temporary('workspace-')
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(workspace, path)), { recursive: true })
    if (typeof content === 'string') writeFileSync(join(workspace, path), content)
    else symlinkSync(content.link, join(workspace, path))
  }
  return workspace
}

export const never = new AbortController().signal

export const opened = (workspace: string, more: Partial<SourceOptions> = {}) =>
  openSource({ workspace, source: 'dist', exclude: [], scratch: temporary('scratch-'), signal: never, ...more })
