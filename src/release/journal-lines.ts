/** Journal entries as shell text, for use inside the scripts of this folder. */
import { DeployError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import type { JournalBody } from './journal-entry.ts'

/** A line is one write of at most 4095 bytes: longer ones are torn apart by other writers. The rest is checksum, time and number. */
const longest = 3900

/** Entries with several receipts become one for each: their reader puts them together again. */
function apart(entry: JournalBody): readonly JournalBody[] {
  if (entry.type !== 'removing' && entry.type !== 'left-out') return [entry]
  return entry.receipts.map(r => ({ type: entry.type, receipts: [r] }))
}

/** An entry as JSON. Throws DeployError when it is too long for a line. */
function entryJson(entry: JournalBody): string {
  const json = JSON.stringify(entry)
  if (Buffer.byteLength(json) > longest)
    throw new DeployError(
      `an entry "${entry.type}" of ${Buffer.byteLength(json)} bytes does not fit into the journal`,
      {
        hint: 'a balancer with very many members makes long receipts: divide it in the manifest',
      },
    )
  return json
}

/** Shell text that writes an intent: what follows it does not happen unless it is on disk. Throws DeployError, see `entryJson`. */
export const journal = (entry: JournalBody): string =>
  apart(entry)
    .map(e => `j ${quote(entryJson(e))} || exit ${exitCodes.noRoom}\n`)
    .join('')

/** Shell text that writes what came of something. It did happen: a journal that cannot be written changes nothing about that. */
export const journalOutcome = (entry: JournalBody): string =>
  apart(entry)
    .map(e => `j ${quote(entryJson(e))} || :\n`)
    .join('')
