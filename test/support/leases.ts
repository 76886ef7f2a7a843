/** Leases that run out, without the minute that it takes. */
import { readdirSync, renameSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Site } from './site.ts'

/**
 * What a minute does to locks whose owner is gone: their leases are over. A script that was sent before its end may still take or renew
 * one, as it may in that minute: they are looked at until none changes, for longer where more processes want to run than there are cores.
 */
export async function leasesRunOut(site: {
  readonly servers: readonly Pick<Site['servers'][number], 'root'>[]
}): Promise<void> {
  const quiet = 400 * Math.max(1, (loadavg()[0] ?? 1) / availableParallelism())
  let since = performance.now()
  while (performance.now() - since < quiet) {
    for (const lock of site.servers.map(server => join(server.root, '.deploy-action/lock')))
      for (const entry of entriesOf(lock).filter(e => e.startsWith('held.') && !e.endsWith('.1'))) {
        try {
          renameSync(join(lock, entry), join(lock, entry.replace(/\.\d+$/, '.1')))
        } catch {
          // its script renamed it first; it is looked at again
        }
        since = performance.now()
      }
    await sleep(50)
  }
}

/** None where no lock was ever taken. */
function entriesOf(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return []
  }
}
