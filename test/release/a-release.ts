/** Releases on this machine, brought there by the scripts a deployment uses. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { takeLock } from '../../src/release/lock.ts'
import { mark, stageBegin, stageCommit, unpack } from '../../src/release/stage.ts'
import { newOwner, newSite, ok, type Shell, temporary } from './shells.ts'

export const releaseNumber = (n: number): string => `nocommit-${String(n).padStart(8, '0')}`

/** A gzip'd tar of these files. */
export function packed(files: Readonly<Record<string, string>>): Buffer {
  const directory = temporary('packed-')
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  return execFileSync('tar', ['-C', directory, '-czf', '-', '.'], { maxBuffer: 1 << 26 })
}

export async function locked(shell: Shell) {
  const [site, owner] = [newSite(), newOwner()]
  await ok(shell, takeLock(site, owner))
  return { site, owner, at: (...parts: string[]) => join(site.releasePath, ...parts) }
}
export type Place = Awaited<ReturnType<typeof locked>>

/** Stages, links and marks a release. */
export async function brought(shell: Shell, { site, owner }: Place, id: string, shared: string[] = []): Promise<void> {
  await ok(shell, stageBegin(site, owner, id))
  await ok(shell, unpack(site, owner, id), { input: packed({ id, 'bin/run': `echo ${id}` }) })
  await ok(shell, stageCommit(site, owner, id, shared))
  await ok(shell, mark(site, owner, id))
}
