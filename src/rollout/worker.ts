/** What a deployment does on one server, once there is a plan: stages, runs steps, migrates, switches, closes. */
import type { Readable } from 'node:stream'
import type { Receipt } from '../balancers/balancer.ts'
import type { Clock } from '../clock.ts'
import { LockLostError, StepError } from '../errors.ts'
import { type Slots, slots } from '../fleet/slots.ts'
import type { StoredWaits } from '../manifest/kept-waits.ts'
import type { Step } from '../manifest/schema.ts'
import type { PlannedStep } from '../plan/plan.ts'
import { waitInForce, waitsToStore } from '../plan/sticky-waits.ts'
import { fenced } from '../release/fence.ts'
import { finish } from '../release/finish.ts'
import { note, openJournal } from '../release/open-journal.ts'
import { isReleaseId } from '../release/site.ts'
import { discardStaging, mark, parseStageBegin, stageBegin, stageCommit, unpack } from '../release/stage.ts'
import { storableRun } from '../release/stored-waits.ts'
import { parseSwitch, switchBack, switchTo } from '../release/switch.ts'
import type { Emit, Result, StepPhase } from '../report/events.ts'
import { type Checking, checkingOf } from './checking.ts'
import { doneBefore, earlierReceipts, endOf, failedLast, goBackTo, stored } from './ending.ts'
import type { Grip } from './hands.ts'
import type { Ended } from './hands-contract.ts'
import { runMigration } from './migration.ts'
import { scriptsFor } from './scripts.ts'
import { printed, type Session, shortly } from './session.ts'
import { runShown } from './showing.ts'
import { assertAlone, runPhase, runStep, type StepEnd } from './steps.ts'
import type { ScriptRelease, Surroundings } from './variables.ts'

/** The packed release: opened anew for each server. */
export interface Package {
  readonly bytes: number
  open(): Readable
}

export interface WorkerDeps {
  readonly session: Session
  readonly surroundings: Surroundings
  readonly emit: Emit
  readonly clock: Clock
  /** All step runs of the deployment. */
  readonly slots: Slots
  /** null: an empty directory that `prepare` fills. */
  readonly package: Package | null
  readonly random: () => number
}

export interface Worker extends Grip {
  look: Checking['look']
  readonly session: Session
  /** The release `current` pointed to: its id, or another tool's link; null: none. */
  readonly previous: string | null
  /** The last deployment failed here, or left it out. */
  readonly failedBefore: boolean
  /** Puts every script and check together, so that what cannot be filled in is known before anything is changed. Throws InputError. */
  rehearse(): void
  /** An unfinished deployment of this release was done with the server, and it verifies now. */
  isDone(): Promise<boolean>
  /** Begins the deployment's journal. */
  begin(): Promise<void>
  /** The same deployment goes on with a server about which it had decided: its journal is open again. `out`: with what it was taken out. */
  reopen(out: readonly Receipt[]): Promise<void>
  /** Begins the journal and stages the release. fresh: `prepare` has to run. */
  stage(): Promise<'fresh' | 'ready'>
  markPrepared(): Promise<void>
  discard(): Promise<void>
  /** `result`: how the deployment went, in `cleanup`. */
  step(planned: PlannedStep, result?: Result): Promise<void>
  /** Runs the migration, or joins it where it is under way; throws when it failed. */
  migrate(): Promise<void>
  /** Says in the journal how the server ended, as soon as it has: nothing has to be recovered here any more. */
  decide(ended: Ended): Promise<void>
  /** What is stored of the waits after a success; `at`: seconds since 1970. null: there never was anything. */
  waitsToStore(at: number): StoredWaits | null
  /** Marks the release, writes history, journal and the waits in force (null: they stay as they lie there), prunes. */
  close(ended: Ended, result: Result, waits: StoredWaits | null): Promise<void>
}

/** Seconds for the last script on a server of a run that was cancelled. */
const cancelledSeconds = 3
/** Seconds for an upload that does not move: the lease ends sooner. */
const uploadSeconds = 6 * 3600

