/**
 * A deployment is killed at some moment, as by a machine that is lost: no signal handler and no post step run. Then `recover` runs once.
 * CRASH_CASES says how many cases (default 8, `npm run test:crash`: 200), CRASH_FIRST the first seed, CRASH_SEED one seed alone,
 * CRASH_SITES how many sites they share (default 2, at most 5).
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { halfDone, journals, whatIsWrong } from './after-recovery.ts'
import { type CrashCase, crashCase, inWords, sooner } from './crash-case.ts'
import { beginAnew, type CrashSite, type Killed, leasesRunOut, names, startCrashSite } from './crash-site.ts'

const number = (name: string, otherwise: number): number => {
  const text = process.env[name] ?? ''
  if (text === '') return otherwise
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} is a whole number, not ${JSON.stringify(text)}`)
  return Number(text)
}
/** From here on eight seeds in a row are of every kind, and spread over a whole run. */
const varied = 296
const alone = number('CRASH_SEED', 0)
const first = alone > 0 ? alone : number('CRASH_FIRST', varied)
const cases = alone > 0 ? 1 : number('CRASH_CASES', 8)
const seeds = Array.from({ length: cases }, (_, i) => first + i)

/** A site serves one case after the other; one on which a case failed serves no other. */
const free: CrashSite[] = []
const waiting: (() => void)[] = []
let places = number('CRASH_SITES', 2)

async function withSite<T>(work: (at: CrashSite) => Promise<T>): Promise<T> {
  if (places === 0) await new Promise<void>(resolve => waiting.push(resolve))
  else places -= 1
  let at = free.pop()
  try {
    at ??= await startCrashSite()
    const done = await work(at)
    free.push(at)
    return done
  } catch (error) {
    await at?.site.stop()
    throw error
  } finally {
    const next = waiting.shift()
    if (next === undefined) places += 1
    else next()
  }
}
/** Every case is a kill: a run that ended before its moment is made again, with an earlier one. */
async function killIn(at: CrashSite, c: CrashCase): Promise<{ readonly c: CrashCase; readonly killed: Killed }> {
  for (let now = c; now.moment.share > c.moment.share / 10; now = sooner(now)) {
    await beginAnew(at)
    const killed = await at.kill(now)
    if (killed !== null) return { c: now, killed }
  }
  throw new Error(`${inWords(c)}: the run ends before any moment`)
}

afterAll(async () => {
  await Promise.all(free.splice(0).map(at => at.site.stop()))
})

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
        const { c, killed } = await killIn(at, crashCase(seed, names))
        const moment = `${inWords(c)}; killed after ${killed.ms} ms and ${killed.lines} lines; replay: CRASH_SEED=${seed} npm run test:crash`
        console.log(moment)
        await leasesRunOut(at)
        const recovered = await at.site.deploy({ command: 'recover' })
        const wrong = await whatIsWrong(at, c)
        const told = `${moment}\n--- the killed run ---\n${killed.log}\n--- recover ---\n${recovered.log}\n${journals(at)}`
        expect({ code: recovered.code, wrong }, told).toEqual({ code: 0, wrong: [] })
      }),
  )
})
