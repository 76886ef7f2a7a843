/** `npm run demo`: installs what is missing, builds the bundle when it is older than its sources, and starts demo/demo.ts on Node 24. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { node24, quiet, root, run, whenStarted } from './node24.mjs'

await whenStarted(import.meta.url, async () => {
  if (process.platform !== 'linux')
    throw new Error(`The demo needs Linux (its servers are processes with a /proc); this is ${process.platform}.`)
  if (!existsSync(join(root, 'node_modules', '.package-lock.json'))) {
    console.log('Installing the packages (npm ci).')
    const code = run('npm', ['ci'])
    if (code !== 0) return code
  }
  const { build, isStale } = await import('./build.mjs')
  if (isStale()) {
    console.log('Building dist/index.js: a source is newer.')
    build(join(root, 'dist'))
  }
  return run(node24(), [...quiet, 'demo/demo.ts'])
})
