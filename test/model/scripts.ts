/** What the scripts of src/release/ do on a server of the model, piece by piece: between two pieces anything may happen. */
import { exitCodes } from '../../src/release/exit-codes.ts'
import type { Finish } from '../../src/release/finish.ts'
import type { JournalBody, StoredReceipt } from '../../src/release/journal-entry.ts'
import type { MigrationStart } from '../../src/release/migration.ts'
import type { Opened } from '../../src/release/open-journal.ts'
import type { Owner } from '../../src/release/prelude.ts'
import {
  type Group,
  historyOf,
  isOver,
  journalLine,
  lines,
  type ModelServer,
  type Printed,
  type Program,
  probeText,
  uptime,
} from './server.ts'
import type { Tag } from './tags.ts'
import type { Timeline } from './timeline.ts'

export interface Surroundings {
  readonly time: Timeline
  readonly random: () => number
  /** Something was changed on the server: `token` says by whom. */
  readonly changed: (server: ModelServer, token: string, what: string) => void
  /** Whether the release is one whose application never answers well. */
  readonly isBad: (release: string) => boolean
  readonly migrated: (release: string) => void
}

export interface Script {
  readonly script: string
  readonly s: ModelServer
  readonly on: Surroundings
  readonly printed: Printed
  readonly group: Group
  /** A step or check that is to end with failure, or never. */
  readonly fails: boolean
  readonly hangs: boolean
}

const short = 5

function* fenced({ s, printed, group }: Script, token: string, body: (n: number) => Program): Program {
  const held = s.lock
  if (held === null || held.token !== token) return lost(printed)
  held.groups.add(group)
  yield short
  const code = yield* body(held.n)
  s.lock?.groups.delete(group)
  return code
}
function lost(printed: Printed): number {
  printed.err += 'the lock on this server is no longer ours\n'
  return exitCodes.lockLost
}
const die = (printed: Printed, code: number, text: string): number => {
  printed.err += `${text}\n`
  return code
}
const write = ({ s, on }: Script, n: number, ...bodies: readonly JournalBody[]) => {
  for (const body of bodies.flatMap(lines)) s.journal.push(journalLine(n, on.time, body))
}

function* take(x: Script, { token, info }: Owner & { readonly info: unknown }): Program {
  const { s, on, printed } = x
  s.lock ??= { n: 0, token: null, by: '', expires: 0, info: 'null', groups: new Set() }
  const { lock } = s
  const expires = uptime(on.time) + 60
  if (lock.token === token) {
    lock.expires = expires
    printed.out += `taken\t${lock.n}\n`
    return 0
  }
  if (lock.token !== null && !isOver(s, on.time)) {
    printed.out += `held\t${lock.expires - uptime(on.time)}\nholder\t${lock.info}\n`
    return 0
  }
  const before = lock.token === null ? null : lock.info
  Object.assign(lock, { n: lock.n + 1, token, by: token, expires, info: JSON.stringify(info) })
  printed.out += `taken\t${lock.n}\n`
  if (before === null) return 0
  printed.out += `over\t${before}\n`
  yield* endGroups(x)
  return 0
}

function* endGroups({ s, printed }: Script): Generator<number, void, void> {
  const groups = s.lock?.groups ?? new Set()
  yield short
  for (const group of [...groups]) {
    if (group.others) yield 10_000
    else {
      group.end()
      groups.delete(group)
    }
    // One that ended by itself meanwhile has taken its name out of the entry.
    printed.out += `${groups.has(group) ? 'alive' : 'ended'}\t${group.id}\n`
  }
}

function* endLeft(x: Script, { token }: Owner): Program {
  if (x.s.lock?.token !== token) return lost(x.printed)
  yield* endGroups(x)
  x.printed.out += 'looked\tyes\n'
  return 0
}

function renew({ s, on, printed }: Script, { token }: Owner): number {
  if (s.lock?.token !== token) return lost(printed)
  s.lock.expires = uptime(on.time) + 60
  return 0
}

function* giveBack({ s, printed }: Script, { token }: Owner): Program {
  const lives = () => s.lock?.token === token && [...s.lock.groups].some(group => group.alive())
  if (lives()) yield 2000
  if (lives()) {
    printed.out += 'busy\n'
    return 0
  }
  if (s.lock?.token === token) {
    s.lock.token = null
    s.lock.groups.clear()
    printed.out += 'released\n'
  } else printed.out += 'gone\n'
  return 0
}

function* openJournal(x: Script, n: number, opened: Opened, leftOut: readonly StoredReceipt[]): Program {
  const next: string[] = []
  const bodies: readonly JournalBody[] = [
    { type: 'opened', ...opened },
    { type: 'left-out', receipts: [...leftOut] },
  ]
  for (const body of bodies) next.push(...lines(body).map(line => journalLine(n, x.on.time, line)))
  yield short
  x.s.journal = next
  return 0
}

