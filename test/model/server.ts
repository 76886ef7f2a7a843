/** A server in memory: releases, marks, `current`, the application, journal, lock with lease and token, and what runs there. */
import { cksum } from '../../src/release/cksum.ts'
import type { JournalBody } from '../../src/release/journal-entry.ts'
import type { Timeline } from './timeline.ts'

/** A script under way: each `yield` is milliseconds until what comes next; its value is the exit code. */
export type Program = Generator<number, number, void>

/** What a script prints. */
export interface Printed {
  out: string
  err: string
}

/** A process group of a script. */
export interface Group {
  readonly id: number
  /** sudo: the SSH user cannot end it. */
  readonly others: boolean
  alive(): boolean
  end(): void
}

export interface Release {
  complete: boolean
  /** By the mark: what nobody marked counts for nothing. */
  mark: 'prepared' | 'good' | 'bad' | null
  order: number
  prepared: boolean
}

export interface Migration {
  starts: number
  code: number | null
}

export interface ModelServer {
  readonly name: string
  readonly releases: Map<string, Release>
  readonly staging: Set<string>
  readonly migrations: Map<string, Migration>
  current: string | null
  /** The release that the application runs; null: it does not. */
  runs: string | null
  /** When that changed last. */
  since: number
  journal: string[]
  history: string[]
  migrated: string[]
  /** by: who had it last, also when it is free. */
  lock: {
    n: number
    token: string | null
    by: string
    expires: number
    info: string
    readonly groups: Set<Group>
  } | null
}

export const modelServer = (name: string, release: string): ModelServer => ({
  name,
  releases: new Map([[release, { complete: true, mark: 'good', order: 1, prepared: true }]]),
  staging: new Set(),
  migrations: new Map(),
  current: release,
  runs: release,
  since: -60_000,
  journal: [],
  history: [
    historyOf({
      deployment: 'before',
      command: 'deploy',
      release,
      previous: null,
      commit: null,
      strategy: 'serial',
      outcome: 'succeeded',
      rotation: 'in',
      result: 'success',
      run: null,
      actor: null,
    }),
  ],
  migrated: [],
  lock: null,
})

const utf8 = new TextEncoder()
const date = 1_800_000_000

export function historyOf(entry: object): string {
  return JSON.stringify({ at: date, ...entry })
}

/** A line as `j` of prelude.ts writes it, with the number of who held the lock when its script began. */
export function journalLine(n: number, time: Timeline, body: JournalBody): string {
  const json = JSON.stringify({ at: date + Math.floor(time.now() / 1000), n, ...body })
  return JSON.stringify({ c: cksum(utf8.encode(json)), e: 0 }).replace('"e":0', `"e":${json}`)
}

/** As journal-lines.ts takes them apart. */
export const lines = (body: JournalBody): readonly JournalBody[] =>
  body.type === 'removing' || body.type === 'left-out'
    ? body.receipts.map(r => ({ type: body.type, receipts: [r] }))
    : [body]

/** Seconds of the server's own clock. */
export const uptime = (time: Timeline): number => Math.floor(time.now() / 1000) + 1000

export const isOver = (s: ModelServer, time: Timeline): boolean =>
  s.lock !== null && (uptime(time) >= s.lock.expires || s.lock.expires - uptime(time) > 60)

function lockText(s: ModelServer, time: Timeline): string {
  if (s.lock === null) return 'lock\tnone\n'
  if (s.lock.token === null) return 'lock\tfree\n'
  return `lock\t${isOver(s, time) ? 'over' : s.lock.expires - uptime(time)}\nholder\t${s.lock.info}\n`
}

/** What `probe` prints. */
export function probeText(s: ModelServer, time: Timeline): string {
  const marks = [...s.releases].filter(([, r]) => r.mark !== null)
  const keyed = (key: string, all: readonly string[]) => all.map(line => `${key}\t${line}\n`).join('')
  return [
    `boot\tboot\nuptime\t${uptime(time)}\n`,
    s.current === null ? '' : `current\tlink\nlink\treleases/${s.current}\nrelease\t${s.current}\n`,
    s.current !== null && !s.releases.has(s.current) ? 'dangling\tyes\n' : '',
    marks.map(([id, r]) => `mark\t${id}\t${r.mark}\t${r.order}\t${date}\n`).join(''),
    keyed('journal', s.journal),
    keyed('history', s.history),
    keyed('migrated', s.migrated),
    [...s.migrations]
      .map(([id, m]) => `migration\t${id}\t${m.code === null ? 'running' : 'ended'}\t${m.code ?? '-'}\n`)
      .join(''),
    lockText(s, time),
    'probed\tyes\n',
  ].join('')
}
