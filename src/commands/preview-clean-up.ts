/** The clean-up: of all previews on the servers, those whose pull request is closed go; of those that stay it is told why. */
import { DeployError, InputError, messageOf, PreflightError } from '../errors.ts'
import type { Fleet } from '../fleet/fleet.ts'
import type { GitHub } from '../github/api.ts'
import type { Server } from '../manifest/manifest.ts'
import { type Listed, listPreviews, parseList } from '../release/preview.ts'
import type { Result } from '../report/events.ts'
import { createBoard } from '../rollout/board.ts'
import { isUnreachable, printed, shortly } from '../rollout/session.ts'
import type { Context } from './context.ts'
import { siteOf } from './equipment.ts'
import { fleetOf } from './open-fleet.ts'
import { isOpen } from './preview-decision.ts'
import { askAbout, tellCutOff, tellNotRemoved, tellRemoved } from './preview-github.ts'
import { ofNumber, placeOf } from './preview-place.ts'
import { forget, sweepRests, tearDown } from './preview-teardown.ts'

/** Questions to GitHub at a time. */
const atOnce = 4

export async function cleanUp(c: Context, gh: GitHub | null): Promise<Result> {
  const { manifest, emit, cancel } = c
  const board = createBoard(emit)
  const fleet = fleetOf(c)
  const wrong = new Map<string, unknown>()
  const cleaned = new Set<string>()
  const say = (level: 'info' | 'notice' | 'warning' | 'error', text: string) => emit({ type: 'message', level, text })
  for (const { name } of manifest.servers) emit({ type: 'stage', server: name, stage: 'pending' })
  try {
    const lists = await listed(c, fleet, wrong)
    const numbers = ownNumbers(c, lists)
    if (numbers.length === 0 && wrong.size > 0) say('info', 'There is no preview on the servers that answered.')
    else if (numbers.length === 0) say('info', 'There is no preview.')
    const closed = numbers.length === 0 ? [] : await closedOf(c, gh, numbers)
    for (const number of closed) {
      const own = { ...c, manifest: ofNumber(manifest, number) }
      try {
        const ends = await tearDown(own, fleet, async () => {
          const why = await whyNot(gh, number)
          if (why !== null) say(why.level, why.text)
          return why?.text ?? null
        })
        const errors = [...ends].flatMap(([server, end]) => ('error' in end ? [[server, end.error] as const] : []))
        for (const [server, error] of errors) {
          say('error', `Preview ${number} is not removed from ${server}: ${messageOf(error)}`)
          wrong.set(server, error)
        }
        for (const [server, end] of ends) if ('was' in end && end.was === 'removed') cleaned.add(server)
        if (errors.length > 0) {
          const names = errors.map(([server]) => server)
          await tellNotRemoved(gh, c.request, manifest, number, names, cancel)
          continue
        }
        if ([...ends.values()].some(end => 'why' in end)) continue
        say('notice', `Preview ${number} is removed: its pull request is closed.`)
      } catch (error) {
        if (cancel.aborted) await tellCutOff(gh, c.request, manifest, number, cancel)
        cancel.throwIfAborted()
        say('error', `Preview ${number} is not removed: ${messageOf(error)}`)
        for (const { name } of manifest.servers) wrong.set(name, error)
        await tellNotRemoved(gh, c.request, manifest, number, [], cancel)
        continue
      }
      if (isOpen(await askAbout(gh, number)) || (await tellRemoved(gh, c.request, manifest, number, cancel)))
        await forget(own, fleet, manifest.servers)
    }
    const all = new Set([...lists.values()].flatMap(l => l.previews.map(p => p.number)))
    for (const [number, servers] of await sweepAll(c, fleet, lists, wrong))
      if (!closed.includes(number) && (all.has(number) || (await tellLate(c, gh, number, lists))))
        await forget({ ...c, manifest: ofNumber(manifest, number) }, fleet, servers)
    for (const { name } of manifest.servers) {
      const error = wrong.get(name)
      if (error === undefined && cleaned.has(name)) board.succeed(name)
      else if (error === undefined) board.skip(name, null)
      else board.fail(name, error, 'removing', isUnreachable(error) ? 'unreachable' : 'failed')
    }
    return wrong.size === 0 ? 'success' : 'failure'
  } finally {
    fleet.close()
  }
}

/** What lies on each server that answers. */
async function listed(c: Context, fleet: Fleet, wrong: Map<string, unknown>): Promise<ReadonlyMap<Server, Listed>> {
  const { manifest, cancel } = c
  // Of whichever number: only what stands before it is looked at.
  const any = { ...c, manifest: ofNumber(manifest, 1) }
  const script = listPreviews(siteOf(any), placeOf(any))
  const lists = new Map<Server, Listed>()
  const one = async (server: Server) => {
    try {
      const connection = await fleet.connect(server, cancel)
      const out = printed(await connection.run(script, { signal: cancel, timeout: shortly }), server.name, 'listing')
      const list = parseList(out, manifest.application)
      if (list === null)
        throw new PreflightError(`${server.name}: no answer that can be read`, {
          server: server.name,
          stage: 'listing',
        })
      lists.set(server, list)
    } catch (error) {
      wrong.set(server.name, error)
    }
  }
  await Promise.all(manifest.servers.map(one))
  cancel.throwIfAborted()
  return lists
}

