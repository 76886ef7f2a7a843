/**
 * The waits around removals that stay in force after they are taken out of the manifest: one small file per environment in the state
 * directory of every server, the same on all. What is read back is data of a server: checked and capped here, believed in plan/sticky-waits.ts.
 */
import { z } from 'zod'
import { quote } from '../fleet/quote.ts'
import { highestSequence, type StoredWaits } from '../manifest/kept-waits.ts'
import { exitCodes } from './exit-codes.ts'
import { fenced } from './fence.ts'
import type { Owner } from './prelude.ts'
import { checkedSite, type Site } from './site.ts'

/** Seconds a wait lasts at most, wherever it comes from. */
export const longestWait = 3600
/** Bytes of such a file that are read. */
const mostBytes = 65_536

const wait = z.object({
  seconds: z
    .number()
    .positive()
    .transform(s => Math.min(s, longestWait)),
  /** The lock token of the deployment whose manifest said so. */
  deployment: z.string().regex(/^[A-Za-z0-9-]{1,64}$/),
  run: z
    .string()
    .regex(/^https?:\/\/[\x21-\x7e]{1,250}$/)
    .nullable(),
  /** Seconds since 1970, by that deployment's runner. */
  at: z.number().int().min(0).max(4_102_444_800),
})

const record = z.object({
  /** Grows with each deployment that stores anything. */
  sequence: z.number().int().min(1).max(highestSequence),
  balancers: z
    .record(
      z.string().regex(/^[A-Za-z0-9][\w.-]{0,99}$/),
      z.object({ removing: wait.optional(), adding: wait.optional() }),
    )
    .refine(all => Object.keys(all).length <= 100),
})

/** What of a run goes into the file: a text that would not be read back is left out. */
export const storableRun = (run: string | null): string | null => wait.shape.run.safeParse(run).data ?? null

/** Environments may share a release path, so each has its own file. With ".json" at the end no name is another's temporary one. */
const file = (site: Site): string => quote(`/waits-${checkedSite(site).environment ?? '_'}.json`)

/** Shell text for the probe; _tab is a tab. */
export const storedWaitsLines = (site: Site): string =>
  `_f=$S${file(site)}
if [ -f "$_f" ]; then { tail -c ${mostBytes} "$_f"; echo; } | sed "s/^/waits$_tab/"; fi
`

/** What those lines hold; null: nothing, or nothing that can be used. Never throws. */
export function parseStoredWaits(lines: string): StoredWaits | null {
  try {
    return record.safeParse(JSON.parse(lines)).data ?? null
  } catch {
    return null
  }
}

/** Shell text for scripts of this folder that hold the lock: the whole file at once, and on disk. */
export const storeWaits = (site: Site, waits: StoredWaits): string =>
  `replace "$S"${file(site)} ${quote(JSON.stringify(waits))} && fsync "$S" || exit ${exitCodes.noRoom}
`

/** `storeWaits` as a script by itself. */
export const storeWaitsAlone = (site: Site, owner: Owner, waits: StoredWaits): string =>
  fenced(site, owner, `${storeWaits(site, waits)}exit 0`)
