/**
 * Which seeds are to be tried, and the sites that they share. CRASH_CASES says how many cases, CRASH_FIRST the first seed, CRASH_SEED one
 * seed alone, CRASH_SITES how many sites there are (default 2, at most 5).
 */
import { afterAll } from 'vitest'
import { type CrashSite, type CrashSiteOptions, startCrashSite } from './crash-site.ts'

const number = (name: string, otherwise: number): number => {
  const text = process.env[name] ?? ''
  if (text === '') return otherwise
  if (!/^\d{1,9}$/.test(text)) throw new Error(`${name} is a whole number, not ${JSON.stringify(text)}`)
  return Number(text)
}

export function seedsToTry(usual: { readonly first: number; readonly cases: number }): readonly number[] {
  const alone = number('CRASH_SEED', 0)
  const first = alone > 0 ? alone : number('CRASH_FIRST', usual.first)
  const cases = alone > 0 ? 1 : number('CRASH_CASES', usual.cases)
  return Array.from({ length: cases }, (_, i) => first + i)
}

/** A site serves one case after the other; one on which a case failed serves no other. All are taken down after the file's last test. */
export function useCrashSites(options: CrashSiteOptions = {}): <T>(work: (at: CrashSite) => Promise<T>) => Promise<T> {
  const free: CrashSite[] = []
  const waiting: (() => void)[] = []
  let places = number('CRASH_SITES', 2)
  afterAll(async () => {
    await Promise.all(free.splice(0).map(at => at.site.stop()))
  })
  return async work => {
    if (places === 0) await new Promise<void>(resolve => waiting.push(resolve))
    else places -= 1
    let at = free.pop()
    try {
      at ??= await startCrashSite(options)
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
}
