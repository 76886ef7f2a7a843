/**
 * One deployment record on GitHub for a run: made while the servers are connected to, so that it costs no time, and followed by statuses.
 * Nothing here makes a deployment fail or wait; what GitHub refuses is one warning.
 */
import { randomUUID } from 'node:crypto'
import { DeployError } from '../errors.ts'
import type { Event } from '../report/events.ts'
import type { Follower } from '../report/follower.ts'
import type { GitHub, Purpose } from './api.ts'
import { createDeployment, setStatus } from './deployments.ts'
import { keepUntilClosed, type SaveState } from './record-state.ts'
import { endOf, progressText, type RecordEnd } from './record-words.ts'

export interface RecordFacts {
  /** The commit that is deployed; null: not known, and then there is no record. */
  readonly ref: string | null
  readonly environment: string
  readonly task: 'deploy' | 'rollback'
  readonly transient: boolean
  readonly production: boolean
}

export interface Recording {
  readonly gh: GitHub
  readonly facts: RecordFacts
  /** The run's address. */
  readonly logUrl: string | null
  readonly cancel: AbortSignal
  readonly saveState: SaveState
  /** For tests; default 30,000. */
  readonly everyMs?: number
}

/** Statuses that say how far it is; each waits a quarter longer than the one before, so that they last for two hours. */
const mostProgress = 20
const slower = 1.25
/** Milliseconds for the last word. A cancelled run is killed ten seconds after its signal: what it cannot say, post says. */
const endMs = 60_000
const cancelledMs = 3_000

/** Resolves when `work` has ended, or its time is over; its time is short from a cancel on. Never rejects. */
export function inTime(work: Promise<void>, ms: number, cancel: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timers = [setTimeout(done, ms)]
    const hurry = () => timers.push(setTimeout(done, Math.min(ms, cancelledMs)))
    function done() {
      for (const timer of timers) clearTimeout(timer)
      cancel.removeEventListener('abort', hurry)
      resolve()
    }
    if (cancel.aborted) hurry()
    else cancel.addEventListener('abort', hurry, { once: true })
    work.then(done, done)
  })
}

/** Follows a run that deploys. A rollback's commit is known with its plan only: its record is made then. */
export function record({ gh, facts, logUrl, cancel, saveState, everyMs = 30_000 }: Recording): Follower {
  const purpose: Purpose = facts.transient ? 'preview' : 'deployments'
  const kept = keepUntilClosed(saveState)
  const ended = new AbortController()
  let making: Promise<number | null> | null = null
  let id: number | null = null
  let selected: ReadonlySet<string> | null = null
  let url: string | null = null
  const done = new Set<string>()
  let sent = 0
  let last = 0
  let timer: NodeJS.Timeout | null = null
  let sending = false

  const describe = () => (selected === null ? 'connecting' : progressText(done.size, selected.size))

  const say = async (
    to: number,
    state: 'in_progress' | RecordEnd['state'],
    description: string,
    signal?: AbortSignal,
  ) => setStatus(gh, to, { state, description, logUrl, environmentUrl: url }, signal)

  /** One at a time, and none after the end: they would arrive in any order. */
  const sayProgress = async (to: number) => {
    sending = true
    sent++
    last = performance.now()
    const said = describe()
    try {
      await say(to, 'in_progress', said, ended.signal)
    } catch (error) {
      if (!ended.signal.aborted) gh.trouble(error, purpose)
    } finally {
      sending = false
      if (said !== describe()) progress()
    }
  }

  const progress = () => {
    if (id === null || sending || timer !== null || sent >= mostProgress || ended.signal.aborted) return
    const to = id
    const wait = last + everyMs * slower ** (sent - 1) - performance.now()
    const now = () => {
      timer = null
      if (!ended.signal.aborted) void sayProgress(to)
    }
    timer = setTimeout(now, Math.max(0, wait)).unref()
  }

  const make = async (ref: string | null): Promise<number | null> => {
    try {
      if (ref === null) throw new DeployError('GITHUB_SHA does not say which commit this is')
      const { environment, task, transient, production } = facts
      const key = randomUUID()
      kept.asked({ key, environment, task })
      const description = `${task} to ${environment}`
      id = await createDeployment(gh, { ref, environment, task, description, transient, production, key })
      kept.made(id)
      if (!ended.signal.aborted) void sayProgress(id)
      return id
    } catch (error) {
      gh.trouble(error, purpose)
      kept.told()
      kept.closed()
      return null
    }
  }

  const listener = (event: Event) => {
    if (event.type === 'planned') {
      selected = new Set(event.plan.servers.map(s => s.name))
      url = event.plan.url
      if (facts.task === 'rollback') making ??= make(event.plan.release?.commit ?? facts.ref)
    }
    if (event.type === 'phase' && event.phase === 'preflight' && facts.task === 'deploy') making ??= make(facts.ref)
    if (event.type === 'server-ended') {
      if (selected?.has(event.server)) done.add(event.server)
      progress()
    }
  }

  return {
    listener,
    async end(state) {
      if (making === null) return
      const end = endOf(state)
      kept.ending({ ...end, environmentUrl: url })
      ended.abort()
      if (timer !== null) clearTimeout(timer)
      const close = async () => {
        const made = await making
        if (made === null) return
        try {
          await say(made, end.state, end.description)
          kept.closed()
        } catch (error) {
          gh.trouble(error, purpose)
          kept.told()
        }
      }
      await inTime(close(), endMs, cancel)
    },
    outputs: () => ({ 'deployment-id': id === null ? '' : String(id) }),
  }
}
