/** What commands equip a run with: the site on the servers, the plan, workers and balancers. */
import { patient } from '../balancers/backing-off.ts'
import type { LoadBalancer } from '../balancers/balancer.ts'
import { confirmed } from '../balancers/confirm.ts'
import { buildBalancers } from '../balancers/providers.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { slots } from '../fleet/slots.ts'
import { resolve } from '../manifest/lookups.ts'
import type { Server } from '../manifest/manifest.ts'
import { makePlan } from '../plan/make-plan.ts'
import type { Plan, PlannedRelease, PlannedShard } from '../plan/plan.ts'
import { shardParts } from '../plan/shard-plan.ts'
import { believedWaits, noStoredWaits } from '../plan/sticky-waits.ts'
import { claiming } from '../release/preview.ts'
import { migrationTools, type Probe, uploadTools } from '../release/probe.ts'
import { isReleaseId, type Site } from '../release/site.ts'
import { doneBefore, earlierReceipts, failedLast } from '../rollout/ending.ts'
import { unfit } from '../rollout/fitness.ts'
import type { Opened } from '../rollout/open-sessions.ts'
import type { Recovery } from '../rollout/recover-all.ts'
import type { Session } from '../rollout/session.ts'
import {
  commitOf,
  deployVariables,
  lookupNames,
  releaseDirectory,
  type ScriptRelease,
  type Surroundings,
  secretsOf,
  valuesOf,
} from '../rollout/variables.ts'
import { type Package, type Worker, workerFor } from '../rollout/worker.ts'
import type { Context } from './context.ts'
import { fleetOf } from './open-fleet.ts'
import { placeOf } from './preview-place.ts'
import { type Material, migrationFactsOf, releasePathOf, urlOf } from './site.ts'

export const siteOf = ({ request, manifest }: Pick<Context, 'request' | 'manifest'>): Site => ({
  application: manifest.application,
  environment: manifest.environment,
  releasePath: releasePathOf(request, manifest),
})

/** What opening sessions needs besides the servers and the lock. */
export function opening(c: Context, material: Pick<Material, 'release' | 'source'>, fleet: Fleet) {
  const { manifest } = c
  const site = siteOf(c)
  const steps = [
    ...manifest.prepare,
    ...manifest.activate,
    ...manifest.finalize,
    ...manifest.cleanup,
    ...(manifest.migrate ? [manifest.migrate] : []),
  ]
  const commands = manifest.verify.some(v => v.command !== undefined)
  const shells = [...new Set([...steps.map(s => s.shell ?? manifest.shell), ...(commands ? [manifest.shell] : [])])]
  const tools = [
    ...(material.source === null ? [] : uploadTools),
    ...(manifest.migrate === undefined ? [] : migrationTools),
    ...(steps.some(s => s.become) ? ['sudo'] : []),
  ]
  const { preview } = manifest
  const limit = c.request.command === 'preview' ? (preview?.limit ?? null) : null
  return {
    site,
    fleet,
    ...(preview === undefined ? {} : { around: claiming(site, placeOf(c), limit) }),
    emit: c.emit,
    clock: c.clock,
    cancel: c.cancel,
    needs: () => ({ tools, shells, shared: manifest.release?.shared ?? [] }),
    unfit: (server: { readonly name: string }, probe: Probe) => {
      const there = probe.marks.some(m => m.id === material.release?.id)
      return unfit(server.name, site, probe, {
        bytes: there ? 0 : (material.release?.bytes ?? 0),
        files: there ? 0 : (material.release?.files ?? 0),
      })
    },
  }
}

/** Servers that failed last time or were left out. */
const earlierOf = (sessions: ReadonlyMap<string, Session>, manifest: Context['manifest']): readonly string[] =>
  [...sessions].filter(([, s]) => earlierReceipts(s, manifest).length > 0 || failedLast(s.probe)).map(([name]) => name)

export async function planOf(c: Context, material: Material, opened: Omit<Opened, 'failed'>): Promise<Plan> {
  const { request, manifest } = c
  const sessions = new Map([...opened.others, ...opened.sessions])
  const migration = await migrationFactsOf(request, manifest, material, sessions, c.cancel)
  return makePlan(
    manifest,
    { ...request, command: 'deploy' },
    { release: material.release, migration, ...found(c, opened, 'deploy', material.release?.id ?? null) },
  )
}

/** What was read of the servers, as far as every plan depends on it. */
export const found = (
  { request, manifest }: Context,
  { sessions, others, unreachable }: Omit<Opened, 'failed'>,
  command: Plan['command'],
  release: string | null,
) => ({
  current: Object.fromEntries([...sessions].map(([name, s]) => [name, s.probe.current])),
  url: urlOf(request, manifest),
  earlier: earlierOf(sessions, manifest),
  unreachable: [...unreachable.keys()],
  storedWaits: believedWaits(Object.fromEntries([...others, ...sessions].map(([name, s]) => [name, s.probe.waits]))),
  done: [...sessions]
    .filter(([, s]) => doneBefore(s.probe, release, command) && earlierReceipts(s, manifest).length === 0)
    .map(([name]) => name),
})

