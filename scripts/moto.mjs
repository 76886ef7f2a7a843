/**
 * moto imitates AWS's APIs in Python: the tests of the AWS providers hold its answers' shapes against what is read of them. A package of
 * PyPI with what it needs, put into .cache/ once. Nothing of it is part of the product.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './node24.mjs'

// The extra "server" would bring three times as much, for services that are not used.
const packages = ['moto[ec2,elb,elbv2]==5.2.5', 'flask==3.1.3', 'flask-cors==6.0.5']
const directory = join(root, '.cache', 'moto-5.2.5')
const done = join(directory, 'installed')

/** For PYTHONPATH; it is there after `installMoto`. */
export const motoPath = directory

/** Throws with what pip said when it cannot be had. */
export function installMoto() {
  if (existsSync(done)) return
  mkdirSync(directory, { recursive: true })
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--upgrade', '--target', directory]
  const got = spawnSync('python3', [...pip, ...packages], { encoding: 'utf8' })
  if (got.status !== 0)
    throw new Error(`moto, which the tests need, is not to be had by pip: ${got.stderr ?? got.error}`)
  writeFileSync(done, '')
}
