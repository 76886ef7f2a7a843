/** The steps of `teardown` on the servers where a preview is: as every step, under its lock. */
import { type Slots, slots } from '../fleet/slots.ts'
import type { Step } from '../manifest/schema.ts'
import { makePlan } from '../plan/make-plan.ts'
import { plannedList } from '../plan/steps.ts'
import { noStoredWaits } from '../plan/sticky-waits.ts'
import { fenced } from '../release/fence.ts'
import { isReleaseId } from '../release/site.ts'
import { scriptsFor } from '../rollout/scripts.ts'
import type { Session } from '../rollout/session.ts'
import { runShown } from '../rollout/showing.ts'
import { runPhase, runStep } from '../rollout/steps.ts'
import { commitOf } from '../rollout/variables.ts'
import type { Context } from './context.ts'
import { releasePathOf } from './site.ts'

/** Runs them; what failed, by server. Throws before any of them runs when one cannot be put together, and the signal's reason. */
export async function runTeardown(
  c: Context,
  sessions: ReadonlyMap<string, Session>,
): Promise<ReadonlyMap<string, unknown>> {
  const { manifest, emit, clock } = c
  const list = manifest.preview?.teardown ?? []
  const planned = plannedList(
    list,
    manifest.environment,
    manifest.servers.filter(s => sessions.has(s.name)),
  )
  const scripts = new Map([...sessions].map(([name, session]) => [name, scriptsOf(c, session, list)]))
  const all = slots(c.request.maxParallelism ?? manifest.rollout.max_parallelism)
  const alone = new Map<string, Slots>(
    [...sessions.keys()].map(name => [name, slots(manifest.rollout.concurrent_steps ? 1_000 : 1)]),
  )
  const { failed } = await runPhase(
    planned,
    async ({ index }, server) => {
      const [step, session, text] = [list[index], sessions.get(server), scripts.get(server)?.[index]]
      if (step === undefined || session === undefined || text === undefined)
        throw new Error(`no step teardown ${index}`)
      const start = () => runShown(session, emit, fenced(session.site, session.owner, text), step.timeout)
      const surroundings = { emit, clock, signal: session.signal, slots: all, random: Math.random }
      await alone.get(server)?.run(() => runStep({ server, phase: 'teardown', step, start }, surroundings))
    },
    new Set(sessions.keys()),
    { goesOn: () => true },
  )
  c.cancel.throwIfAborted()
  return failed
}

/** The text of each step on one server: for the release that is current there, in its directory; without one in the user's home. */
function scriptsOf(c: Context, session: Session, list: readonly Step[]): readonly string[] {
  const { manifest, request } = c
  const { current, dangling } = session.probe
  const release = current !== null && isReleaseId(current) ? current : null
  const path = releasePathOf(request, manifest) ?? ''
  const wish = { command: 'deploy', servers: 'all', strategy: null, maxParallelism: null, migrate: null } as const
  const plan = makePlan(manifest, wish, {
    release: {
      id: release ?? '',
      commit: release === null ? null : commitOf(release),
      path,
      source: null,
      files: 0,
      bytes: 0,
    },
    migration: { done: false, underWay: false, changed: null },
    current: {},
    url: null,
    earlier: [],
    unreachable: [],
    storedWaits: noStoredWaits,
    done: [],
  })
  const { run, env } = request
  const { scriptOf, releaseOf } = scriptsFor(session, {
    plan,
    manifest,
    env,
    ref: run.ref,
    runUrl: run.url,
    runId: run.runId,
    repository: run.repository,
    actor: run.actor,
    contentId: release ?? '',
    repeatMigration: false,
  })
  return list.map(step => scriptOf(step.run, releaseOf(release), step, {}, release !== null && !dangling))
}
