/** Another one who deploys to the same site: a workspace with a release of his own, as another branch's job has it checked out. */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { type AppFiles, writeApp } from './app.ts'
import type { RunningAction } from './runner.ts'
import type { Site } from './site.ts'

export interface Colleague {
  /** GITHUB_RUN_ID. */
  readonly run: string
  /** What the lock tells of him. */
  readonly runUrl: string
  readonly actor: string
  /** The first digits of his commit, which his release begins with. */
  readonly commit: string
  readonly workspace: string
  start(inputs?: Readonly<Record<string, string>>): RunningAction
}

/** Copies the site's workspace with the manifest as it is now; his application is the one given. */
export function colleague(at: Site, number: number, app: AppFiles = { version: `of colleague ${number}` }): Colleague {
  const workspace = mkdtempSync(join(at.temp, 'workspace-'))
  cpSync(at.workspace, workspace, { recursive: true })
  rmSync(join(workspace, 'app'), { recursive: true, force: true })
  writeApp(join(workspace, 'app'), app)
  const who = ['-c', 'user.name=Octo Cat', '-c', 'user.email=octo@example.com', '-c', 'commit.gpgsign=false']
  const git = (...words: string[]) => execFileSync('git', [...who, ...words], { cwd: workspace, encoding: 'utf8' })
  git('add', '-A')
  git('commit', '-q', '--allow-empty', '-m', `release of colleague ${number}`)
  const sha = git('rev-parse', 'HEAD').trim()
  const run = `${5000 + number}`
  const actor = `colleague-${number}`
  return {
    run,
    runUrl: `https://github.com/octo/shop/actions/runs/${run}`,
    actor,
    commit: sha.slice(0, 12),
    workspace,
    start: (inputs = {}) =>
      at.start(inputs, { workspace, env: { GITHUB_SHA: sha, GITHUB_RUN_ID: run, GITHUB_ACTOR: actor } }),
  }
}
