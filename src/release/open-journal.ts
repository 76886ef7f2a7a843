/** A deployment's journal on a server begins: a new file, the one before kept as `journal.1`. */
import { exitCodes } from './exit-codes.ts'
import { fenced } from './fence.ts'
import type { JournalBody, StoredReceipt } from './journal-entry.ts'
import { journal } from './journal-lines.ts'
import { changing, type Owner } from './prelude.ts'
import type { Site } from './site.ts'

export type Opened = Omit<Extract<JournalBody, { type: 'opened' }>, 'type'>

/**
 * Opens the journal. `leftOut`: receipts of a server that an earlier deployment left out, carried over, for the old file goes. Reserves
 * 64 KiB that entries may use on a disk that is full later. The new file is complete before it takes the old one's place.
 */
export const openJournal = (site: Site, owner: Owner, opened: Opened, leftOut: readonly StoredReceipt[] = []): string =>
  fenced(
    site,
    owner,
    `if [ ! -s "$S/room" ]; then
  { dd if=/dev/zero of="$S/room" bs=1024 count=64 2>/dev/null && fsync "$S/room"; } || { rm -f "$S/room"; die ${exitCodes.noRoom} "there is no room for the journal in $S"; }
fi
J=$S/journal.new
rm -f "$J"
${journal({ type: 'opened', ...opened })}${journal({ type: 'left-out', receipts: [...leftOut] })}held || lost
J=$S/journal
if [ -f "$J" ]; then rm -f "$J.1"; ln "$J" "$J.1" 2>/dev/null || cp "$J" "$J.1" || exit ${exitCodes.noRoom}; fi
rename "$J.new" "$J" || die ${exitCodes.renameFailed} "$J cannot be begun"
fsync "$S"`,
  )

/** Writes entries to the journal and does nothing else. */
export const note = (site: Site, owner: Owner, entries: readonly JournalBody[]): string =>
  `${changing(site, owner)}held || lost\n${entries.map(journal).join('')}exit 0\n`
