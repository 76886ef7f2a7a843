/** Journals read: which lines count, and where the deployment that wrote them stands. Pure. */
import { cksum } from './cksum.ts'
import { type JournalEntry, journalEntry, type StoredReceipt } from './journal-entry.ts'

export interface Journal {
  readonly entries: readonly JournalEntry[]
  /** Lines before the last that do not fit their checksum or are not understood, from 1. A torn last line was never written. */
  readonly corrupt: readonly number[]
  /** Lines of an owner that had lost the lock when it wrote, from 1. They do not count. */
  readonly stale: readonly number[]
}

/** Longer journals are cut at their beginning: a deployment writes some 30 lines. */
export const journalBytes = 256 * 1024

const utf8 = new TextEncoder()

function lineEntry(line: string): JournalEntry | null {
  const parts = /^\{"c":"(\d{1,10} \d{1,4})","e":(\{.*\})\}$/.exec(line)
  const [, sum, json] = parts ?? []
  if (sum === undefined || json === undefined || cksum(utf8.encode(json)) !== sum) return null
  try {
    const read = journalEntry.safeParse(JSON.parse(json))
    return read.success ? read.data : null
  } catch {
    return null
  }
}

/** The text of a journal as lines that count. Never throws. */
export function parseJournal(journal: string): Journal {
  const lines = journal.split('\n')
  const entries: JournalEntry[] = []
  const [corrupt, stale]: [number[], number[]] = [[], []]
  const last = lines.findLastIndex(line => line !== '')
  lines.forEach((line, index) => {
    if (line === '') return
    const entry = lineEntry(line)
    if (entry === null) {
      if (index !== last) corrupt.push(index + 1)
    } else if (entry.n < (entries.at(-1)?.n ?? 0)) stale.push(index + 1)
    else entries.push(entry)
  })
  return { entries, corrupt, stale }
}

export interface JournalState {
  /** The deployment ended before it could decide about the server. */
  readonly open: boolean
  readonly opened: Extract<JournalEntry, { type: 'opened' }> | null
  readonly last: JournalEntry | null
  /** The server was done with before it was to be taken out: what `current` points to was activated, and may have gone bad since. */
  readonly doneBefore: boolean
  /** The deployment was on its way back here. */
  readonly goingBack: boolean
  /** What this deployment removed and has not restored. */
  readonly receipts: readonly StoredReceipt[]
  /** Of a server that was left out, by this deployment or one before. */
  readonly leftOut: readonly StoredReceipt[]
}

const merged = (before: readonly StoredReceipt[], more: readonly StoredReceipt[]): readonly StoredReceipt[] => [
  ...before.filter(b => !more.some(m => m.balancer === b.balancer)),
  ...more,
]

/** What the last script of a deployment writes once more, before it closes the journal again: cut off in between, it is decided still. */
const repeated: ReadonlySet<JournalEntry['type']> = new Set(['restored', 'left-out'])

/** The first line that tells of something done to the server. */
const firstStep = (own: readonly JournalEntry[]): number =>
  own.findIndex(e => e.type !== 'opened' && e.type !== 'left-out')

/** Where a deployment stands by its journal; no entries: there is none, and it is closed. */
export function journalState(entries: readonly JournalEntry[]): JournalState {
  const start = entries.findLastIndex(e => e.type === 'opened')
  const own = start < 0 ? entries : entries.slice(start)
  const first = own[0]
  const receipts = { removed: [] as readonly StoredReceipt[], leftOut: [] as readonly StoredReceipt[] }
  for (const entry of own) {
    if (entry.type === 'removing') receipts.removed = merged(receipts.removed, entry.receipts)
    if (entry.type === 'left-out') receipts.leftOut = merged(receipts.leftOut, entry.receipts)
    if (entry.type === 'restored') {
      receipts.removed = []
      receipts.leftOut = []
    }
  }
  const last = own.at(-1) ?? null
  return {
    open: last !== null && own.findLast(e => !repeated.has(e.type))?.type !== 'closed',
    opened: first?.type === 'opened' ? first : null,
    last,
    doneBefore: own.findIndex(e => e.type === 'activated' && e.ok) === firstStep(own),
    goingBack: own.some(e => e.type === 'rolling-back'),
    receipts: receipts.removed,
    leftOut: receipts.leftOut,
  }
}
