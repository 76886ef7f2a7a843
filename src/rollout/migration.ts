/**
 * The migration, carried through: started detached once, followed to its end over lost connections, and recorded. A cancel does not end
 * it; the next run finds it again (semantics.md, The migrations gate).
 */
import type { Clock } from '../clock.ts'
import { CancelledError, ConnectionError, LockLostError, messageOf, StepError } from '../errors.ts'
import type { Output } from '../fleet/connection.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { recordMigration } from '../release/history.ts'
import { followMigration, parseFollow, parseMigrationStart, startMigration } from '../release/migration.ts'
import type { Emit } from '../report/events.ts'
import { printed, type Session, shortly } from './session.ts'
import { ScriptError } from './steps.ts'
import { commitOf } from './variables.ts'

export interface MigrationRun {
  readonly session: Session
  readonly emit: Emit
  readonly clock: Clock
  readonly script: string
  readonly name: string
  /** Seconds it is waited for. */
  readonly timeout: number
  readonly release: string
  readonly commit: string | null
  readonly run: string | null
  readonly forced: boolean
}

const tailCharacters = 4000
/** Seconds before the connection is made again. */
const again = 1

/** Throws ScriptError when it failed, StepError when it cannot be told how it ended, and the signal's reason. */
export async function runMigration(m: MigrationRun): Promise<void> {
  const { session, emit, clock } = m
  const { server, site, owner } = session
  const step = { phase: 'migrate', name: m.name } as const
  emit({ type: 'stage', server: server.name, stage: 'migrating' })
  emit({ type: 'step-started', server: server.name, step, attempt: 1 })
  const began = clock.now()
  const end = (ok: boolean, detail?: string) =>
    emit({
      type: 'step-ended',
      server: server.name,
      step,
      ok,
      ignored: false,
      seconds: (clock.now() - began) / 1000,
      ...(detail === undefined ? {} : { detail }),
    })
  try {
    const started = parseMigrationStart(
      printed(
        await session.run(startMigration(site, owner, { release: m.release, script: m.script, forced: m.forced }), {
          timeout: shortly,
        }),
        server.name,
        'migrating',
      ),
    )
    if (started === 'lost') throw lost(m)
    if (started === 'running')
      emit({
        type: 'message',
        level: 'notice',
        server: server.name,
        text: `the migration of this release is under way on ${server.name} already; waiting for it`,
      })
    const { code, tail } = await follow(m, began)
    await session
      .run(recordMigration(site, owner, { release: m.release, commit: m.commit, code, run: m.run }), {
        timeout: shortly,
      })
      .then(r => printed(r, server.name, 'migrating'))
    if (code !== 0)
      throw new ScriptError(`${m.name}: the migration failed with exit code ${code}`, tail, {
        server: server.name,
        stage: 'migrating',
        hint: 'every server still serves the old release; the schema may be half changed, so look at it before the next try',
      })
    end(true)
  } catch (error) {
    end(false, messageOf(error))
    if (error instanceof CancelledError)
      emit({
        type: 'message',
        level: 'warning',
        server: server.name,
        text: `the migration on ${server.name} was begun and goes on by itself; it is waited for as this run is brought to an end, else by the next one`,
      })
    throw error
  }
}

const lost = (m: MigrationRun) =>
  new StepError(
    `${m.name}: an earlier run of this release's migration ended without telling how, and is not repeated by itself`,
    {
      server: m.session.server.name,
      stage: 'migrating',
      hint: 'look at the schema; when it is right, or the migration can be repeated, set the input migrate to true',
    },
  )

export interface MigrationWait {
  readonly session: Session
  readonly emit: Emit
  readonly clock: Clock
  readonly manifest: Pick<Manifest, 'migrate'>
  readonly release: string
  readonly run: string | null
}

/** Waits for a migration that an earlier run started, records how it ended, and says so in words. */
export async function awaitMigration({ session, emit, clock, manifest, release, run }: MigrationWait): Promise<string> {
  const { server, site, owner } = session
  const name = manifest.migrate?.name ?? 'migration'
  const timeout = manifest.migrate?.timeout ?? 3600
  const wait: MigrationRun = {
    session,
    emit,
    clock,
    script: '',
    name,
    timeout,
    release,
    commit: null,
    run,
    forced: false,
  }
  const tell = (text: string, said: string) => {
    emit({ type: 'message', level: 'warning', server: server.name, text })
    return said
  }
  emit({ type: 'stage', server: server.name, stage: 'migrating', detail: 'waiting for the migration to end' })
  try {
    const { code } = await follow(wait, clock.now())
    await session
      .run(recordMigration(site, owner, { release, commit: commitOf(release), code, run }), { timeout: shortly })
      .then(r => printed(r, server.name, 'migrating'))
    if (code === 0) return 'the migration was waited for, and ended well'
    return tell(
      `the migration of ${release} on ${server.name} failed with exit code ${code}; the schema may be half changed`,
      `the migration was waited for, and failed with exit code ${code}`,
    )
  } catch (error) {
    if (!(error instanceof StepError)) throw error
    return tell(error.message, error.message)
  }
}

/** Its output is shown from where it was left when the connection has to be made again. */
async function follow(m: MigrationRun, began: number): Promise<{ code: number; tail: string }> {
  const { session, clock, emit } = m
  const { server, site } = session
  let offset = 0
  let tail = ''
  const onOutput = ({ stream, text }: Output) => {
    if (stream === 'err') return
    offset += Buffer.byteLength(text)
    tail = (tail + text).slice(-tailCharacters)
    emit({ type: 'output', server: server.name, stream, text })
  }
  for (;;) {
    const left = m.timeout - (clock.now() - began) / 1000
    try {
      const result = await session.run(followMigration(site, m.release, offset), {
        timeout: Math.max(1, left),
        onOutput,
      })
      const followed = parseFollow(result.stderr)
      if (followed?.ended === 'code') return { code: followed.code, tail }
      if (followed !== null) throw lost(m)
      if (result.ended === 'timeout')
        throw new StepError(`${m.name}: the migration is not done after ${m.timeout} s; it goes on by itself`, {
          server: server.name,
          stage: 'migrating',
          hint: 'deploy the same commit again to wait for it, or raise migrate.timeout',
        })
      if (result.ended !== 'lost') printed(result, server.name, 'migrating')
    } catch (error) {
      if (!(error instanceof ConnectionError) || error instanceof LockLostError || left <= 0) throw error
    }
    session.signal.throwIfAborted()
    await clock.sleep(again * 1000, session.signal)
  }
}
