/** A deployment ends on a server: its mark, its line in the history, its journal closed, old releases gone. */
import { quote, quoteAll } from '../fleet/quote.ts'
import type { StoredWaits } from '../manifest/kept-waits.ts'
import { exitCodes } from './exit-codes.ts'
import { fenced } from './fence.ts'
import { type HistoryEntry, historyLine } from './history.ts'
import type { StoredReceipt } from './journal-entry.ts'
import { journal } from './journal-lines.ts'
import { markFunctions, places, removing } from './marks.ts'
import type { Owner } from './prelude.ts'
import { checkedRelease, type Site } from './site.ts'
import { storeWaits } from './stored-waits.ts'

export interface Finish {
  /** How the release did here; null: nothing is said about it. */
  readonly mark: { readonly release: string; readonly result: 'good' | 'bad' } | null
  readonly history: HistoryEntry | null
  /** The decision; null: the journal stays open, for `recover`. */
  readonly closed: { readonly outcome: string; readonly rotation: string } | null
  /** It was put back: receipts written before do not count any more. */
  readonly restored: boolean
  /** Receipts of a server that ends left out. */
  readonly leftOut: readonly StoredReceipt[]
  /** Releases that go, from `prunable`. One without our mark, or that `current` points to, stays whatever stands here. */
  readonly remove: readonly string[]
  /** The waits that are in force from now on; null: what lies there stays. */
  readonly waits: StoredWaits | null
}

const prune = (ids: readonly string[]): string =>
  ids.length === 0
    ? ''
    : `for I in ${quoteAll(ids.map(checkedRelease))}; do
  marked "$I" || continue
  if [ "$P/current" -ef "$R/$I" ]; then continue; fi
  held || lost
  vanish "$R/$I"
  rm -f "$S/migrations/$I".*/output
done
`

/** The journal is closed before anything is removed: that may take its time. */
export function finish(site: Site, owner: Owner, end: Finish): string {
  const withReleases = site.releasePath !== null
  const marking =
    end.mark === null || !withReleases
      ? ''
      : `if marked ${quote(checkedRelease(end.mark.release))}; then setMark ${quote(end.mark.release)} ${end.mark.result} || exit ${exitCodes.noRoom}; fi\n`
  const closing =
    end.closed === null
      ? ''
      : (end.restored ? journal({ type: 'restored' }) : '') +
        journal({ type: 'left-out', receipts: [...end.leftOut] }) +
        journal({ type: 'closed', ...end.closed })
  return fenced(
    site,
    owner,
    [
      withReleases ? `${places(site)}${markFunctions}${removing}` : '',
      marking,
      end.history === null ? '' : historyLine(end.history),
      end.waits === null ? '' : storeWaits(site, end.waits),
      closing,
      withReleases ? prune(end.remove) : '',
      'exit 0',
    ].join('\n'),
  )
}
