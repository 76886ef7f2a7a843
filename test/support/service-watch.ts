/** Watches at the balancer how many servers are in service: one that was taken out is back when its health check says so, too. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Site } from './site.ts'

export interface ServiceReport {
  /** The fewest servers in service at any look. */
  readonly fewest: number
  /** Looks that were made. */
  readonly looks: number
}

/** A server that only fails a check of a busy machine was not taken out by anyone, and counts as in service. */
export function watchService(site: Site): { stop(): Promise<ServiceReport> } {
  const out = new Set<string>()
  let stopped = false
  const report = { fewest: site.servers.length, looks: 0 }
  const look = async () => {
    const set = await site.haproxy.asSet(site.backendName)
    const stats = (await site.haproxy.stats()).filter(row => row['pxname'] === site.backendName)
    for (const { name } of site.servers) {
      const status = stats.find(row => row['svname'] === name)?.['status'] ?? ''
      if (set[name] !== 'ready') out.add(name)
      else if (status.startsWith('UP')) out.delete(name)
    }
    report.fewest = Math.min(report.fewest, site.servers.length - out.size)
    report.looks += 1
  }
  const watching = (async () => {
    while (!stopped) {
      await look()
      await sleep(20)
    }
  })()
  watching.catch(() => undefined)
  return {
    stop: async () => {
      stopped = true
      await watching
      return report
    },
  }
}
