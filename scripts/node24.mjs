/**
 * The Node that bundle, tests and TypeScript files run on: 24 or newer, as on GitHub's runners. The scripts themselves run on Node 20.
 * `node scripts/node24.mjs FILE ARGS…` starts a file on it.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Path of a Node ≥ 24: the running one, else the one that npm installed. Throws when there is none for this platform. */
export function node24() {
  if (Number.parseInt(process.versions.node, 10) >= 24) return process.execPath
  const installed = join(root, 'node_modules', `node-${process.platform}-${process.arch}`, 'bin', 'node')
  if (existsSync(installed)) return installed
  throw new Error(
    `Node 24 or newer is needed, this is ${process.version}, and ${installed} is not there. ` +
      'On Linux x64 and arm64 `npm ci` installs it; elsewhere install Node 24 and run this again.',
  )
}

/** Arguments that come first when a TypeScript file is started: package.json has no "type" (the bundle is CommonJS), which Node would warn of. */
export const quiet = ['--disable-warning=MODULE_TYPELESS_PACKAGE_JSON', '--disable-warning=ExperimentalWarning']

/** Runs a program in the project's directory with this terminal; resolves to its exit code. */
export function run(command, args, options = {}) {
  const ended = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options })
  if (ended.error) throw ended.error
  return ended.status ?? 1
}

/** Runs `main` when its file was started as a program; what it throws is shown in one line, and the exit code is 1. */
export async function whenStarted(url, main) {
  if (process.argv[1] === undefined || fileURLToPath(url) !== process.argv[1]) return
  try {
    process.exitCode = await main(process.argv.slice(2))
  } catch (error) {
    console.error(error instanceof Error ? error.message : error)
    process.exitCode = 1
  }
}

await whenStarted(import.meta.url, ([file, ...args]) => run(node24(), [...quiet, file, ...args]))
