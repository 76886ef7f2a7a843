/**
 * `node scripts/slowest.mjs` writes test/slowest.json from the last whole run: the seconds of each test file that takes long. Such files
 * are begun first (vitest.config.mts), so that none of them is left over when all others are done. Once in a while is enough.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root, whenStarted } from './node24.mjs'

/** Seconds by path, longest first, of vitest's JSON report; those of at least `least`. Throws for a run in another directory. */
export function slowest(results, directory, least = 15) {
  const other = results.testResults.find(({ name }) => !name.startsWith(`${directory}/`))
  if (other) throw new Error(`${other.name} is not below ${directory}: name the directory of that run, too`)
  const files = results.testResults.map(({ name, startTime, endTime }) => [
    name.slice(directory.length + 1),
    Math.round((endTime - startTime) / 1000),
  ])
  return Object.fromEntries(files.filter(([, seconds]) => seconds >= least).sort((a, b) => b[1] - a[1]))
}

await whenStarted(import.meta.url, ([file = join(root, '.cache', 'tests.json'), directory = root]) => {
  const found = slowest(JSON.parse(readFileSync(file, 'utf8')), directory)
  writeFileSync(join(root, 'test', 'slowest.json'), `${JSON.stringify(found, null, 2)}\n`)
  return 0
})
