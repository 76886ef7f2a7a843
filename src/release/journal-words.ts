/** What a journal says, in words: for `status`, and for what a recovery found. Pure. */
import type { JournalEntry } from './journal-entry.ts'

/** A release's directory, or another tool's link: its last part says it. */
const nameOf = (link: string | null) => link?.replace(/^releases\//, '') ?? 'nothing'
const places = (receipts: readonly { readonly balancer: string }[]) => receipts.map(r => r.balancer).join(', ')

const plain = {
  staging: 'staging the release',
  staged: 'release staged',
  preparing: 'running the prepare steps',
  prepared: 'release prepared',
  migrating: 'migrating',
  out: 'out of rotation',
  activating: 'activating',
  verifying: 'verifying',
  verified: 'verified',
  adding: 'putting it back in rotation',
  restoring: 'putting it back in rotation',
  restored: 'back in rotation',
  'rolling-back': 'going back to the release before',
  'rolled-back': 'went back to the release before',
} as const

/** One line, without its time. What a server wrote stands in it: nothing here is safe to print as it is. */
export function journalWords(entry: JournalEntry): string {
  switch (entry.type) {
    case 'opened':
      return `deployment of ${entry.release ?? 'steps alone'} begins (${entry.strategy}); ${entry.previous === null ? 'no release before' : `before: ${nameOf(entry.previous)}`}`
    case 'migrated':
      if (entry.code === null) return 'the migration ended without telling how'
      return entry.code === 0 ? 'migrated' : `the migration failed with exit code ${entry.code}`
    case 'removing':
      return `taking it out of rotation at ${places(entry.receipts)}`
    case 'switching':
      return `switching from ${nameOf(entry.from)} to ${nameOf(entry.to)}`
    case 'switched':
      return `switched to ${nameOf(entry.to)}`
    case 'activated':
      return entry.ok ? 'activated' : 'the activation failed'
    case 'left-out':
      return `left out of rotation at ${places(entry.receipts)}`
    case 'closed':
      return `ended: ${entry.outcome}${entry.rotation === 'none' ? '' : `, rotation ${entry.rotation}`}`
    default:
      return plain[entry.type]
  }
}