function* switched(x: Script, token: string, n: number, to: string): Program {
  const { s, on, printed } = x
  const there = s.releases.get(to)
  if (there === undefined || there.mark === null)
    return die(printed, exitCodes.notPrepared, `the release ${to} is not there, or was never prepared wholly`)
  printed.out += `previous\treleases/${s.current}\n`
  write(x, n, { type: 'switching', from: `releases/${s.current}`, to: `releases/${to}` })
  yield short
  // The link lies in the held entry: a lock that has moved on takes it away.
  if (s.lock?.token !== token) return lost(printed)
  s.current = to
  on.changed(s, token, `current → ${to}`)
  printed.out += `switched\treleases/${to}\n`
  yield short
  write(x, n, { type: 'switched', to: `releases/${to}` })
  return 0
}

function* stageBegin(x: Script, n: number, token: string, id: string): Program {
  const { s, on, printed } = x
  const there = s.releases.get(id)
  if (there !== undefined && there.mark !== null) {
    printed.out += 'marked\n'
    return 0
  }
  if (s.current === id) return exitCodes.unmarkedIsCurrent
  write(x, n, { type: 'staging' })
  yield short
  s.releases.delete(id)
  s.staging.add(id)
  on.changed(s, token, `staging ${id}`)
  printed.out += 'stage\n'
  return 0
}

function* stageCommit(x: Script, n: number, token: string, id: string): Program {
  const { s, on, printed } = x
  if (!s.staging.has(id)) return die(printed, exitCodes.unpackFailed, 'the staging directory is not there')
  yield short
  s.staging.delete(id)
  s.releases.set(id, { complete: true, mark: null, order: 0, prepared: false })
  on.changed(s, token, `staged ${id}`)
  yield short
  write(x, n, { type: 'staged' })
  return 0
}

const mark = (s: ModelServer, id: string, result: 'prepared' | 'good' | 'bad') => {
  const there = s.releases.get(id)
  if (there === undefined) return
  there.mark = result
  there.order = Math.max(0, ...[...s.releases.values()].map(r => r.order)) + 1
}

function* marked(x: Script, n: number, token: string, id: string): Program {
  const { s, on, printed } = x
  if (!s.releases.has(id)) return die(printed, exitCodes.notPrepared, `releases/${id} is not there`)
  yield short
  if (s.releases.get(id)?.mark === null) mark(s, id, 'prepared')
  on.changed(s, token, `marked ${id}`)
  yield short
  write(x, n, { type: 'prepared' })
  return 0
}

function* discard(x: Script, token: string, id: string): Program {
  const { s, on, printed } = x
  const there = s.releases.get(id)
  if ((there !== undefined && there.mark !== null) || s.current === id) {
    printed.out += 'kept\n'
    return 0
  }
  yield short
  s.releases.delete(id)
  s.staging.delete(id)
  on.changed(s, token, `discarded ${id}`)
  printed.out += 'removed\n'
  return 0
}

function* finish(x: Script, n: number, token: string, end: Finish): Program {
  const { s, on, printed } = x
  if (end.mark !== null && s.releases.get(end.mark.release)?.mark != null) mark(s, end.mark.release, end.mark.result)
  yield short
  if (end.history !== null) s.history.push(historyOf(end.history))
  yield short
  if (end.closed !== null) {
    if (end.restored) write(x, n, { type: 'restored' })
    yield short
    write(x, n, { type: 'left-out', receipts: [...end.leftOut] })
    yield short
    write(x, n, { type: 'closed', ...end.closed })
    on.changed(s, token, `closed: ${end.closed.outcome}`)
  }
  for (const id of end.remove) {
    yield short
    if (s.releases.get(id)?.mark == null || s.current === id) continue
    if (s.lock?.token !== token) return lost(printed)
    s.releases.delete(id)
    on.changed(s, token, `removed ${id}`)
    printed.out += `removed\t${id}\n`
  }
  return 0
}

function* startMigration(x: Script, n: number, token: string, id: string, forced: boolean): Program {
  const { s, on, printed } = x
  const before = s.migrations.get(id)
  if (before !== undefined && (before.code === null || (before.code === 0 && !forced))) {
    printed.out += `migration\t${before.code === null ? 'running' : 'done'}\n`
    return 0
  }
  write(x, n, { type: 'migrating' })
  yield short
  if (s.lock?.token !== token) return lost(printed)
  const migration = { starts: (before?.starts ?? 0) + 1, code: null as number | null }
  s.migrations.set(id, migration)
  on.changed(s, token, `migrating ${id}`)
  on.migrated(id)
  on.time.at(500 + on.random() * 20_000, () => {
    migration.code = 0
  })
  printed.out += 'migration\tstarted\n'
  return 0
}

