/** Sites for the tests of one file, taken down after each test however it ended. */
import { afterEach } from 'vitest'
import type { ActionResult } from './runner.ts'
import { type Site, type SiteOptions, startSite } from './site.ts'

/** Registers the clean-up; the function it gives starts a site and deploys to it once, so that there is something to lose. */
export function useSites(): (options?: SiteOptions & { readonly seed?: boolean }) => Promise<Site> {
  const open: Site[] = []
  afterEach(async () => {
    await Promise.all(open.splice(0).map(site => site.stop()))
  })
  return async ({ seed = true, ...options } = {}) => {
    const site = await startSite(options)
    open.push(site)
    if (seed) await site.seed()
    return site
  }
}

/** The outputs that the selected servers are divided over. */
export const outcomes = ['succeeded', 'skipped', 'failed', 'rolled-back', 'pending', 'unreachable'] as const

/** A JSON list among the outputs. */
export const listed = (result: ActionResult, output: string): string[] => {
  const text = result.outputs[output]
  if (text === undefined) throw new Error(`there is no output ${output}; the log:\n${result.log}`)
  return JSON.parse(text) as string[]
}

/** Those lists, without the empty ones. */
export const outcome = (result: ActionResult): Record<string, string[]> =>
  Object.fromEntries(outcomes.map(name => [name, listed(result, name)] as const).filter(([, list]) => list.length > 0))
