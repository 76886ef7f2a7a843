/** `preview`: deploys the preview of a pull request, removes it when that is closed, and on a schedule removes those that were missed. */
import { messageOf } from '../errors.ts'
import type { GitHub } from '../github/api.ts'
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import { releaseLock } from '../release/lock.ts'
import type { Emit, EventBody, Result } from '../report/events.ts'
import { createBoard } from '../rollout/board.ts'
import { isUnreachable, shortly } from '../rollout/session.ts'
import type { BareCommand, Command, Context } from './context.ts'
import { siteOf } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'
import { openPreview } from './open-manifest.ts'
import { cleanUp, notRemoved } from './preview-clean-up.ts'
import { checkWishes, decide, isOpen, whichPull, whyItStays } from './preview-decision.ts'
import { deployPreview } from './preview-deploy.ts'
import { askAbout, tellCutOff, tellNothingFound, tellNotRemoved, tellRemoved } from './preview-github.ts'
import { noteOfCheckout } from './preview-head.ts'
import { placeOf } from './preview-place.ts'
import { cutOff, forget, tearDown } from './preview-teardown.ts'
import { gitHubOf, gitHubOfPost } from './recording.ts'
import { forkOrNull } from './trust.ts'

/** What the request comes to: for which commit, with which manifest, and what is done. */
export interface Settled {
  readonly request: Request
  /** null: nothing is done. */
  readonly manifest: Manifest | null
  readonly run: BareCommand
  /** What it is called in reports; default: as the command. */
  readonly name?: string
  /** The client that GitHub was asked with: a run has one, and with it one warning. */
  readonly gitHub?: GitHub | null
}

type Message = Extract<EventBody, { readonly type: 'message' }>

/** Asks GitHub; connects to no server. Throws InputError, ManifestError, DeployError and the signal's reason. */
export async function settlePreview(asked: Request, cancel: AbortSignal): Promise<Settled> {
  checkWishes(asked)
  // Its manifest is a stranger's, and nothing of it is read.
  if (forkOrNull(asked) !== null) return { request: asked, manifest: null, run: async () => 'skipped' }
  const messages: Message[] = []
  // What is said before there is a run to report about is told when it begins.
  let tell: Emit = event => {
    if (event.type === 'message') messages.push(event)
  }
  const warn = (text: string) => tell({ type: 'message', level: 'warning', text })
  const telling =
    (command: BareCommand): BareCommand =>
    c => {
      tell = c.emit
      for (const message of messages) c.emit(message)
      return command(c)
    }
  const gh = gitHubOf(asked, warn)
  const settled = (request: Request, number: number | null, name: string, command: Command): Settled => {
    const manifest = openPreview(request, number)
    return { request, manifest, name, gitHub: gh, run: telling(c => command({ ...c, request, manifest })) }
  }
  const number = whichPull(asked.run, asked.pullRequest)
  if (number === null) return settled(asked, null, 'preview clean-up', c => cleanUp(c, gh))
  const decision = decide(asked.run, number, await askAbout(gh, number))
  cancel.throwIfAborted()
  if (decision.what === 'skip') {
    messages.push({ type: 'message', level: 'notice', text: decision.why })
    return { request: asked, manifest: null, run: telling(async () => 'skipped') }
  }
  if (decision.warning !== undefined) warn(decision.warning)
  // Branches have names that anyone may choose; this one has a number in place of it.
  const run = { ...asked.run, ref: `refs/pull/${number}/head`, actor: plainLogin(asked.run.actor) }
  if (decision.what === 'teardown')
    return settled({ ...asked, run }, number, 'preview teardown', c => remove(c, number, gh))
  const headSha = decision.headSha ?? run.headSha
  const note = await noteOfCheckout(asked, headSha)
  if (note !== null) messages.push(note)
  return settled({ ...asked, run: { ...run, headSha } }, number, 'preview', deployPreview)
}

