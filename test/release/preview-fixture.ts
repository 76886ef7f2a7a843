/** Directories of previews on this machine, made and removed by the scripts that a run uses. */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { previewPath } from '../../src/manifest/preview-path.ts'
import { type LockInfo, releaseLock, takeLock } from '../../src/release/lock.ts'
import type { Owner } from '../../src/release/prelude.ts'
import { claiming, lookAtPreview, moveAway, ofTeardown, sweepPreviews } from '../../src/release/preview.ts'
import { markerLine, type PreviewPlace } from '../../src/release/preview-scripts.ts'
import type { Site } from '../../src/release/site.ts'
import { newOwner, type Ran, type RunWith, run, type Shell, temporary } from './shells.ts'

export interface Preview {
  readonly site: Site
  readonly place: PreviewPlace
}

/** The preview of a pull request of the application shop, at `<parent>/pr-<number>`. */
export function previewAt(parent: string, number = 7, more: Partial<PreviewPlace> = {}): Preview {
  const place = {
    ...previewPath(n => `${parent}/pr-${n}`, number),
    application: 'shop',
    number,
    repository: 'octo/shop',
    others: [],
    ...more,
  }
  return { site: { application: 'shop', environment: `pr-${number}`, releasePath: place.path }, place }
}

export const newPreviews = () => {
  const parent = join(temporary('previews-'), 'srv')
  mkdirSync(parent)
  return parent
}

type Owning = Owner & { readonly info: LockInfo }

/** Claims it and takes its lock, as the first script of a deployment does. */
export const claimed = (
  shell: Shell,
  { site, place }: Preview,
  limit = 20,
  owner: Owning = newOwner(),
  more: RunWith = {},
) => run(shell, claiming(site, place, limit)(owner, takeLock(site, owner)), more)

/** A preview as deployments leave it: with a journal and files, its lock given back. */
export async function deployed(shell: Shell, preview: Preview): Promise<void> {
  const owner = newOwner()
  const { code, stderr } = await claimed(shell, preview, 1000, owner)
  if (code !== 0) throw new Error(`${code}: ${stderr}`)
  const { path } = preview.place
  mkdirSync(join(path, 'releases/one/.git'), { recursive: true })
  for (const file of ['releases/one/index.html', 'releases/one/.git/HEAD', '.deploy-action/journal'])
    writeFileSync(join(path, file), 'x')
  await run(shell, releaseLock(preview.site, owner))
}

/** All of a teardown but its steps; what each script did, up to the first that failed. */
export async function tornDown(shell: Shell, { site, place }: Preview, more: RunWith = {}): Promise<readonly Ran[]> {
  const owner = newOwner()
  const scripts = [
    lookAtPreview(site, place),
    ofTeardown(site, place)(owner, takeLock(site, owner)),
    moveAway(site, owner, place),
    sweepPreviews(site, place),
  ]
  const done: Ran[] = []
  for (const script of scripts) {
    const ran = await run(shell, script, more)
    done.push(ran)
    if (ran.code !== 0) break
  }
  return done
}

export const said = (all: readonly Ran[]): string => all.map(r => `${r.stdout}${r.stderr}`).join('')

export const entries = (directory: string): readonly string[] => readdirSync(directory).sort()

/** A directory that has this marker and nothing to do with a deployment. */
export function markedDirectory(path: string, marker: string | Pick<PreviewPlace, 'application' | 'number'>): void {
  mkdirSync(join(path, '.deploy-action'), { recursive: true })
  const line = typeof marker === 'string' ? marker : markerLine({ ...previewAt('/srv/previews').place, ...marker })
  writeFileSync(join(path, '.deploy-action/preview'), `${line}\n`)
  writeFileSync(join(path, 'precious'), 'x')
}
