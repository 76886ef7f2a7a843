/**
 * `node scripts/count.mjs RESULTS EXIT-CODE` prints `passed failed skipped` of a vitest run. A file that failed without a failed test
 * (it cannot be loaded, say) counts as one; so does a run that left no results, or that failed in another way: never as nothing.
 */
import { readFileSync } from 'node:fs'
import { whenStarted } from './node24.mjs'

/** Counts of vitest's JSON report; `results` null: there is none. */
export function count(results, exitCode) {
  if (results === null) return { passed: 0, failed: 1, skipped: 0 }
  const notLoaded = results.testResults.filter(
    file => file.status === 'failed' && !file.assertionResults.some(test => test.status === 'failed'),
  )
  const failed = results.numFailedTests + notLoaded.length
  return {
    passed: results.numPassedTests,
    failed: failed === 0 && (exitCode !== 0 || results.success !== true) ? 1 : failed,
    skipped: results.numPendingTests + results.numTodoTests,
  }
}

await whenStarted(import.meta.url, ([file, exitCode]) => {
  let results = null
  try {
    results = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    // counted as a failure below
  }
  const { passed, failed, skipped } = count(results, Number(exitCode))
  console.log(passed, failed, skipped)
  return 0
})