/** A login as GitHub has them. */
const plainLogin = (actor: string | null): string | null =>
  actor !== null && /^[A-Za-z0-9_-]{1,100}(\[bot\])?$/.test(actor) ? actor : null

const nothingFound = (number: number, path: string, servers: readonly string[]): string =>
  `By GitHub's record or the comment preview ${number} was up, and nothing was found at ${path} on ${servers.join(', ')}. If previews.release.path, previews.servers or application was changed since it was deployed, it is still where it was: remove it by hand, or with the manifest of then.`

/** Removes one preview. */
async function remove(c: Context, number: number, gh: GitHub | null): Promise<Result> {
  const { manifest, emit, cancel } = c
  const board = createBoard(emit)
  for (const { name } of manifest.servers) emit({ type: 'stage', server: name, stage: 'pending' })
  const fleet = fleetOf(c)
  try {
    const ask = async () => whyItStays(c.request.run, number, await askAbout(gh, number))
    const ends = await tearDown(c, fleet, ask).catch(async (error: unknown) => {
      if (cancel.aborted) await tellCutOff(gh, c.request, manifest, number, cancel)
      else await tellNotRemoved(gh, c.request, manifest, number, [], cancel)
      throw error
    })
    const errors = new Map<string, unknown>()
    let removed = false
    let stays: string | null = null
    for (const [server, end] of ends) {
      if ('error' in end) {
        errors.set(server, end.error)
        board.fail(server, end.error, 'removing', isUnreachable(end.error) ? 'unreachable' : 'failed')
        continue
      }
      removed ||= end.was === 'removed'
      if (end.was === 'stays') stays = end.why
      if (end.was === 'removed') board.succeed(server)
      else board.skip(server, null)
    }
    if (errors.size > 0) {
      await tellNotRemoved(gh, c.request, manifest, number, [...errors.keys()], cancel)
      throw notRemoved(number, errors)
    }
    if (stays !== null) {
      emit({ type: 'message', level: 'notice', text: stays })
      return 'skipped'
    }
    const text = removed ? `Preview ${number} is removed.` : `There is nothing to remove of preview ${number}.`
    emit({ type: 'message', level: 'notice', text })
    // Who opened it again deploys it again, and tells of that.
    const isAgain = isOpen(await askAbout(gh, number))
    if (removed) {
      const isTold = isAgain || (await tellRemoved(gh, c.request, manifest, number, cancel))
      if (isTold) await forget(c, fleet, manifest.servers)
    } else if (!isAgain) {
      const { path } = placeOf(c)
      const wasUp = await tellNothingFound(gh, c.request, manifest, number, path, cancel)
      if (wasUp) emit({ type: 'message', level: 'warning', text: nothingFound(number, path, [...ends.keys()]) })
    }
    return 'success'
  } finally {
    fleet.close()
  }
}

/** `post`, after a run that was killed while it removed a preview: gives its locks back, says so in the comment, and removes nothing. */
export async function afterTeardown(c: Context, token: string): Promise<Result> {
  const { manifest, emit, cancel } = c
  emit({ type: 'message', level: 'notice', text: cutOff(manifest) })
  const fleet = fleetOf(c)
  const script = releaseLock(siteOf(c), { token })
  const one = async (server: (typeof manifest.servers)[number]) => {
    try {
      const connection = await fleet.connect(server, cancel)
      await connection.run(script, { signal: cancel, timeout: shortly })
    } catch (error) {
      const text = `${server.name}: the lock was not given back: ${messageOf(error)}`
      emit({ type: 'message', level: 'info', server: server.name, text })
    }
  }
  const gh = gitHubOfPost(c.request, text => emit({ type: 'message', level: 'warning', text }))
  const number = manifest.preview?.number ?? null
  await Promise.all([
    ...manifest.servers.map(one),
    ...(number === null ? [] : [tellCutOff(gh, c.request, manifest, number, cancel)]),
  ])
  fleet.close()
  return 'success'
}
