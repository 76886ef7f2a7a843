/**
 * @github/local-action runs an action's sources with stand-ins for the toolkit. It brings 350 packages (330 MB) that nothing else here needs,
 * so it is no dependency of the project: npm puts it into .cache/ once, in this version.
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { download, saidBy } from './download.mjs'
import { root } from './node24.mjs'

const version = '7.0.1'
const directory = join(root, '.cache', `local-action-${version}`)
const done = join(directory, 'installed')

/** The package's directory; it is there after `installLocalAction`. */
export const localAction = join(directory, 'node_modules', '@github', 'local-action')

/** Throws with what npm said when it cannot be had. */
export function installLocalAction() {
  if (existsSync(done)) return
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'package.json'), '{ "private": true }\n')
  const words = ['install', '--save-exact', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error']
  const got = download('npm', [...words, `@github/local-action@${version}`], { cwd: directory })
  if (got.status !== 0)
    throw new Error(`@github/local-action, which the tests need, is not to be had by npm: ${saidBy(got)}`)
  writeFileSync(done, '')
}
