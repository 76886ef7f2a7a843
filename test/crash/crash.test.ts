/**
 * A deployment is killed at some moment, as by a machine that is lost: no signal handler and no post step run. Then `recover` runs once.
 * Default 8 cases, with `npm run test:crash` 200; what CRASH_CASES and its kin say stands in pool.ts.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { leasesRunOut } from '../support/leases.ts'
import { halfDone, journals, whatIsWrong } from './after-recovery.ts'
import { crashCase, inWords } from './crash-case.ts'
import { names } from './crash-site.ts'
import { seedsToTry, useCrashSites } from './pool.ts'

/** From 4 on eight seeds in a row are of every kind, and spread over a whole run. */
const seeds = seedsToTry({ first: 4, cases: 8 })
const withSite = useCrashSites()

describe('what a run left that was killed when it was decided', () => {
  it.concurrent('goes with one `recover`: old releases half removed, a journal not begun', { timeout: 3_600_000 }, () =>
    withSite(async at => {
      const release = at.site.current('web1') ?? ''
      for (const { root } of at.site.servers) {
        writeFileSync(join(root, '.deploy-action/journal.new'), '{"c":')
        for (const left of [`.gone.${release}.4711/old`, `.staging.${release}/half`])
          mkdirSync(join(root, 'releases', left), { recursive: true })
      }
      const recovered = await at.site.deploy({ command: 'recover' })
      expect(recovered.code, recovered.log).toBe(0)
      expect(at.site.servers.flatMap(halfDone)).toEqual([])
    }),
  )
})

describe('after a SIGKILL at any moment one `recover`', () => {
  it.concurrent.each(seeds)(
    'brings rotation, releases, locks, journals and processes back in order (seed %i)',
    { timeout: 3_600_000 },
    seed =>
      withSite(async at => {
        const { c, ms, lines, main } = await at.interrupt(crashCase(seed, names), run => {
          run.kill('SIGKILL')
          return run.ended
        })
        const moment = `${inWords(c)}; killed after ${ms} ms and ${lines} lines; replay: CRASH_SEED=${seed} npm test -- test/crash/crash.test.ts`
        console.log(moment)
        await leasesRunOut(at.site)
        const recovered = await at.site.deploy({ command: 'recover' })
        const wrong = await whatIsWrong(at, c)
        const told = `${moment}\n--- the killed run ---\n${main.log}\n--- recover ---\n${recovered.log}\n${journals(at)}`
        expect({ code: recovered.code, wrong }, told).toEqual({ code: 0, wrong: [] })
      }),
  )
})