function* follow({ s, printed }: Script, id: string): Program {
  for (;;) {
    const migration = s.migrations.get(id)
    if (migration === undefined) {
      printed.err += 'migration\tnone\t-\n'
      return 69
    }
    if (migration.code !== null) {
      printed.err += `migration\tended\t${migration.code}\n`
      return migration.code
    }
    yield 300
  }
}

function* record(x: Script, n: number, entry: { readonly release: string; readonly code: number | null }): Program {
  yield short
  x.s.migrated.push(historyOf(entry))
  write(x, n, { type: 'migrated', code: entry.code })
  return 0
}

interface Step {
  readonly script: string
  readonly env: Readonly<Record<string, string>>
}

/** A user's script. The application is down while it is activated. */
function* step({ s, on, fails, hangs }: Script, token: string, { script, env }: Step): Program {
  const release = env['DEPLOY_RELEASE'] ?? ''
  if (hangs) yield 3_600_000
  switch (script) {
    case 'check':
      yield 20
      return fails || s.runs !== release || on.isBad(release) ? 1 : 0
    case 'prepare': {
      yield 100 + on.random() * 3000
      const there = s.releases.get(release)
      if (there !== undefined && !fails) there.prepared = true
      on.changed(s, token, `prepared ${release}`)
      return fails ? 1 : 0
    }
    case 'activate':
      s.runs = null
      s.since = on.time.now()
      on.changed(s, token, 'the application is stopped')
      yield 100 + on.random() * 8000
      if (fails) return 1
      s.runs = release
      s.since = on.time.now()
      on.changed(s, token, `the application runs ${release}`)
      return 0
    default:
      throw new Error(`the model knows no script ${script}`)
  }
}

/** A script is what its outermost tag says; what lies within is what that one was made of. */
export function* run(x: Script, tags: readonly Tag[]): Program {
  const names = tags.map(t => t.of)
  const last = tags.at(-1)
  if (last === undefined) throw new Error(`the model does not know this script: ${x.script.slice(-300)}`)
  const args = last.args as readonly unknown[]
  const owner = args[1] as Owner
  const [, , third, fourth] = args
  const release = third as string
  const fence = (body: (n: number) => Program) => fenced(x, owner.token, body)
  const inner = () => tags.find(t => t.of === 'stepScript')?.args[0] as unknown as Step
  switch (last.of) {
    case 'probe': {
      const lock = tags.find(t => t.of === 'takeLock')
      const code = lock === undefined ? 0 : yield* take(x, lock.args[1] as never)
      if (code === 0) x.printed.out += probeText(x.s, x.on.time)
      return code
    }
    case 'renewLock':
      return renew(x, owner)
    case 'endLeft':
      return yield* endLeft(x, owner)
    case 'releaseLock':
      return yield* giveBack(x, owner)
    case 'note': {
      const n = x.s.lock?.n ?? 0
      if (x.s.lock?.token !== owner.token) return lost(x.printed)
      yield short
      write(x, n, ...(third as readonly JournalBody[]))
      return 0
    }
    case 'openJournal':
      return yield* fence(n => openJournal(x, n, third as Opened, (fourth ?? []) as readonly StoredReceipt[]))
    case 'stageBegin':
      return yield* fence(n => stageBegin(x, n, owner.token, release))
    case 'stageCommit':
      return yield* fence(n => stageCommit(x, n, owner.token, release))
    case 'mark':
      return yield* fence(n => marked(x, n, owner.token, release))
    case 'discardStaging':
      return yield* fence(() => discard(x, owner.token, release))
    case 'switchTo':
    case 'switchBack':
      return yield* fence(n => switched(x, owner.token, n, release.replace(/^releases\//, '')))
    case 'finish':
      return yield* fence(n => finish(x, n, owner.token, third as Finish))
    case 'sweepRemains':
      return yield* fence(function* () {
        yield short
        x.s.staging.clear()
        return 0
      })
    case 'startMigration': {
      const start = third as MigrationStart
      return yield* fence(n => startMigration(x, n, owner.token, start.release, start.forced))
    }
    case 'recordMigration':
      return yield* fence(n => record(x, n, third as never))
    case 'followMigration':
      return yield* follow(x, args[1] as string)
    case 'fenced':
      return yield* fence(() => step(x, owner.token, inner()))
    case 'stepScript':
      return yield* step(x, 'nobody', inner())
    default:
      throw new Error(`the model knows no script of ${names.join(' in ')}`)
  }
}
