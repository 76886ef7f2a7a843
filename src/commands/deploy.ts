/** `deploy`: everything that can be checked first, then the rollout. */
import type { LoadBalancer } from '../balancers/balancer.ts'
import { buildBalancers } from '../balancers/providers.ts'
import { resolve } from '../manifest/lookups.ts'
import { makePlan } from '../plan/make-plan.ts'
import type { Plan } from '../plan/plan.ts'
import { selectServers } from '../plan/select.ts'
import { migrationTools, uploadTools } from '../release/probe.ts'
import type { Site } from '../release/site.ts'
import type { Result } from '../report/events.ts'
import { runDeployment } from '../rollout/deployment.ts'
import { unfit } from '../rollout/fitness.ts'
import { openSessions } from '../rollout/open-sessions.ts'
import { slots } from '../rollout/schedule.ts'
import type { Session } from '../rollout/session.ts'
import { deployVariables, lookupNames, type Surroundings, secretsOf, valuesOf } from '../rollout/variables.ts'
import { type Package, workerFor } from '../rollout/worker.ts'
import type { Context } from './context.ts'
import { fleetOf } from './open-fleet.ts'
import { checkVariables, type Material, materialOf, migrationFactsOf, newToken, packageOf, urlOf } from './site.ts'

export async function deploy(c: Context): Promise<Result> {
  const { request, manifest, emit, cancel, clock } = c
  const selected = selectServers(manifest.servers, request.servers)
  if (selected.length === 0) {
    emit({ type: 'message', level: 'notice', text: 'Nothing to do: the input servers is [].' })
    return 'success'
  }
  checkVariables(manifest, request.env, selected)
  const material = await materialOf(request, manifest, emit, cancel)
  const fleet = fleetOf(c)
  const owner = { token: newToken() }
  const info = { run: request.run.url, actor: request.run.actor, startedAt: new Date(clock.wall()).toISOString() }
  let package_: Package | null = null
  try {
    return await runDeployment({
      manifest,
      selected,
      emit,
      clock,
      cancel,
      openSessions: () =>
        openSessions({
          ...opening(c, material, fleet),
          servers: selected,
          lock: { owner, info, wait: manifest.rollout.lock_wait },
        }),
      async makePlan(sessions) {
        const plan = await planOf(c, material, sessions)
        package_ = await packageOf(material, request, sessions, cancel)
        return plan
      },
      makeWorkers(plan, sessions) {
        const surroundings = surroundingsOf(c, plan, material)
        const all = slots(plan.maxParallelism.value)
        return new Map(
          [...sessions].map(([name, session]) => [
            name,
            workerFor({ session, surroundings, emit, clock, slots: all, package: package_, random: Math.random }),
          ]),
        )
      },
      openBalancers: plan => balancersOf(c, plan, material),
    })
  } finally {
    fleet.close()
  }
}

export const siteOf = ({ manifest }: Pick<Context, 'manifest'>, material: Material): Site => ({
  application: manifest.application,
  environment: manifest.environment,
  releasePath: material.release?.path ?? null,
})

/** What opening sessions needs besides the servers and the lock. */
export function opening(c: Context, material: Material, fleet: ReturnType<typeof fleetOf>) {
  const { manifest } = c
  const site = siteOf(c, material)
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
  return {
    site,
    fleet,
    emit: c.emit,
    clock: c.clock,
    cancel: c.cancel,
    needs: () => ({ tools, shells, shared: manifest.release?.shared ?? [] }),
    unfit: (server: { readonly name: string }, probe: Parameters<typeof unfit>[2]) => {
      const there = probe.marks.some(m => m.id === material.release?.id)
      return unfit(server.name, site, probe, {
        bytes: there ? 0 : (material.release?.bytes ?? 0),
        files: there ? 0 : (material.release?.files ?? 0),
      })
    },
  }
}

export async function planOf(c: Context, material: Material, sessions: ReadonlyMap<string, Session>): Promise<Plan> {
  const { request, manifest } = c
  const migration = await migrationFactsOf(request, manifest, material, sessions, c.cancel)
  const current = Object.fromEntries([...sessions].map(([name, s]) => [name, s.probe.current]))
  return makePlan(manifest, request, { release: material.release, migration, current, url: urlOf(request, manifest) })
}

function surroundingsOf({ request, manifest }: Context, plan: Plan, material: Material): Surroundings {
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
    contentId: material.contentId,
    repeatMigration: request.migrate === true,
  }
}

/** The balancers that servers will leave; none under parallel, which needs no credentials of theirs. */
export function balancersOf(c: Context, plan: Plan, material: Material): ReadonlyMap<string, LoadBalancer> {
  const needed = new Set(plan.servers.flatMap(s => s.balancers))
  if (needed.size === 0) return new Map()
  const { manifest, request } = c
  const s = surroundingsOf(c, plan, material)
  // A connection of the balancer's own: it closes it, and its polls are no one else's queue.
  const fleet = fleetOf(c)
  const names = (server: Parameters<typeof deployVariables>[1]) => lookupNames(s, null, server)
  const built = buildBalancers(
    {
      load_balancers: Object.fromEntries(Object.entries(manifest.load_balancers).filter(([name]) => needed.has(name))),
    },
    {
      servers: manifest.servers,
      connect: (server, signal) => fleet.connect(server, signal),
      resolve: (text, server) => resolve(text, names(server)),
      shell: manifest.shell,
      variables: server => ({
        env: {
          ...deployVariables(s, server, null, null),
          ...valuesOf(manifest.env, s.env, 'env', text => resolve(text, names(server))),
        },
        secrets: secretsOf(manifest.secrets, s.env),
      }),
      runnerEnv: Object.fromEntries(
        Object.entries(request.env).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
      ),
      onOutput: (server, output) => c.emit({ type: 'output', server, stream: output.stream, text: output.text }),
    },
  )
  return built
}