function surroundingsOf({ request, manifest }: Context, plan: Plan, contentId: string): Surroundings {
  const { run } = request
  return {
    plan,
    manifest,
    env: request.env,
    ref: run.ref,
    runUrl: run.url,
    runId: run.runId,
    repository: run.repository,
    actor: run.actor,
    contentId,
    // Without releases and without a commit every deployment has the same id: nothing says that it was migrated.
    repeatMigration: request.migrate === true || (plan.release === null && contentId.startsWith('nocommit-')),
  }
}

/** What works on each server, for one plan. */
export function workersFor(
  c: Context,
  plan: Plan,
  contentId: string,
  sessions: ReadonlyMap<string, Session>,
  packed: Package | null,
): ReadonlyMap<string, Worker> {
  const surroundings = surroundingsOf(c, plan, contentId)
  const all = slots(plan.maxParallelism.value)
  const worker = (session: Session) =>
    workerFor({ session, surroundings, emit: c.emit, clock: c.clock, slots: all, package: packed, random: Math.random })
  return new Map([...sessions].map(([name, session]) => [name, worker(session)]))
}

/** The balancers of these names; none under parallel, which needs no credentials of theirs. Opens nothing yet. */
export function balancersOf(c: Context, plan: Plan, needed: ReadonlySet<string>): ReadonlyMap<string, LoadBalancer> {
  if (needed.size === 0) return new Map()
  const { manifest, request } = c
  const s = surroundingsOf(c, plan, plan.release?.id ?? '')
  // Connections of the balancers' own: they close them, and their polls wait in nobody else's queue.
  const fleet = fleetOf(c)
  const names = (server: Server) => lookupNames(s, null, server)
  const chosen = Object.entries(manifest.load_balancers).filter(([name]) => needed.has(name))
  const built = buildBalancers(
    { load_balancers: Object.fromEntries(chosen) },
    {
      servers: manifest.servers,
      connect: (server, signal) => fleet.connect(server, signal),
      resolve: (text, server) => resolve(text, names(server)),
      shell: manifest.shell,
      variables: server => ({
        env: {
          ...deployVariables(
            s,
            server,
            releaseNow(plan),
            plan.servers.find(p => p.name === server.name)?.current ?? null,
          ),
          ...valuesOf(manifest.env, s.env, 'env', text => resolve(text, names(server))),
          ...valuesOf(server.env, s.env, `env of ${server.name}`, text => resolve(text, names(server))),
        },
        secrets: secretsOf(manifest.secrets, s.env),
      }),
      runnerEnv: Object.fromEntries(
        Object.entries(request.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
      ),
      onOutput: (server, output) => c.emit({ type: 'output', server, stream: output.stream, text: output.text }),
    },
  )
  return new Map([...built].map(([name, balancer]) => [name, patient(balancer, c)]))
}

/** The same, for a plan that takes servers out: confirmed by the servers themselves where that is asked for or needed. */
export function confirmedBalancers(c: Context, plan: Plan, needed: ReadonlySet<string>) {
  const { manifest, clock } = c
  const fleet = fleetOf(c)
  return new Map(
    [...balancersOf(c, plan, needed)].map(([name, balancer]) => {
      const leaving = new Set(plan.servers.filter(s => s.balancers.includes(name)).map(s => s.name))
      const connect = (server: Server, signal: AbortSignal) => fleet.connect(server, signal)
      return [name, confirmed(balancer, manifest.load_balancers[name] ?? {}, { manifest, leaving, connect, clock })]
    }),
  )
}

/** The release that a deployment is about, for the scripts of its balancers. */
const releaseNow = ({ release }: Plan): ScriptRelease | null =>
  release === null ? null : { id: release.id, path: releaseDirectory(release.path, release.id), commit: release.commit }

/** A plan for what an earlier deployment left: its release, nobody's migration. */
export function recoveryPlan({ request, manifest }: Context, release: string | null, of: Session | null = null): Plan {
  const path = releasePathOf(request, manifest)
  const planned: PlannedRelease | null =
    path === null || release === null || !isReleaseId(release)
      ? null
      : { id: release, commit: commitOf(release), path, source: null, files: 0, bytes: 0 }
  const migration = { done: false, underWay: false, changed: null }
  const wish = {
    command: 'deploy',
    servers: 'all',
    strategy: null,
    maxParallelism: null,
    migrate: manifest.migrate === undefined ? null : false,
  } as const
  // One server comes to an end by what lies on it.
  const storedWaits = of === null ? noStoredWaits : believedWaits({ [of.server.name]: of.probe.waits })
  const nothing = { current: {}, url: null, earlier: [], unreachable: [], storedWaits, done: [] }
  return makePlan(manifest, wish, { release: planned, migration, ...nothing })
}

/** `shard`: what others may take out at the same time is counted. */
export function recoveryOf(c: Context, leftOutToo: boolean, shard: PlannedShard | null): Recovery {
  const { manifest, emit, clock, cancel, request } = c
  return {
    manifest,
    emit,
    clock,
    cancel,
    leftOutToo,
    ...(shard && { partsAt: shardParts(manifest, shard) }),
    run: request.run.url,
    actor: request.run.actor,
    workerFor(session, release) {
      const plan = recoveryPlan(c, release, session)
      const worker = workersFor(c, plan, release ?? '', new Map([[session.server.name, session]]), null).get(
        session.server.name,
      )
      if (worker === undefined) throw new Error(`${session.server.name} has no worker`)
      return { worker, plan }
    },
    openBalancers: names => balancersOf(c, recoveryPlan(c, null), names),
  }
}
