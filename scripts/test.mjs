/**
 * `npm test`: sets up what the tests need, builds the bundle when it is older than its sources, and runs all tests on Node 24.
 * A needed program that is missing and cannot be installed is a failure: no test is left out silently. The results are also written to
 * .cache/tests.json. Arguments are handed to vitest.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { build, isStale } from './build.mjs'
import { installGoTools } from './go-tools.mjs'
import { installLocalAction } from './local-action.mjs'
import { node24, root, run, whenStarted } from './node24.mjs'
import { installTool } from './pip.mjs'
import { install, installer, installLine, missing, packagesFor } from './tools.mjs'

export const results = join(root, '.cache', 'tests.json')

function setUp() {
  const absent = missing()
  if (absent.length === 0) return
  const prefix = installer()
  if (prefix !== null) {
    console.log(`Installing ${packagesFor(absent).join(', ')} for the tests.`)
    install(absent, prefix)
  }
  const still = missing()
  if (still.length > 0)
    throw new Error(
      `The tests need ${still.join(', ')}, which this machine lacks. Install with:\n  ${installLine(still)}`,
    )
}

await whenStarted(import.meta.url, args => {
  const node = node24()
  setUp()
  for (const tool of ['caddy', 'moto', 'zizmor']) installTool(tool)
  installLocalAction()
  const leftOut = installGoTools()
  if (leftOut !== null) console.log(leftOut)
  if (isStale()) {
    console.log('Building dist/index.js: a source is newer.')
    build(join(root, 'dist'))
  }
  rmSync(results, { force: true })
  // Secrets and inputs of the job that runs the tests are not theirs to see.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(INPUT_|STATE_|SSH_AUTH_SOCK)/.test(name)),
  )
  return run(
    node,
    [
      'node_modules/vitest/vitest.mjs',
      'run',
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${results}`,
      ...args,
    ],
    { env, stdio: ['ignore', 'inherit', 'inherit'] },
  )
})
