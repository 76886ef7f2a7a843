/** What a journal says, and what of it may be believed: every field is checked, for a server's word is data, not an order. */
import { z } from 'zod'

const text = z.string().max(2000)
const maybe = text.nullable()

/** A balancer's receipt as it lies in a journal; what `data` holds is checked by the provider. */
const receipt = z.object({
  balancer: z.string().max(100),
  server: z.string().max(300),
  before: z.enum(['serving', 'warming', 'draining', 'out', 'unhealthy', 'unknown']),
  data: z.record(z.string(), z.unknown()),
})
export type StoredReceipt = Readonly<z.output<typeof receipt>>

const bare = [
  ...(['staging', 'staged', 'preparing', 'prepared', 'migrating', 'out', 'activating', 'verifying'] as const),
  ...(['verified', 'adding', 'restoring', 'restored', 'rolling-back', 'rolled-back'] as const),
]

const body = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('opened'),
    /** The lock token of the deployment. */
    deployment: text,
    run: maybe,
    release: maybe,
    /** What `current` pointed to. */
    previous: maybe,
    strategy: text,
    commit: maybe,
  }),
  z.object({ type: z.enum(bare) }),
  /** null: it ended without telling. */
  z.object({ type: z.literal('migrated'), code: z.number().int().nullable() }),
  z.object({ type: z.literal('removing'), receipts: z.array(receipt) }),
  z.object({ type: z.literal('switching'), from: maybe, to: text }),
  z.object({ type: z.literal('switched'), to: text }),
  z.object({ type: z.literal('activated'), ok: z.boolean() }),
  /** Receipts of a server that should serve and does not; they are carried into the next deployment's journal. */
  z.object({ type: z.literal('left-out'), receipts: z.array(receipt) }),
  /** The deployment decided about the server. */
  z.object({ type: z.literal('closed'), outcome: text, rotation: text }),
])
export type JournalBody = z.input<typeof body>

export const journalEntry = z.intersection(z.object({ at: z.number(), n: z.number().int().nonnegative() }), body)
/** `at`: seconds since 1970 by the server's clock; `n`: the fencing number of who wrote it. */
export type JournalEntry = z.output<typeof journalEntry>
