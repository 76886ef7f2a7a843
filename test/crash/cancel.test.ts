/**
 * A deployment is cancelled at some moment as the runner does it, and post runs, all under load. Or the runner's patience is shorter, or
 * post is ended as well: then `recover` runs once. Default 4 cases, with `npm run test:crash` 200; what CRASH_CASES and its kin say stands
 * in pool.ts. That this load notices a server that is restarted in rotation is shown in ../e2e/serial.test.ts.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { leasesRunOut } from '../support/leases.ts'
import { startLoads } from '../support/load.ts'
import type { ActionResult, RunningAction } from '../support/runner.ts'
import { outcomes } from '../support/use-site.ts'
import { waitUntil } from '../support/wait-until.ts'
import { deploymentRunning, journals, whatIsWrong } from './after-recovery.ts'
import { type CancelCase, cancelCase, cancelInWords } from './cancel-case.ts'
import { type CrashSite, names } from './crash-site.ts'
import { seedsToTry, useCrashSites } from './pool.ts'

/** From 24 on four seeds in a row are of every end, one with a migration, spread over a whole run. */
const seeds = seedsToTry({ first: 24, cases: 4 })
const loads = (url: string) => startLoads(url, { clients: 6 })
const withSite = useCrashSites({ migration: 2, meanwhile: site => loads(site.url) })

/** The runner cancels `run`, or ends it sooner. A signal before the program's first line is not seen by it (docs/decisions/0006). */
async function end(run: RunningAction, c: CancelCase): Promise<ActionResult> {
  const ended = run.ended.then(() => true)
  await Promise.race([ended, waitUntil('the first line', () => run.stdout() !== '')])
  if (c.end.how === 'cancelled') return run.cancel()
  run.kill('SIGINT')
  await Promise.race([ended, sleep(c.end.afterMs)])
  run.kill('SIGKILL')
  return run.ended
}

/** What a cancelled main has to have said when it is dead. */
function unsaid({ outputs, summary, code, signal }: ActionResult): string[] {
  const lists = outcomes.map(name => JSON.parse(outputs[name] ?? '[]') as string[])
  return [
    ...(signal === null && code === 1 ? [] : [`main ended with ${signal ?? code}`]),
    ...(outputs['result'] === 'cancelled' ? [] : [`the result is ${outputs['result']}, not cancelled`]),
    ...names
      .map(name => [name, lists.filter(list => list.includes(name)).length] as const)
      .filter(([, times]) => times !== 1)
      .map(([name, times]) => `${name} is in ${times} of the outputs`),
    ...(/cancelled/.test(summary) ? [] : ['the summary does not say that it was cancelled']),
    ...names.filter(name => !summary.includes(name)).map(name => `${name} is not in the summary`),
  ]
}

/** The post step, and `recover` where post is ended as well. */
async function bringToAnEnd(at: CrashSite, c: CancelCase, main: ActionResult): Promise<readonly ActionResult[]> {
  const post = at.site.startPost(main, { strategy: c.strategy })
  if (c.postEndsMs === null) return [await post.ended]
  const ended = post.ended.then(() => true)
  await Promise.race([ended, sleep(c.postEndsMs)])
  post.kill('SIGINT')
  await Promise.race([ended, sleep(c.postEndsMs / 20)])
  post.kill('SIGKILL')
  const first = await post.ended
  await leasesRunOut(at.site)
  return [first, await at.site.deploy({ command: 'recover' })]
}

describe('after a cancel at any moment, post', () => {
  it.concurrent.each(seeds)(
    'brings everything back in order, and the users see no failed request (seed %i)',
    { timeout: 3_600_000 },
    seed =>
      withSite(async at => {
        const wanted = cancelCase(seed, names)
        await at.measure(wanted)
        const load = await loads(at.site.url)
        await load.more(50)
        const { c, ms, lines, main } = await at.interrupt(wanted, run => end(run, wanted))
        const moment = `${cancelInWords(c)}; after ${ms} ms and ${lines} lines; replay: CRASH_SEED=${seed} npm test -- test/crash/cancel.test.ts`
        console.log(moment)
        const early = c.end.how === 'cancelled' ? [...unsaid(main), ...(await deploymentRunning(at))] : []
        const ends = await bringToAnEnd(at, c, main)
        const wrong = [...early, ...(await whatIsWrong(at, c))]
        await load.more(50)
        const { short, slow } = await load.stop()
        const lost = c.strategy === 'parallel' && !c.migrate ? {} : { ...short.problems, ...slow.problems }

        const logs = [main, ...ends].map(
          (run, i) => `--- ${i === 0 ? 'the cancelled run' : 'after it'} ---\n${run.log}`,
        )
        const told = [moment, ...logs, journals(at)].join('\n')
        expect({ code: ends.at(-1)?.code, wrong, lost }, told).toEqual({ code: 0, wrong: [], lost: {} })
        expect(
          Math.min(...names.filter(name => name !== c.operators).map(name => short.byServer[name] ?? 0)),
        ).toBeGreaterThan(0)
      }),
  )
})