export function workerFor(deps: WorkerDeps): Worker {
  const { session, surroundings: s, emit, clock } = deps
  const { server, site, owner } = session
  const { manifest, plan } = s
  const oneAtATime = slots(manifest.rollout.concurrent_steps ? 1_000 : 1)
  const previous = goBackTo(session.probe, plan.release?.id ?? null)
  const scripts = scriptsFor(session, s)
  const { releaseOf, scriptOf, checksOf } = scripts
  const checking = checkingOf(session, scripts, emit, clock)
  const earlier: readonly Receipt[] = earlierReceipts(session, manifest)

  // Read before anything is written: this deployment's own journal is another one.
  const continues = doneBefore(session.probe, plan.release?.id ?? null, plan.command)
  const opened = {
    deployment: owner.token,
    run: s.runUrl,
    release: plan.release?.id ?? null,
    previous,
    strategy: plan.strategy.value,
    commit: plan.release?.commit ?? null,
  }

  const own = async (script: string, stage: string, seconds = shortly) =>
    printed(await session.run(script, { timeout: seconds }), server.name, stage)
  const needRelease = (): string => {
    if (plan.release === null) throw new Error('a deployment without releases stages none')
    return plan.release.id
  }
  async function shown(text: string, timeout: number): Promise<StepEnd> {
    assertAlone(server.name, await session.stillRunning())
    const { result, tail } = await runShown(session, emit, text, timeout)
    if (result.ended === 'exit' && result.code !== 0) ownExit(result.code, tail)
    if (result.ended !== 'lost') return { result, tail }
    const said = `${server.name}: the connection was lost in a step (${result.reason}); it is made again`
    emit({ type: 'message', level: 'warning', server: server.name, text: said })
    return { result, tail, after: await session.afterLoss() }
  }
  /** Only our own wrapper ends with this code before a user's script begins. */
  function ownExit(code: number, tail: string): void {
    if (code === 75 && tail.includes('the lock on this server is no longer ours'))
      printed({ ended: 'exit', code, stdout: '', stderr: tail }, server.name, 'step')
  }

  const run = (phase: StepPhase, step: Step, release: ScriptRelease | null, result?: Result): Promise<void> =>
    oneAtATime.run(() =>
      runStep(
        {
          server: server.name,
          phase,
          step,
          start: () =>
            shown(
              fenced(
                site,
                owner,
                scriptOf(
                  step.run,
                  release,
                  step,
                  result === undefined ? {} : { DEPLOY_RESULT: result },
                  there || phase !== 'cleanup',
                ),
              ),
              step.timeout,
            ),
        },
        { emit, clock, signal: session.signal, slots: deps.slots, random: deps.random },
      ),
    )
  const stepOf = (planned: PlannedStep): Step => {
    const step = manifest[planned.phase][planned.index]
    if (step === undefined) throw new Error(`no step ${planned.phase} ${planned.index}`)
    return step
  }
  /** After a connection that was lost: the switch may have been made. What cannot be read counts as changed: it stays out. */
  const nowPointsTo = async (release: string): Promise<boolean> => {
    try {
      await session.reread()
      return session.probe.current === release
    } catch (error) {
      if (session.signal.aborted) throw session.signal.reason
      if (error instanceof LockLostError) throw error
      return true
    }
  }
  const target = () => releaseOf(plan.release?.id ?? null)
  /** `cleanup` also runs where the release never came to, or was removed again: in the user's home then. */
  let there = plan.release === null || session.probe.marks.some(m => m.id === plan.release?.id)

  return {
    server,
    session,
    previous,
    failedBefore: earlier.length > 0 || failedLast(session.probe),
    signal: session.signal,
    assertHeld: () => session.assertHeld(),
    waitsAt: balancer => ({
      removing: waitInForce(manifest, plan.storedWaits, balancer, 'removing').seconds,
      adding: waitInForce(manifest, plan.storedWaits, balancer, 'adding').seconds,
    }),
    earlierReceipts: Object.fromEntries(earlier.map(r => [r.balancer, r])),

    rehearse() {
      for (const planned of plan.steps)
        if (planned.servers.includes(server.name)) scriptOf(stepOf(planned).run, target(), stepOf(planned))
      if (plan.migration.server === server.name && manifest.migrate !== undefined)
        scriptOf(manifest.migrate.run, target(), manifest.migrate)
      checksOf(target())
    },

    async isDone() {
      if (!continues || earlier.length > 0) return false
      try {
        await this.verify(plan.release?.id ?? null)
        return true
      } catch (error) {
        if (error instanceof LockLostError || session.signal.aborted) throw error
        return false
      }
    },

    async begin() {
      await own(openJournal(site, owner, opened, earlier.map(stored)), 'preparing')
    },

    async reopen(out) {
      const leftOut = { type: 'left-out', receipts: out.map(stored) } as const
      const entries = [{ type: 'opened', ...opened }, leftOut, { type: 'activated', ok: true }] as const
      await own(note(site, owner, entries), 'rolling back')
    },

    async stage() {
      await this.begin()
      if (plan.release === null) return 'fresh'
      const id = needRelease()
      emit({ type: 'stage', server: server.name, stage: 'staging' })
      there = false
      const began = clock.now()
      const answer = parseStageBegin(await own(stageBegin(site, owner, id), 'preparing', 600))
      if (answer === null)
        throw new StepError(`${server.name}: no answer that can be read`, {
          server: server.name,
          stage: 'preparing',
          hint: 'is a login script in the way that prints something?',
        })
      if (answer === 'marked') {
        there = true
        emit({ type: 'uploaded', server: server.name, bytes: 0, seconds: (clock.now() - began) / 1000, reused: true })
        return 'ready'
      }
      if (deps.package !== null) {
        const sent = await session.send(unpack(site, owner, id), deps.package.open(), { timeout: uploadSeconds })
        printed(sent, server.name, 'preparing')
      }
      await own(stageCommit(site, owner, id, manifest.release?.shared ?? []), 'preparing')
      there = true
      emit({
        type: 'uploaded',
        server: server.name,
        bytes: deps.package?.bytes ?? 0,
        seconds: (clock.now() - began) / 1000,
        reused: false,
      })
      return 'fresh'
    },

    async markPrepared() {
      if (plan.release !== null) await own(mark(site, owner, needRelease()), 'preparing', 600)
      emit({ type: 'stage', server: server.name, stage: 'prepared' })
    },

    async discard() {
      if (plan.release === null) return
      there = false
      await own(discardStaging(site, owner, needRelease()), 'preparing', 600)
    },

    step: (planned, result) => run(planned.phase, stepOf(planned), target(), result),

    async switchTo(release) {
      const script = isReleaseId(release) ? switchTo(site, owner, release) : switchBack(site, owner, release)
      const result = await session.run(script, { timeout: shortly })
      let { changed } = parseSwitch(result.stdout)
      if (!changed && result.ended !== 'exit') changed = await nowPointsTo(release)
      try {
        printed(result, server.name, 'switching')
        return { changed: true }
      } catch (error) {
        return { changed, error }
      }
    },

    async activate(release) {
      const steps = plan.steps.filter(p => p.phase === 'activate')
      const { failed } = await runPhase(
        steps,
        planned => run('activate', stepOf(planned), releaseOf(release)),
        new Set([server.name]),
      )
      for (const error of failed.values()) throw error
    },

    verify: checking.verify,
    look: checking.look,

    async migrate() {
      const { migrate } = manifest
      const { release } = plan
      if (migrate === undefined) throw new Error('there is nothing to migrate')
      const script = scriptOf(migrate.run, target(), migrate)
      await deps.slots.run(() =>
        runMigration({
          session,
          emit,
          clock,
          script,
          name: migrate.name,
          timeout: migrate.timeout,
          release: s.contentId,
          commit: release?.commit ?? null,
          run: s.runUrl,
          forced: s.repeatMigration,
        }),
      )
    },

    async decide(ended) {
      if (ended.open) return
      const leftOut = ended.leftOut ? ended.receipts.map(stored) : []
      const closed = { type: 'closed', outcome: ended.outcome, rotation: ended.rotation } as const
      const restored = ended.restored ? [{ type: 'restored' } as const] : []
      await own(note(site, owner, [...restored, { type: 'left-out', receipts: leftOut }, closed]), 'finish')
    },

    waitsToStore: at =>
      waitsToStore(manifest, plan.storedWaits, { deployment: owner.token, run: storableRun(s.runUrl), at }),

    async close(ended, result, waits) {
      // A cancelled run has seconds, and writes no less than where each server stands.
      const seconds = result === 'cancelled' ? cancelledSeconds : 600
      const end = finish(site, owner, endOf(session, s, ended, result, waits))
      printed(await session.run(end, { timeout: seconds, signal: session.ending(seconds) }), server.name, 'finish')
    },

    async note(what, receipts) {
      const entry =
        what === 'removing'
          ? ({ type: 'removing', receipts: receipts.map(stored) } as const)
          : what === 'activated'
            ? ({ type: 'activated', ok: true } as const)
            : ({ type: what } as const)
      await own(note(site, owner, [entry]), what)
    },
  }
}
