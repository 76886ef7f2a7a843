/**
 * One deployment record on GitHub for a run: made while the servers are connected to, so that it costs no time, and followed by statuses.
 * Nothing here makes a deployment fail or wait; what GitHub refuses is one warning.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { DeployError } from '../errors.ts'
import type { Event } from '../report/events.ts'
import type { Follower } from '../report/follower.ts'
import type { GitHub, Purpose } from './api.ts'
import { createDeployment, setStatus } from './deployments.ts'
import { LateError } from './in-time.ts'
import { keepUntilClosed, type SaveState } from './record-state.ts'
import { endOf, progressText } from './record-words.ts'

export interface RecordFacts {
  /** The commit that is deployed; null: not known, and then there is no record. */
  readonly ref: string | null
  readonly environment: string
  readonly task: 'deploy' | 'rollback'
  readonly transient: boolean
  readonly production: boolean
  /** Of a preview: its environment's name does not say it. */
  readonly application?: string
}

export interface Recording {
  readonly gh: GitHub
  readonly facts: RecordFacts
  /** The run's address. */
  readonly logUrl: string | null
  readonly cancel: AbortSignal
  readonly saveState: SaveState
  /** Whether a post step follows, and says what a cancelled run has no time for. */
  readonly hasPost: boolean
  /** For tests; default 30,000. */
  readonly everyMs?: number
}

/** Statuses that say how far it is; each waits a quarter longer than the one before, so that they last for two hours. */
const mostProgress = 20
const slower = 1.25
/** Follows a run that deploys. A rollback's commit is known with its plan only: its record is made then. */
export function record(recording: Recording): Follower {
  const { gh, facts, logUrl, cancel, saveState, hasPost, everyMs = 30_000 } = recording
  const { environment, task, transient } = facts
  const purpose: Purpose = transient ? 'preview' : 'deployments'
  const kept = keepUntilClosed(saveState)
  const ended = new AbortController()
  let making: Promise<void> | null = null
  let id: number | null = null
  let selected: ReadonlySet<string> | null = null
  let url: string | null = null
  const done = new Set<string>()
  let changed = () => {}

  const describe = () => (selected === null ? 'connecting' : progressText(done.size, selected.size))

  /** One at a time, and none after the end: they would arrive in any order. */
  const sayProgress = async (to: number) => {
    const { signal } = ended
    for (let sent = 0; sent < mostProgress && !signal.aborted; sent++) {
      const said = describe()
      const status = { state: 'in_progress', description: said, logUrl, environmentUrl: url } as const
      await setStatus(gh, to, status, signal).catch((error: unknown) => {
        if (!signal.aborted) gh.trouble(error, purpose)
      })
      await sleep(everyMs * slower ** sent, undefined, { signal, ref: false }).catch(() => {})
      while (said === describe() && !signal.aborted)
        await new Promise<void>(resolve => {
          changed = resolve
        })
    }
  }

  const make = async (ref: string | null) => {
    try {
      if (ref === null) throw new DeployError('GITHUB_SHA does not say which commit this is')
      const key = randomUUID()
      kept.asked({ key, environment, task })
      const description = `${task} to ${environment}`
      id = await createDeployment(gh, { ...facts, ref, description, key })
      kept.made(id)
      void sayProgress(id)
    } catch (error) {
      gh.trouble(error, purpose)
      kept.closed()
    }
  }

  const listener = (event: Event) => {
    if (event.type === 'planned') {
      selected = new Set(event.plan.servers.map(s => s.name))
      url = event.plan.url
      if (task === 'rollback') making ??= make(event.plan.release?.commit ?? facts.ref)
    }
    if (event.type === 'phase' && event.phase === 'preflight' && task === 'deploy') making ??= make(facts.ref)
    if (event.type === 'server-ended' && selected?.has(event.server)) done.add(event.server)
    changed()
  }

  return {
    listener,
    async end(state) {
      if (making === null) return
      const end = { ...endOf(state), environmentUrl: url }
      kept.ending(end)
      ended.abort()
      const close = async () => {
        await making
        if (id === null) return
        await setStatus(gh, id, { ...end, logUrl })
        kept.closed()
      }
      try {
        await gh.inTime(close, cancel)
      } catch (error) {
        const late = error instanceof LateError
        if (late && cancel.aborted && hasPost) return
        gh.trouble(error, purpose)
        // Post would only wait for the same.
        if (late) kept.closed()
      }
    },
    outputs: () => ({ 'deployment-id': id === null ? '' : String(id) }),
  }
}
