import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The end-to-end tests take longest: they come first, so that none of them is left over when all others are done. */
class EndToEndFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const [first, then] = [true, false].map(e2e => sorted.filter(f => f.moduleId.includes('/test/e2e/') === e2e))
    return [...(first ?? []), ...(then ?? [])]
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Most of a test's time is waiting for servers: four share two cores well.
    maxWorkers: 4,
    sequence: { sequencer: EndToEndFirst },
    // Says when a test is hopeless, never how fast it has to be: machines are busy.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
})
