/**
 * Tools of the tests that are packages of PyPI: each is a file in scripts/python/ (Dependabot keeps them up to date), put into .cache/ once.
 * Nothing of it is part of the product.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { download, saidBy } from './download.mjs'
import { root } from './node24.mjs'

const wanted = name => join(root, 'scripts', 'python', `${name}.txt`)

/** Where a tool is when it is there; another place when what is wanted changed. */
export function directoryOf(name) {
  const hash = createHash('sha256')
    .update(readFileSync(wanted(name)))
    .digest('hex')
    .slice(0, 12)
  return join(root, '.cache', `${name}-${hash}`)
}

/** Throws with what pip said when it cannot be had. Hashes, where the file has them, hold. */
export function installTool(name) {
  const directory = directoryOf(name)
  const done = join(directory, 'installed')
  if (existsSync(done)) return
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true })
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--only-binary=:all:']
  const got = download('python3', [...pip, '--target', directory, '-r', wanted(name)])
  if (got.status !== 0) throw new Error(`${name}, which the tests need, is not to be had by pip: ${saidBy(got)}`)
  writeFileSync(done, '')
}
