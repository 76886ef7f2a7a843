/** Which files changed between two commits: from git, or, for a shallow clone, from GitHub's compare API. */
import { getExecOutput } from '@actions/exec'
import picomatch from 'picomatch'
import { messageOf } from '../errors.ts'
import { calling, gitHub } from './api.ts'

export interface Comparison {
  readonly workspace: string
  readonly from: string
  readonly to: string
  /** Directories, files or globs; only what is one of them or lies under one is returned. */
  readonly paths: readonly string[]
  readonly repository: string | null
  readonly token: string | null
  readonly apiUrl: string
  readonly signal: AbortSignal
}

/** `unknown` with the reason: neither git nor the API could tell. */
export type Changed = { readonly files: readonly string[] } | { readonly unknown: string }

/** Short and local; what git says goes nowhere but here. */
async function git(workspace: string, args: readonly string[]): Promise<{ code: number; out: string }> {
  try {
    const options = { silent: true, ignoreReturnCode: true }
    const { exitCode, stdout } = await getExecOutput('git', ['-C', workspace, ...args], options)
    return { code: exitCode, out: stdout }
  } catch {
    // There is no git here.
    return { code: 127, out: '' }
  }
}

/** git HEAD of the workspace, or null where there is none. */
export async function headCommit(workspace: string): Promise<string | null> {
  const { code, out } = await git(workspace, ['rev-parse', '--verify', '--quiet', 'HEAD'])
  return code === 0 && /^[0-9a-f]{40,64}$/.test(out.trim()) ? out.trim() : null
}

/** As text first, since a directory may be called `[slug]`; else as a glob, as workflows have them. In doubt it changed. */
const under = (file: string, paths: readonly string[]) =>
  paths.some(path => {
    const root = path.replace(/^\.?\/+/, '').replace(/\/+$/, '')
    if (root === '' || file === root || file.startsWith(`${root}/`)) return true
    return picomatch([root, `${root}/**`], { dot: true, nonegate: true })(file)
  })

/** Commits come from a server's state: only hexadecimal ones are handed to git. */
const commit = /^[0-9a-f]{7,64}$/

export async function changedFiles(comparison: Comparison): Promise<Changed> {
  const { from, to, workspace } = comparison
  if (!commit.test(from) || !commit.test(to)) return { unknown: 'there is no commit to compare with' }
  const local = await git(workspace, [
    'diff',
    '--name-only',
    '--no-renames',
    '-z',
    `${from}^{commit}`,
    `${to}^{commit}`,
    '--',
  ])
  if (local.code === 0) return { files: local.out.split('\0').filter(f => f !== '' && under(f, comparison.paths)) }
  return fromApi(comparison)
}

/** The compare API lists at most 300 files; a full list is not known to be complete. */
const mostFiles = 300

async function fromApi({ repository, token, from, to, paths, apiUrl, signal }: Comparison): Promise<Changed> {
  if (!repository || !token)
    return { unknown: `commit ${from.slice(0, 12)} is not in this clone, and there is no token to ask GitHub` }
  try {
    const { octokit, owner, repo } = gitHub({ repository, token, apiUrl, signal, warn: () => {} })
    const basehead = `${from}...${to}`
    const { data } = await calling('asked what changed', () =>
      octokit.rest.repos.compareCommitsWithBasehead({ owner, repo, basehead }),
    )
    // Three dots: what `to` has since the merge base. Only an ancestor gives the whole difference.
    if (data.status !== 'ahead' && data.status !== 'identical')
      return { unknown: `${from.slice(0, 12)} is not an ancestor of ${to.slice(0, 12)}` }
    const files = data.files ?? []
    const touched = files
      .flatMap(f => [f.filename, ...(f.previous_filename ? [f.previous_filename] : [])])
      .filter(f => under(f, paths))
    if (touched.length === 0 && files.length >= mostFiles)
      return { unknown: 'GitHub lists only the first 300 changed files' }
    return { files: touched }
  } catch (error) {
    return { unknown: `commit ${from.slice(0, 12)} is not in this clone; ${messageOf(error)}` }
  }
}
