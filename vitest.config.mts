import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const slowest = JSON.parse(readFileSync('test/slowest.json', 'utf8')) as Readonly<Record<string, number>>

/** Longest first, so that no long one is left over when all others are done. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    return sorted.toSorted((a, b) => seconds(b) - seconds(a))
  }
}

/** As measured; an end-to-end test that is too new for that is taken for a long one. */
function seconds({ moduleId }: TestSpecification): number {
  const path = moduleId.slice(moduleId.lastIndexOf('/test/') + 1)
  return slowest[path] ?? (/^test\/(e2e|workflows)\//.test(path) ? 60 : 0)
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/seed.ts'],
    // Most of a test's time is waiting for servers: a worker's second took 0.3 s of a core, measured over four end-to-end tests.
    maxWorkers: Math.max(4, Math.round(2.5 * availableParallelism())),
    sequence: { sequencer: LongestFirst },
    // Says when a test is hopeless, never how fast it has to be: machines are busy.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
