/** What was deployed on a server, one JSON line per deployment, and which migrations ran. Kept for people, `status` and the gate. */
import { z } from 'zod'
import { DeployError } from '../errors.ts'
import { quote } from '../fleet/quote.ts'
import { exitCodes } from './exit-codes.ts'
import { fenced } from './fence.ts'
import { journalOutcome } from './journal-lines.ts'
import type { Owner } from './prelude.ts'
import { checkedRelease, type Site } from './site.ts'

const text = z.string().max(1000)
const maybe = text.nullable()
const at = { at: z.number() }

const deployment = z.object({
  /** The lock token of the deployment. */
  deployment: text,
  command: text,
  release: maybe,
  previous: maybe,
  commit: maybe,
  strategy: text,
  outcome: text,
  /** It failed here by itself, and did not only go back with the others. */
  failed: z.boolean().optional(),
  /** It came as far as the switch. */
  tried: z.boolean().optional(),
  rotation: text,
  /** What `current` pointed to afterwards, where that is known. */
  current: maybe.optional(),
  /** The run whose deployment was cut off, in the line of the recovery that brought it to an end. */
  recovers: maybe.optional(),
  /** How the whole deployment went. */
  result: text.optional(),
  run: maybe,
  actor: maybe,
})
export type HistoryEntry = Readonly<z.output<typeof deployment>>

const migration = z.object({
  release: text,
  commit: maybe,
  /** null: it ended without telling. */
  code: z.number().int().nullable(),
  run: maybe,
})
export type MigrationRecord = Readonly<z.output<typeof migration>>

/** `at`: seconds since 1970, by the server's clock. */
export type At<T> = T & { readonly at: number }

function lineJson(entry: HistoryEntry | MigrationRecord): string {
  const json = JSON.stringify(entry)
  if (Buffer.byteLength(json) > 3900) throw new DeployError('a line of the history would be longer than 3900 bytes')
  return json
}

/** Shell text: another line at the end of a file under S; after 1 MiB it is begun anew, with the old one beside it. */
const append = (file: string, entry: HistoryEntry | MigrationRecord): string => `_f=$S/${file}
if [ -f "$_f" ] && [ "$(wc -c <"$_f")" -gt 1048576 ]; then rename "$_f" "$_f.1"; fi
_e=${quote(lineJson(entry))}
put "$_f" "{\\"at\\":$(date +%s),\${_e#?}" || die ${exitCodes.noRoom} "$_f cannot be written"
`

/** Shell text for scripts of this folder. Throws DeployError for an entry of more than 3900 bytes. */
export const historyLine = (entry: HistoryEntry): string => append('history', entry)

/**
 * Records that a release was migrated, and with what exit code, in the state directory and the journal. What it printed goes: it was
 * shown, and nobody can say what a script prints.
 */
export const recordMigration = (site: Site, owner: Owner, record: MigrationRecord): string => {
  checkedRelease(record.release)
  return fenced(
    site,
    owner,
    `${append('migrated', record)}${journalOutcome({ type: 'migrated', code: record.code })}rm -f "$S/migrations/${record.release}".*/output
exit 0`,
  )
}

function parseLines<T>(schema: z.ZodType<T>, lines: string): readonly T[] {
  return lines.split('\n').flatMap(line => {
    try {
      const read = schema.safeParse(JSON.parse(line))
      return read.success ? [read.data] : []
    } catch {
      return []
    }
  })
}

/** Oldest first; what is torn or not understood is left out. Never throws. */
export const parseHistory = (lines: string): readonly At<HistoryEntry>[] => parseLines(deployment.extend(at), lines)
export const parseMigrations = (lines: string): readonly At<MigrationRecord>[] =>
  parseLines(migration.extend(at), lines)
