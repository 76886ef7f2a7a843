/**
 * A pull request's preview goes: `teardown` steps under its lock, then its directory, each server by itself. What fails on a server stays
 * there whole, and the next clean-up tries again; what is gone already is no failure.
 */
import { messageOf, PreflightError, StepError } from '../errors.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { Server } from '../manifest/manifest.ts'
import {
  lookAtPreview,
  moveAway,
  ofTeardown,
  type PreviewLook,
  parseErased,
  parseLook,
  sweepPreviews,
} from '../release/preview.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import { printed, type Session, shortly } from '../rollout/session.ts'
import { checkVariables } from './check-variables.ts'
import type { Context } from './context.ts'
import { siteOf } from './equipment.ts'
import { knownHostsText } from './open-fleet.ts'
import { placeOf } from './preview-place.ts'
import { runTeardown } from './preview-steps.ts'
import { runFilePath, writeRunFile } from './run-file.ts'
import { lockInfo, newToken } from './site.ts'

/** How it went on a server. */
export type Gone =
  | { readonly was: 'removed' | 'nothing' }
  | { readonly was: 'stays'; readonly why: string }
  | { readonly error: unknown }

/** Asked under the lock, right before anything is removed: null, or why the preview stays after all. */
export type Ask = () => Promise<string | null>

/** Seconds for a directory with many files. */
const eraseSeconds = 1800

/** Seconds at least that the lock is waited for: the clean-up may be at the same preview. */
const leastWait = 60

export const cutOff = ({ preview }: Context['manifest']): string =>
  `The removal of preview ${preview?.number ?? ''} was cut off. What is left of it goes with the next clean-up, or when this run is started again; its lock ends within a minute by itself.`

/**
 * The manifest is that of one preview. Where it was removed its marker stays beside its place, until `forget`: a run that is cut off before
 * it told anybody leaves it to the next clean-up. Throws InputError, what `ask` throws, and the signal's reason; whatever fails
 * on a server is in the answer.
 */
export async function tearDown(c: Context, fleet: Fleet, ask: Ask): Promise<ReadonlyMap<string, Gone>> {
  let ended = () => {}
  try {
    return await removeAll(c, fleet, ask, then => {
      ended = then
    })
  } catch (error) {
    if (c.cancel.aborted) c.emit({ type: 'message', level: 'notice', text: cutOff(c.manifest) })
    throw error
  } finally {
    ended()
  }
}

async function removeAll(
  c: Context,
  fleet: Fleet,
  ask: Ask,
  atEnd: (then: () => void) => void,
): Promise<ReadonlyMap<string, Gone>> {
  const { request, manifest, emit, clock, cancel } = c
  const [site, place] = [siteOf(c), placeOf(c)]
  checkVariables(
    { ...manifest, prepare: [...(manifest.preview?.teardown ?? [])], verify: [] },
    request,
    manifest.servers,
  )
  const ends = new Map<string, Gone>()
  const runOn = async (server: Server, script: string, timeout: number) =>
    printed(
      await (await fleet.connect(server, cancel)).run(script, { signal: cancel, timeout }),
      server.name,
      'removing',
    )

  const lookAt = async (server: Server): Promise<PreviewLook> => {
    const look = parseLook(await runOn(server, lookAtPreview(site, place), shortly))
    if (look === null) throw unreadable(server)
    return look
  }
  const looks = new Map<string, PreviewLook>()
  await onEach(manifest.servers, ends, async server => void looks.set(server.name, await lookAt(server)))
  cancel.throwIfAborted()

  const there = manifest.servers.filter(s => looks.get(s.name)?.there)
  if (there.length > 0) {
    const wait = Math.max(manifest.rollout.lock_wait, leastWait)
    const lock = { owner: { token: newToken() }, info: lockInfo(request, clock), wait }
    const path = runFilePath(request, lock.owner.token)
    const file = {
      version: 1,
      token: lock.owner.token,
      servers: there.map(s => s.name),
      manifest,
      teardown: true,
    } as const
    const write = (finished: boolean) => writeRunFile(path, { ...file, knownHosts: knownHostsText(c), finished })
    write(false)
    // Who is killed also while he erases has it told by post.
    atEnd(() => write(true))
    c.saveRunFile(path)
    const open = (servers: readonly Server[]) =>
      openSessions({
        site,
        fleet,
        emit,
        clock,
        cancel,
        needs: () => ({ tools: [], shells: [], shared: [] }),
        unfit: () => null,
        around: ofTeardown(site, place),
        servers,
        environment: servers,
        alsoRead: [],
        unreachable: 'skip',
        lock,
      })
    let left: readonly Server[] = there
    let opened = await open(left)
    // Another run may have removed it while this one waited.
    while (opened.failed.size > 0) {
      const gone = new Set<Server>()
      await onEach(left, new Map(), async server => {
        if (!(await lookAt(server)).there) gone.add(server)
      })
      cancel.throwIfAborted()
      for (const { name } of gone) ends.set(name, { was: 'removed' })
      left = left.filter(s => !gone.has(s))
      if (gone.size === 0 || left.length === 0) break
      opened = await open(left)
    }
    for (const [name, error] of [...opened.failed, ...opened.unreachable])
      if (!ends.has(name)) ends.set(name, { error })
    // One that failed has given the locks of all others back.
    if (opened.failed.size > 0)
      for (const { name } of left)
        if (!ends.has(name))
          ends.set(name, {
            error: new StepError(`${name}: nothing was removed, because of ${[...opened.failed.keys()].join(', ')}`),
          })
    try {
      const why = opened.sessions.size === 0 ? null : await ask()
      cancel.throwIfAborted()
      if (why !== null) for (const name of opened.sessions.keys()) ends.set(name, { was: 'stays', why })
      await underLock(c, why === null ? opened.sessions : new Map(), ends, async session => {
        const { server, owner } = session
        emit({ type: 'stage', server: server.name, stage: 'removing', detail: place.path })
        printed(await session.run(moveAway(site, owner, place), { timeout: shortly }), server.name, 'removing')
      })
    } finally {
      // Of what was moved away the lock went with it.
      await Promise.all(
        [...opened.sessions.values()].map(session =>
          session.unlock().catch((error: unknown) => {
            const { name } = session.server
            const text = `the lock on ${name} was not given back (${messageOf(error)}); it runs out by itself within a minute`
            emit({ type: 'message', level: 'warning', server: name, text })
          }),
        ),
      )
    }
  }

  await onEach(
    manifest.servers.filter(s => !ends.has(s.name)),
    ends,
    async server => {
      const look = looks.get(server.name)
      if (look?.there || look?.rests)
        sweep(c, server, await runOn(server, sweepPreviews(site, place, 'markers'), eraseSeconds))
      ends.set(server.name, { was: look?.there || look?.rests ? 'removed' : 'nothing' })
    },
  )
  cancel.throwIfAborted()
  return ends
}