/** Previews of this repository. By another one's numbers nothing is decided. */
function ownNumbers({ request, emit }: Context, lists: ReadonlyMap<Server, Listed>): readonly number[] {
  const own = request.run.repository
  const all = [...lists.values()].flatMap(l => l.previews)
  const foreign = all.filter(p => p.repository !== null && p.repository !== own)
  for (const [repository, some] of Map.groupBy(foreign, p => p.repository))
    emit({
      type: 'message',
      level: 'warning',
      text: `Previews of ${repository} stay, for this is ${own ?? 'no repository'}: ${[...new Set(some.map(p => p.number))].join(', ')}`,
    })
  const numbers = new Set(all.filter(p => !foreign.includes(p)).map(p => p.number))
  return [...numbers].sort((a, b) => a - b)
}

/** Those whose pull request GitHub says to be closed. */
async function closedOf({ emit, cancel }: Context, gh: GitHub | null, numbers: readonly number[]) {
  if (gh === null)
    throw new InputError(`nothing says which of ${numbers.length} previews may go: GitHub cannot be asked`, {
      hint: 'the input github-token is needed, with permissions: pull-requests: read',
    })
  const answers = new Map<number, Awaited<ReturnType<typeof askAbout>>>()
  const left = [...numbers]
  const asking = async () => {
    for (let number = left.shift(); number !== undefined; number = left.shift()) {
      cancel.throwIfAborted()
      answers.set(number, await askAbout(gh, number))
    }
  }
  await Promise.all(Array.from({ length: atOnce }, asking))
  const [closed, open, unknown]: number[][] = [[], [], []]
  let why: string | null = null
  for (const number of numbers) {
    const answer = answers.get(number) ?? null
    if (answer !== null && !('silent' in answer)) (answer.state === 'closed' ? closed : open)?.push(number)
    else {
      unknown?.push(number)
      why ??= answer === null ? 'there is no such pull request, or this token may not see it' : answer.silent
    }
  }
  if (open?.length)
    emit({ type: 'message', level: 'info', text: `Their pull request is open: previews ${open.join(', ')} stay.` })
  if (unknown?.length)
    emit({
      type: 'message',
      level: 'warning',
      text: `GitHub does not say whether their pull request is open, so previews ${unknown.join(', ')} stay (${why ?? 'no answer'}).`,
    })
  return closed ?? []
}

/** null: GitHub says that it is closed; else why its preview stays. */
async function whyNot(gh: GitHub | null, number: number) {
  const answer = await askAbout(gh, number)
  if (answer === null || 'silent' in answer) {
    const why = answer?.silent ?? 'no answer'
    const text = `Preview ${number} stays: GitHub does not say any more whether its pull request is open (${why}).`
    return { level: 'warning', text } as const
  }
  const text = `Preview ${number} stays: its pull request was opened again.`
  return answer.state === 'closed' ? null : ({ level: 'notice', text } as const)
}

/** Of a removal that was cut off before it told anybody. Whether there is no more to be told. */
async function tellLate(c: Context, gh: GitHub | null, number: number, lists: ReadonlyMap<Server, Listed>) {
  const { request, manifest, cancel } = c
  // Where a server did not answer, the preview may be there.
  if (lists.size < manifest.servers.length) return false
  const why = await whyNot(gh, number)
  return why === null ? tellRemoved(gh, request, manifest, number, cancel) : why.level === 'notice'
}

/**
 * What earlier teardowns moved out of its place and did not erase to the end, or did not tell of. The numbers of which nothing but markers
 * is left, and where.
 */
async function sweepAll(c: Context, fleet: Fleet, lists: ReadonlyMap<Server, Listed>, wrong: Map<string, unknown>) {
  const erased = new Map<number, Server[]>()
  const left = new Set<number>()
  const one = async (server: Server, number: number) => {
    try {
      if (await sweepRests({ ...c, manifest: ofNumber(c.manifest, number) }, fleet, server))
        erased.set(number, [...(erased.get(number) ?? []), server])
    } catch (error) {
      if (c.cancel.aborted) throw c.cancel.reason
      c.emit({ type: 'message', level: 'error', server: server.name, text: messageOf(error) })
      wrong.set(server.name, error)
      left.add(number)
    }
  }
  for (const [server, { rests }] of lists) for (const number of rests) await one(server, number)
  return [...erased].filter(([number]) => !left.has(number))
}

/** One error for a run that removes a preview and did not everywhere. */
export const notRemoved = (number: number, errors: ReadonlyMap<string, unknown>): DeployError => {
  const [first] = errors.values()
  const hint = first instanceof DeployError ? first.hint : undefined
  return new DeployError(
    `preview ${number} is not removed from ${[...errors.keys()].join(', ')}: ${messageOf(first)}`,
    hint === undefined ? {} : { hint },
  )
}
