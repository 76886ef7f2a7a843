/** What a run keeps for its post step about the comment on a pull request, so that one that was cut off leaves a true one. */
import type { SaveState } from './record-state.ts'

export interface CommentAbout {
  /** Number of the pull request. */
  readonly number: number
  readonly application: string
  readonly commit: string | null
}

export interface LastComment {
  readonly body: string
  readonly create: boolean
}

/** Names of the values; the runner hands each to post as STATE_<name>. */
const names = { about: 'comment', end: 'commentEnd', said: 'commentSaid' } as const

/** Bytes of a last word that is kept: Linux takes no variable of more than 128 kB. */
const longestEnd = 30_000

export const keepUntilSaid = (save: SaveState) => ({
  begun: (about: CommentAbout) => save(names.about, JSON.stringify(about)),
  /** Kept before it is said. */
  ending: (end: LastComment) => {
    const text = JSON.stringify(end)
    if (Buffer.byteLength(text) <= longestEnd) save(names.end, text)
  },
  said: () => save(names.said, 'true'),
})

export interface OpenComment {
  readonly about: CommentAbout
  /** null: the run had no last word, or a long one. */
  readonly end: LastComment | null
}

const parsed = <T>(text: string | undefined): T | null => {
  try {
    return text === undefined ? null : (JSON.parse(text) as T)
  } catch {
    return null
  }
}

/** The comment that main did not bring up to date, from post's environment; null: none. */
export function openComment(env: Readonly<Record<string, string | undefined>>): OpenComment | null {
  const of = (name: keyof typeof names) => env[`STATE_${names[name]}`]
  const about = parsed<CommentAbout>(of('about'))
  if (about === null || of('said') !== undefined) return null
  return { about, end: parsed<LastComment>(of('end')) }
}
