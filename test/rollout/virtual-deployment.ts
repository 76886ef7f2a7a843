/**
 * A deployment in virtual time: the real plan, phases, rollout, workers and steps, over servers and a balancer in memory. A user's script
 * is a line `: step NAME`; how long it takes and whether it fails is the test's. What ran when is told as intervals.
 */
import type { Evidence, LoadBalancer, Receipt, Rotation } from '../../src/balancers/balancer.ts'
import { BalancerError } from '../../src/errors.ts'
import type { Connection, RunResult } from '../../src/fleet/connection.ts'
import { slots } from '../../src/fleet/slots.ts'
import type { Manifest, Server } from '../../src/manifest/manifest.ts'
import { type Facts, makePlan, type Wish } from '../../src/plan/make-plan.ts'
import type { Plan } from '../../src/plan/plan.ts'
import { noStoredWaits } from '../../src/plan/sticky-waits.ts'
import type { Probe } from '../../src/release/probe.ts'
import type { Event, Result } from '../../src/report/events.ts'
import { runDeployment } from '../../src/rollout/deployment.ts'
import type { Session } from '../../src/rollout/session.ts'
import type { Surroundings } from '../../src/rollout/variables.ts'
import { workerFor } from '../../src/rollout/worker.ts'
import { haproxy, manifest as manifestOf, type Shape } from '../plan/manifests.ts'
import { fakeClock } from '../support/fake-clock.ts'

export const oldRelease = '000000000000-00000000'
export const newRelease = '111111111111-11111111'

/** Seconds of virtual time. */
export interface Interval {
  readonly server: string
  readonly step: string
  readonly release: string
  readonly from: number
  readonly to: number
  readonly ok: boolean
}

export interface Outside {
  /** Seconds that a step takes on a server, and whether it fails. Default: 1 s, well. */
  readonly step?: (
    step: string,
    server: string,
    release: string,
  ) => { readonly seconds: number; readonly fails?: boolean }
  /** Whether a check is good. */
  readonly verify?: (server: string, release: string, now: number) => boolean
  /** A server that the balancer finds unhealthy by itself from this second on. */
  readonly sickFrom?: Readonly<Record<string, number>>
  /** Seconds from which the balancer answers nothing. */
  readonly balancerGoneFrom?: number
  readonly probe?: (server: string) => Partial<Probe>
  readonly wish?: Partial<Wish>
  readonly facts?: Partial<Facts>
  /** Seconds after which the run is cancelled. */
  readonly cancelAt?: number
}

export interface Ran {
  readonly result: Result | 'threw'
  readonly error: unknown
  readonly plan: Plan | null
  readonly intervals: readonly Interval[]
  readonly events: readonly Event[]
  /** By server: how it ended, last word. */
  readonly outcomes: Readonly<Record<string, string>>
  readonly leftOut: readonly string[]
  readonly releases: Readonly<Record<string, string | null>>
  readonly rotation: Readonly<Record<string, 'in' | 'out'>>
  /** Seconds at which each server was removed and restored. */
  readonly removals: readonly { readonly server: string; readonly at: number; readonly inService: number }[]
  readonly seconds: number
}

const probeOf = (server: string, { probe }: Outside): Probe => ({
  boot: 'b',
  uptime: 1,
  current: oldRelease,
  currentIs: 'link',
  dangling: false,
  marks: [{ id: oldRelease, result: 'good', order: 1, at: 1 }],
  journal: { entries: [], corrupt: [], stale: [] },
  history: [],
  migrated: [],
  migrations: [],
  waits: null,
  lock: { state: 'none' },
  freeBytes: null,
  freeInodes: null,
  missingTools: [],
  missingShared: [],
  unwritable: [],
  ...probe?.(server),
})

