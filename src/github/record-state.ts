/** What a run keeps for its post step about its record, so that one that was cut off is closed, also when it was cut off while it was made. */
import type { RecordEnd } from './record-words.ts'

type Env = Readonly<Record<string, string | undefined>>
export type SaveState = (name: string, value: string) => void

export interface AskedFor {
  readonly key: string
  readonly environment: string
  readonly task: 'deploy' | 'rollback'
}

export interface LastWord extends RecordEnd {
  readonly environmentUrl: string | null
}

/** Names of the values; the runner hands each to post as STATE_<name>. */
const names = {
  asked: 'deploymentAsked',
  id: 'deployment',
  end: 'deploymentEnd',
  told: 'deploymentTold',
  closed: 'deploymentClosed',
} as const

export const keepUntilClosed = (save: SaveState) => ({
  asked: (what: AskedFor) => save(names.asked, JSON.stringify(what)),
  made: (id: number) => save(names.id, String(id)),
  /** Kept before it is said. */
  ending: (end: LastWord) => save(names.end, JSON.stringify(end)),
  /** There is nothing to close, any more or at all. */
  closed: () => save(names.closed, 'true'),
})

/** The run has had its warning about GitHub. */
export const keepTold = (save: SaveState) => save(names.told, 'true')
export const wasTold = (env: Env): boolean => env[`STATE_${names.told}`] !== undefined

export interface OpenRecord {
  /** null: it was asked for, and no answer came. */
  readonly id: number | null
  readonly asked: AskedFor
  readonly end: LastWord | null
}

const parsed = <T>(text: string | undefined): T | null => {
  try {
    return text === undefined ? null : (JSON.parse(text) as T)
  } catch {
    return null
  }
}

/** The record that main left open, from post's environment; null: none. */
export function openRecord(env: Env): OpenRecord | null {
  const of = (name: keyof typeof names) => env[`STATE_${names[name]}`]
  const asked = parsed<AskedFor>(of('asked'))
  if (asked === null || of('closed') !== undefined) return null
  const id = Number(of('id'))
  return {
    id: Number.isSafeInteger(id) && id > 0 ? id : null,
    asked,
    end: parsed<LastWord>(of('end')),
  }
}
