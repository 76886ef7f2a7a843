/** Owners of a lock that shards share, and what became of it on disk. */
import { readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { parseRelease, parseTake, releaseLock, takeLock } from '../../src/release/lock.ts'
import type { Site } from '../../src/release/site.ts'
import { lockEntries, newOwner, ok, type Shell, stateOf } from './shells.ts'

export type Holder = ReturnType<typeof newOwner> & {
  readonly shared?: { readonly run: string; readonly member: number }
}

let runs = 0
export const newRun = () => `run-${String(++runs).padStart(20, '0')}`
export const member = (of: string, n: number): Holder => ({ ...newOwner(), shared: { run: of, member: n } })

export const lockOf = (site: Site) => join(stateOf(site), 'lock')
export const take = async (shell: Shell, site: Site, owner: Holder) => parseTake(await ok(shell, takeLock(site, owner)))
export const give = async (shell: Shell, site: Site, owner: Holder) =>
  parseRelease(await ok(shell, releaseLock(site, owner)))
export const entryOf = (site: Site) => join(lockOf(site), lockEntries(site)[0] ?? '')

/** As if nobody had renewed the entry for longer than a lease. */
export function expire(site: Site): void {
  const entry = entryOf(site)
  renameSync(entry, entry.replace(/\d+$/, '1'))
}
/** As if this member had not renewed its own lease for so long. */
export function expireMember(site: Site, owner: Holder): void {
  const entry = entryOf(site)
  const directory = readdirSync(entry).find(name => new RegExp(`^member\\.\\d+\\.${owner.shared?.member}$`).test(name))
  const place = join(entry, directory ?? '')
  const [lease = ''] = readdirSync(place).filter(name => name.startsWith('lease.'))
  renameSync(join(place, lease), join(place, lease.replace(/\d+$/, '1')))
}
