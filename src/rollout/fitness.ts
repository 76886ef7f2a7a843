/** Whether a server is fit for the deployment, from what was read of it. Pure. */
import { PreflightError } from '../errors.ts'
import type { Probe } from '../release/probe.ts'
import type { Site } from '../release/site.ts'
import { convertCommands } from '../release/switch.ts'

export interface Needs {
  /** Bytes and files of the release, unpacked; 0 when it is there. */
  readonly bytes: number
  readonly files: number
}

/** Room for journal, marks and the file system's own bookkeeping. */
const spareBytes = 4 * 1024 * 1024
const spareInodes = 64

const mega = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(bytes < 10 * 1024 * 1024 ? 1 : 0)} MiB`

/** Everything that speaks against deploying to it, as one error; null: it is fit. */
export function unfit(server: string, site: Site, probe: Probe, needs: Needs): PreflightError | null {
  const found: { what: string; hint: string }[] = []
  if (probe.missingTools.length > 0)
    found.push({
      what: `missing: ${probe.missingTools.join(', ')}`,
      hint: 'install them on the server',
    })
  if (probe.missingShared.length > 0)
    found.push({
      what: `missing shared files: ${probe.missingShared.join(', ')}`,
      hint: `put them into ${site.releasePath}/shared; a name with "/" at the end is a directory, made when missing`,
    })
  if (probe.unwritable.length > 0)
    found.push({
      what: `not writable for this user: ${probe.unwritable.join(', ')}`,
      hint: 'give the SSH user rights to write there',
    })
  if (probe.currentIs === 'directory')
    found.push({
      what: `${site.releasePath}/current is a directory, and has to become a link`,
      hint: `run on the server: ${convertCommands(site).join(' && ')}`,
    })
  if (probe.currentIs === 'other')
    found.push({
      what: `${site.releasePath}/current is neither a link nor a directory`,
      hint: 'look at it on the server, and move it away',
    })
  const bytes = needs.bytes + spareBytes
  if (probe.freeBytes !== null && probe.freeBytes < bytes)
    found.push({
      what: `${mega(probe.freeBytes)} free on disk, ${mega(bytes)} needed`,
      hint: 'make room, or lower release.keep',
    })
  const inodes = needs.files + spareInodes
  if (probe.freeInodes !== null && probe.freeInodes < inodes)
    found.push({
      what: `${probe.freeInodes} free inodes, ${inodes} needed`,
      hint: 'make room: many small files fill a disk without filling its bytes',
    })
  if (found.length === 0) return null
  return new PreflightError(`${server}: ${found.map(f => f.what).join('; ')}`, {
    server,
    stage: 'preflight',
    hint: found.map(f => f.hint).join('; '),
  })
}