/** Erases what earlier teardowns of a pull request moved out of its place, but for the markers; whether anything was. Throws StepError for what is left. */
export async function sweepRests(c: Context, fleet: Fleet, server: Server): Promise<boolean> {
  const script = sweepPreviews(siteOf(c), placeOf(c), 'markers')
  const connection = await fleet.connect(server, c.cancel)
  const ran = await connection.run(script, { signal: c.cancel, timeout: eraseSeconds })
  return sweep(c, server, printed(ran, server.name, 'removing'))
}

/** All that there is to tell of the removal was told: the markers go. What is missed here the next clean-up finds, and tells once more. */
export async function forget(c: Context, fleet: Fleet, servers: readonly Server[]): Promise<void> {
  const script = sweepPreviews(siteOf(c), placeOf(c))
  const one = async (server: Server) => {
    const connection = await fleet.connect(server, c.cancel)
    await connection.run(script, { signal: c.cancel, timeout: shortly })
  }
  await Promise.allSettled(servers.map(one))
}

function sweep({ emit }: Context, server: Server, out: string): boolean {
  const erased = parseErased(out)
  if (erased === null) throw unreadable(server)
  for (const { path, why } of erased.foreign)
    emit({ type: 'message', level: 'info', server: server.name, text: `${server.name}: ${path} is left alone: ${why}` })
  if (erased.left.length > 0)
    throw new StepError(`${server.name}: ${erased.left.map(l => `${l.path} is left: ${l.why}`).join('; ')}`, {
      server: server.name,
      stage: 'removing',
      hint: 'look at it on the server: unmount what is mounted there, remove what another user wrote; the next clean-up tries again',
    })
  return erased.erased.length > 0
}

const unreadable = ({ name }: Server) =>
  new PreflightError(`${name}: no answer that can be read`, {
    server: name,
    stage: 'removing',
    hint: 'is a login script in the way that prints something?',
  })

async function onEach(
  servers: readonly Server[],
  ends: Map<string, Gone>,
  work: (server: Server) => Promise<void>,
): Promise<void> {
  const one = (server: Server) => work(server).catch((error: unknown) => void ends.set(server.name, { error }))
  await Promise.all(servers.map(one))
}

/** The steps, then `remove` where all of them succeeded. */
async function underLock(
  c: Context,
  sessions: ReadonlyMap<string, Session>,
  ends: Map<string, Gone>,
  remove: (session: Session) => Promise<void>,
): Promise<void> {
  if (sessions.size === 0) return
  const failed = await runTeardown(c, sessions)
  for (const [name, error] of failed) {
    const text = `${name}: teardown failed, so nothing is removed there: ${messageOf(error)}`
    c.emit({ type: 'message', level: 'info', server: name, text })
    ends.set(name, { error })
  }
  const good = [...sessions.values()].filter(s => !failed.has(s.server.name))
  await Promise.all(
    good.map(session => remove(session).catch((error: unknown) => void ends.set(session.server.name, { error }))),
  )
  c.cancel.throwIfAborted()
}
