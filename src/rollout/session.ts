/** One server during a run: its connection, our lock on it with its lease, and what was read from it. */
import type { Readable } from 'node:stream'
import type { Clock } from '../clock.ts'
import { CancelledError, ConnectionError, StepError } from '../errors.ts'
import type { Connection, RunOptions, RunResult } from '../fleet/connection.ts'
import type { Server } from '../manifest/manifest.ts'
import { releaseError } from '../release/exit-codes.ts'
import { parseRelease, releaseLock } from '../release/lock.ts'
import type { Owner } from '../release/prelude.ts'
import { type Probe, type ProbeNeeds, parseProbe, probe } from '../release/probe.ts'
import type { Site } from '../release/site.ts'
import { type AfterLoss, afterLosses } from './after-loss.ts'
import { keepLease, type Lease, renewing } from './lease.ts'

export interface Session {
  readonly server: Server
  readonly site: Site
  readonly owner: Owner
  /** What was read last. */
  readonly probe: Probe
  /** Reads anew, after something was changed. */
  reread(): Promise<void>
  /** Ends with the run, or when the lock is lost. */
  readonly signal: AbortSignal
  /** The lock is known to be another's: nothing more may be done here. */
  lost(): boolean
  /** Throws LockLostError unless enough of the lease is left to start something. */
  assertHeld(): void
  /** Runs a script while enough of the lease is left. Throws LockLostError, ConnectionError and the signal's reason. */
  run(script: string, options: Partial<RunOptions> & { readonly timeout: number }): Promise<RunResult>
  /** `run` with an upload. Destroys `input`. */
  send(script: string, input: Readable, options: { readonly timeout: number }): Promise<RunResult>
  /**
   * What came of a script whose connection was lost: connects again, three times at most, and ends what this run has running there.
   * Throws LockLostError and the signal's reason.
   */
  afterLoss(): Promise<AfterLoss>
  /** Process groups of this run that were seen running on after their connection was lost and cannot be ended; looks again. */
  stillRunning(): Promise<readonly number[]>
  connection(): Promise<Connection>
  /** For what is still written when the run was cancelled: ends after so many seconds, or when the lock is lost. */
  ending(seconds: number): AbortSignal
  /** Gives the lock back; without effect when it is not ours any more. */
  unlock(): Promise<void>
}

export interface SessionDeps {
  readonly server: Server
  readonly site: Site
  readonly owner: Owner
  readonly probe: Probe
  readonly needs: ProbeNeeds
  readonly connect: (signal: AbortSignal) => Promise<Connection>
  readonly clock: Clock
  readonly cancel: AbortSignal
  /** When the lock was asked for; null: this run only reads, without a lock. */
  readonly takenAt: { readonly now: number; readonly wall: number } | null
}

/** Seconds for a script of ours that only moves names about. */
export const shortly = 60

/** The release `current` points to: its id, or another tool's link; null: none that could be gone back to. */
export const previousOf = (probe: Pick<Probe, 'current' | 'dangling'>): string | null =>
  probe.dangling ? null : probe.current

/** What a script of ours printed. Throws by its exit code: LockLostError, PreflightError, StepError; or ConnectionError, CancelledError. */
export function printed(result: RunResult, server: string, stage: string): string {
  switch (result.ended) {
    case 'exit':
      if (result.code === 0) return result.stdout
      throw releaseError(result.code, `${server}: ${result.stderr.trim() || `exit code ${result.code}`}`, {
        server,
        stage,
      })
    case 'timeout':
      throw new StepError(`${server}: no answer in time`, {
        server,
        stage,
        hint: 'the server is very slow, or its disk does not answer',
      })
    case 'signal':
      throw new StepError(`${server}: a script was ended by signal ${result.name}`, { server, stage })
    case 'lost':
      throw new ConnectionError(`${server}: the connection was lost (${result.reason})`, { server, stage })
    case 'cancelled':
      throw new CancelledError(`${server}: cancelled`, { server, stage })
  }
}

export function openSession(deps: SessionDeps): Session {
  const { server, site, owner, cancel, clock } = deps
  let found = deps.probe
  const lease: Lease | null =
    deps.takenAt === null
      ? null
      : keepLease(server.name, deps.takenAt, clock, renewing(server.name, site, owner, deps.connect))
  const signal = lease === null ? cancel : AbortSignal.any([cancel, lease.lost])
  const losses = afterLosses({ ...deps, assertHeld: () => lease?.assertHeld() })
  /** A stale script of ours may still change something: it is ended before anything else begins, and before anything is read. */
  const runWith = async (
    signal: AbortSignal,
    work: (connection: Connection) => Promise<RunResult>,
  ): Promise<RunResult> => {
    const connection = await losses.connection(signal)
    const result = await work(connection)
    if (result.ended === 'lost' && lease !== null) losses.note(connection)
    return result
  }
  const whileHeld = async (signal: AbortSignal, work: (connection: Connection) => Promise<RunResult>) => {
    signal.throwIfAborted()
    lease?.assertHeld()
    const result = await runWith(signal, connection => {
      lease?.assertHeld() // ending what a lost connection left took time
      return work(connection)
    })
    // Who takes over ends our scripts: their ends, which a process that was stopped finds on waking, are no failures of theirs.
    if (lease?.isLost()) throw lease.lost.reason
    return result
  }
  return {
    server,
    site,
    owner,
    get probe() {
      return found
    },
    async reread() {
      found = parseProbe(
        printed(
          await runWith(signal, c => c.run(probe(site, deps.needs), { signal, timeout: shortly })),
          server.name,
          'preflight',
        ),
      )
    },
    signal,
    lost: () => lease?.isLost() ?? false,
    assertHeld: () => lease?.assertHeld(),
    async run(script, options) {
      const until = options.signal ?? signal
      const result = await whileHeld(until, c => c.run(script, { ...options, signal: until }))
      if (result.ended === 'cancelled' && options.signal === undefined && signal.aborted) throw signal.reason
      return result
    },
    async send(script, input, options) {
      try {
        const result = await whileHeld(signal, c => c.send(script, input, { ...options, signal }))
        if (result.ended === 'cancelled' && signal.aborted) throw signal.reason
        return result
      } finally {
        input.destroy()
      }
    },
    afterLoss: () => losses.settle(signal, 3),
    stillRunning: () => losses.stillRunning(signal),
    connection: () => deps.connect(signal),
    ending(seconds) {
      const soon = AbortSignal.timeout(seconds * 1000)
      return lease === null ? soon : AbortSignal.any([soon, lease.lost])
    },
    async unlock() {
      if (lease === null) return
      if (lease.isLost()) return
      lease.stop()
      const left = losses.seenRunning()
      if (left.length > 0)
        throw new StepError(`what this run cannot end still runs there, process group ${left.join(', ')}`, {
          server: server.name,
        })
      // A cancelled run still gives its locks back.
      const soon = AbortSignal.timeout(5_000)
      const result = await runWith(soon, c => c.run(releaseLock(site, owner), { signal: soon, timeout: 5 }))
      if (result.ended !== 'exit') throw new ConnectionError(`${server.name}: ${result.ended}`, { server: server.name })
      const said = parseRelease(result.stdout)
      if (said === 'busy') throw new StepError('a script of this run still runs there', { server: server.name })
      if (said === null && result.code !== 0)
        throw new StepError(`exit code ${result.code}: ${result.stderr.trim()}`, { server: server.name })
    },
  }
}

export const isUnreachable = (error: unknown): boolean => error instanceof ConnectionError
