/** Text files of the workspace, and nothing outside of it. */
import { readFileSync, realpathSync } from 'node:fs'
import { isAbsolute, relative, resolve } from 'node:path'
import { InputError, messageOf } from '../errors.ts'
import type { Request } from '../inputs.ts'

const outside = (root: string, path: string) => {
  const way = relative(root, path)
  return way === '..' || way.startsWith('../') || isAbsolute(way)
}

const inJob = 'paths are relative to the root of the repository; a job has to check it out before (actions/checkout)'
const inShell = (workspace: string) =>
  `paths on the command line are relative to the current directory, those in the manifest to ${workspace}; --manifest PATH names another manifest`

/** A reader for paths relative to the workspace; it throws InputError for what lies outside (also by a link) or cannot be read. */
export function workspaceReader({
  workspace,
  onGitHub,
}: Pick<Request, 'workspace' | 'onGitHub'>): (path: string) => string {
  return path => {
    const hint = onGitHub ? inJob : inShell(workspace)
    const full = resolve(workspace, path)
    if (outside(resolve(workspace), full)) throw new InputError(`${path} is outside of the workspace`, { hint })
    try {
      if (outside(realpathSync(workspace), realpathSync(full)))
        throw new InputError(`${path} leads out of the workspace by a link`, { hint })
      return readFileSync(full, 'utf8')
    } catch (cause) {
      if (cause instanceof InputError) throw cause
      throw new InputError(`${path} cannot be read: ${messageOf(cause)}`, { cause, hint })
    }
  }
}