export async function deployVirtually(manifest: Manifest, outside: Outside = {}): Promise<Ran> {
  const clock = fakeClock()
  const seconds = () => clock.now() / 1000
  const cancel = new AbortController()
  const events: Event[] = []
  const intervals: Interval[] = []
  const releases: Record<string, string | null> = {}
  const rotation: Record<string, 'in' | 'out'> = {}
  const removals: { server: string; at: number; inService: number }[] = []
  for (const { name } of manifest.servers) {
    releases[name] = probeOf(name, outside).current
    rotation[name] = 'in'
  }
  const exit = (code: number, stdout = ''): RunResult => ({ ended: 'exit', code, stdout, stderr: '' })

  async function script(server: string, text: string, signal: AbortSignal): Promise<RunResult> {
    const step = /: step ([a-z0-9]+)/.exec(text)?.[1]
    if (step === undefined) {
      // Scripts of ours take no time; the switch is the one whose effect counts.
      const to = /ln -s -- '?releases\/([0-9a-f-]+)/.exec(text)?.[1]
      if (to !== undefined) releases[server] = to
      return exit(0, to === undefined ? 'stage\n' : `switched\treleases/${to}\n`)
    }
    const release = /DEPLOY_RELEASE='?([0-9a-f-]*)/.exec(text)?.[1] ?? ''
    const from = seconds()
    const { seconds: takes, fails = false } = outside.step?.(step, server, release) ?? { seconds: 1 }
    try {
      await clock.sleep(takes * 1000, signal)
    } catch {
      intervals.push({ server, step, release, from, to: seconds(), ok: false })
      return { ended: 'cancelled' } as RunResult
    }
    intervals.push({ server, step, release, from, to: seconds(), ok: !fails })
    return exit(fails ? 1 : 0)
  }
  const sessionOf = (server: Server): Session => {
    const connection = {
      name: server.name,
      run: async (_text: string) => {
        const good = outside.verify?.(server.name, releases[server.name] ?? '', seconds()) ?? true
        return exit(good ? 0 : 1)
      },
      close: () => {},
    } as unknown as Connection
    const run: Session['run'] = (text, options) => script(server.name, text, options.signal ?? cancel.signal)
    return {
      server,
      site: { application: 'storefront', environment: null, releasePath: '/srv/app' },
      owner: { token: 'f'.repeat(32) },
      probe: probeOf(server.name, outside),
      reread: async () => {},
      signal: cancel.signal,
      lost: () => false,
      assertHeld: () => {},
      run,
      send: (text, input, options) => {
        input.destroy()
        return run(text, options)
      },
      afterLoss: async () => {
        throw new Error('no connection is lost here')
      },
      stillRunning: async () => [],
      connection: async () => connection,
      ending: () => new AbortController().signal,
      unlock: async () => {},
    }
  }

  const standing = (server: string): Rotation => {
    if (rotation[server] === 'out') return { state: 'out', detail: '' }
    const sick = outside.sickFrom?.[server]
    return sick !== undefined && seconds() >= sick ? { state: 'unhealthy', detail: 'sick' } : { state: 'serving' }
  }
  const asked = () => {
    if (outside.balancerGoneFrom !== undefined && seconds() >= outside.balancerGoneFrom)
      throw new BalancerError('edge does not answer')
  }
  const evidence: Evidence = { drained: 'connections', serving: 'health', settleMs: 0, pollMs: 200 }
  const balancer = (name: string): LoadBalancer => ({
    name,
    preflight: async servers => {
      asked()
      return { rotation: Object.fromEntries(servers.map(s => [s.name, standing(s.name)])), warnings: [] }
    },
    receipt: async server => {
      asked()
      return { balancer: name, server: server.name, before: standing(server.name).state, data: {} }
    },
    remove: async (receipt: Receipt) => {
      asked()
      if (rotation[receipt.server] === 'in') {
        rotation[receipt.server] = 'out'
        const inService = manifest.servers.filter(s => standing(s.name).state === 'serving').length
        removals.push({ server: receipt.server, at: seconds(), inService })
      }
    },
    restore: async receipt => {
      asked()
      if (receipt.before === 'serving' || receipt.before === 'unhealthy') rotation[receipt.server] = 'in'
    },
    read: async receipt => {
      asked()
      return standing(receipt.server)
    },
    evidence: async () => evidence,
    byHand: receipt => `put ${receipt.server} back`,
  })

  const made: { plan: Plan | null } = { plan: null }
  const selected = manifest.servers
  const surroundings = (plan: Plan): Surroundings => ({
    plan,
    manifest,
    env: {},
    ref: null,
    runUrl: null,
    runId: null,
    repository: null,
    actor: null,
    contentId: newRelease,
    repeatMigration: false,
  })
  if (outside.cancelAt !== undefined)
    clock.sleep(outside.cancelAt * 1000, new AbortController().signal).then(() => cancel.abort(new Error('cancelled')))
  let result: Result | 'threw'
  let error: unknown = null
  try {
    result = await runDeployment({
      manifest,
      selected,
      emit: event => void events.push({ ...event, at: clock.wall() }),
      clock,
      cancel: cancel.signal,
      finished: () => {},
      openSessions: async () => ({
        sessions: new Map(selected.map(s => [s.name, sessionOf(s)])),
        others: new Map(),
        failed: new Map(),
        unreachable: new Map(),
      }),
      recover: async () => false,
      makePlan: async () => {
        made.plan = makePlan(
          manifest,
          { command: 'deploy', servers: 'all', strategy: null, maxParallelism: null, migrate: null, ...outside.wish },
          {
            release: { id: newRelease, commit: null, path: '/srv/app', source: null, files: 0, bytes: 0 },
            migration: { done: false, underWay: false, changed: null },
            current: releases,
            url: null,
            earlier: [],
            unreachable: [],
            storedWaits: noStoredWaits,
            done: [],
            ...outside.facts,
          },
        )
        return made.plan
      },
      makeWorkers: (plan, sessions) => {
        const all = slots(plan.maxParallelism.value)
        return new Map(
          [...sessions].map(([name, session]) => [
            name,
            workerFor({
              session,
              surroundings: surroundings(plan),
              emit: event => void events.push({ ...event, at: clock.wall() }),
              clock,
              slots: all,
              package: null,
              random: () => 0,
            }),
          ]),
        )
      },
      openBalancers: plan =>
        new Map([...new Set(plan.servers.flatMap(s => s.balancers))].map(name => [name, balancer(name)])),
    })
  } catch (thrown) {
    result = 'threw'
    error = thrown
  }
  const ends = events.flatMap(e => (e.type === 'server-ended' ? [e] : []))
  const last = new Map(ends.map(e => [e.server, e]))
  return {
    result,
    error,
    plan: made.plan,
    intervals,
    events,
    outcomes: Object.fromEntries([...last].map(([name, e]) => [name, e.outcome])),
    leftOut: [...last.values()].filter(e => e.leftOut).map(e => e.server),
    releases,
    rotation,
    removals,
    seconds: seconds(),
  }
}

/** web1, web2, … */
export const servers = (n: number): Shape['servers'] =>
  Array.from({ length: n }, (_, i) => ({ name: `web${i + 1}`, roles: ['web'] }))
/** A step whose time and end the test decides. */
export const step = (name: string, more: Record<string, unknown> = {}) => ({ run: `: step ${name}`, name, ...more })
export const edge = { load_balancers: { edge: haproxy(['web']) } }

/** Most intervals at one moment. */
export const most = (all: readonly Interval[]): number =>
  Math.max(0, ...all.map(({ from }) => all.filter(i => i.from <= from && from < i.to).length))

/** A deployment of a manifest with a release. */
export const run = (shape: Shape, outside: Outside = {}): Promise<Ran> =>
  deployVirtually(
    manifestOf({ ...shape, keys: { release: { path: '/srv/app' }, shell: 'sh', ...shape.keys } }),
    outside,
  )
