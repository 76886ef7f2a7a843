/** Recorded streams, made by code: what a rollout would emit, with a clock of their own. */

import type { Plan, PlannedServer } from '../../src/plan/plan.ts'
import type { Event, EventBody } from '../../src/report/events.ts'

export const release = '0123456789ab-89abcdef'
const previous = 'ba9876543210-fedcba98'

type Body<T extends EventBody['type']> = Extract<EventBody, { type: T }>

export function serverNamed(name: string, more: Partial<PlannedServer> = {}): PlannedServer {
  return {
    name,
    host: `10.0.0.${name.length}`,
    roles: ['web'],
    balancers: ['edge'],
    inPlace: null,
    done: false,
    leftOut: [],
    keptOut: [],
    current: previous,
    ...more,
  }
}

export function planOf(names: readonly string[], more: Partial<Plan> = {}): Plan {
  return {
    command: 'deploy',
    application: 'storefront',
    environment: 'production',
    url: 'https://storefront.example.com',
    release: {
      id: release,
      commit: '0123456789abcdef0123456789abcdef01234567',
      path: '/srv/storefront',
      source: 'dist',
      files: 1234,
      bytes: 45_600_000,
    },
    strategy: { value: 'serial', origin: 'manifest', reason: 'rollout.strategy says serial' },
    maxParallelism: { value: 10, origin: 'default', reason: 'rollout.max_parallelism is not written' },
    maxFailures: 1,
    migration: { enabled: false, origin: 'manifest', reason: 'there is no migrate block', server: null, done: false },
    servers: names.map(name => serverNamed(name)),
    groups: [{ name: 'all', strategy: 'serial', servers: names, limit: 1, stages: [names], hold: null }],
    steps: [
      { phase: 'prepare', index: 0, name: 'bundle install', servers: names, group: 0, once: false },
      { phase: 'activate', index: 0, name: 'sudo systemctl restart puma', servers: names, group: 0, once: false },
    ],
    waits: [
      {
        balancer: 'edge',
        removing: 10,
        adding: 5,
        sources: { removing: { from: 'manifest' }, adding: { from: 'manifest' } },
        servers: names.length,
        adds: 15 * names.length,
        reason: `(10 s + 5 s) × ${names.length} servers`,
      },
    ],
    addedSeconds: 15 * names.length,
    storedWaits: null,
    notices: [],
    warnings: [],
    ...more,
  }
}

export const parallelPlan = (names: readonly string[], limit = 10): Plan =>
  planOf(names, {
    strategy: { value: 'parallel', origin: 'input', reason: 'the input strategy asks for it' },
    groups: [{ name: 'all', strategy: 'parallel', servers: names, limit, stages: [names], hold: null }],
    servers: names.map(name => serverNamed(name, { balancers: [] })),
    waits: [],
    addedSeconds: 0,
  })

/** A stream under construction: each event is stamped with the time so far. */
export function recording(start = 1_700_000_000_000) {
  const events: Event[] = []
  let at = start
  const emit = (body: EventBody) => {
    events.push({ ...body, at })
  }
  return {
    events,
    emit,
    /** Lets so many seconds pass. */
    pass: (seconds: number) => {
      at += seconds * 1000
    },
  }
}
type Recording = ReturnType<typeof recording>

export function begin(r: Recording, plan: Plan): void {
  r.emit({ type: 'run-started', command: 'deploy', manifest: 'deploy.yml', runUrl: null })
  r.emit({ type: 'phase', phase: 'preflight' })
  r.pass(1.2)
  r.emit({ type: 'planned', plan })
  for (const { name } of plan.servers) r.emit({ type: 'stage', server: name, stage: 'pending' })
  r.emit({ type: 'phase', phase: 'prepare' })
}

export function step(
  r: Recording,
  server: string,
  phase: 'prepare' | 'migrate' | 'activate' | 'finalize' | 'cleanup',
  name: string,
  text: string,
  more: Partial<Body<'step-ended'>> = {},
): void {
  const seconds = more.seconds ?? 2
  r.emit({ type: 'step-started', server, step: { phase, name }, attempt: 1 })
  if (text !== '') r.emit({ type: 'output', server, stream: 'out', text })
  r.pass(seconds)
  r.emit({ type: 'step-ended', server, step: { phase, name }, ok: true, ignored: false, seconds, ...more })
}

export function prepare(r: Recording, plan: Plan): void {
  for (const { name } of plan.servers) {
    r.emit({ type: 'stage', server: name, stage: 'preparing' })
    r.pass(1.4)
    r.emit({ type: 'uploaded', server: name, bytes: 45_600_000, seconds: 1.4, reused: false })
    step(r, name, 'prepare', 'bundle install', `Fetching gems for ${name}\nBundle complete!\n`)
    r.emit({ type: 'stage', server: name, stage: 'prepared' })
  }
  r.emit({ type: 'phase', phase: 'rollout' })
}

export function takeOut(r: Recording, server: string): void {
  r.emit({ type: 'stage', server, stage: 'removing' })
  r.pass(0.3)
  r.emit({ type: 'balancer', server, balancer: 'edge', what: 'removed', seconds: 0.3 })
  r.emit({ type: 'stage', server, stage: 'draining' })
  r.pass(1.5)
  r.emit({ type: 'balancer', server, balancer: 'edge', what: 'drained', seconds: 1.5, detail: 'nothing in flight' })
  r.emit({ type: 'waiting', server, what: 'wait_after_removing_servers of edge', seconds: 10 })
  r.pass(10)
}

export function putBack(r: Recording, server: string): void {
  r.emit({ type: 'stage', server, stage: 'adding' })
  r.pass(0.2)
  r.emit({ type: 'balancer', server, balancer: 'edge', what: 'restored', seconds: 0.2 })
  r.pass(2)
  r.emit({ type: 'balancer', server, balancer: 'edge', what: 'serving', seconds: 2 })
}

export function activate(r: Recording, server: string, text = 'restarted\n'): void {
  r.emit({ type: 'stage', server, stage: 'switching' })
  r.pass(0.1)
  r.emit({ type: 'stage', server, stage: 'activating' })
  step(r, server, 'activate', 'sudo systemctl restart puma', text)
  r.emit({ type: 'stage', server, stage: 'verifying' })
  r.pass(1)
}

export const endedWith = (server: string, more: Partial<Body<'server-ended'>> = {}): Body<'server-ended'> => ({
  type: 'server-ended',
  server,
  outcome: 'succeeded',
  rotation: 'in',
  leftOut: false,
  keptOut: false,
  notVerified: false,
  release,
  previous,
  ...more,
})

export function finish(
  r: Recording,
  result: Body<'run-ended'>['result'],
  error?: Body<'run-ended'>['error'],
): readonly Event[] {
  r.emit({ type: 'phase', phase: 'finish' })
  r.pass(0.4)
  r.emit({ type: 'run-ended', result, ...(error ? { error } : {}) })
  return r.events
}

const verified = (r: Recording, server: string) =>
  r.emit({ type: 'verified', server, check: 'http :3000/up', seconds: 1, detail: '200 OK in 12 ms' })

function wholeWay(r: Recording, server: string): void {
  takeOut(r, server)
  activate(r, server)
  verified(r, server)
  putBack(r, server)
  r.emit({ type: 'stage', server, stage: 'done' })
  r.emit(endedWith(server))
}

export function serialSuccess(names: readonly string[] = ['web1', 'web2', 'db1']): readonly Event[] {
  const r = recording()
  const plan = planOf(names, { notices: ['the balancer edge has no health check'] })
  begin(r, plan)
  prepare(r, plan)
  for (const name of names) wholeWay(r, name)
  return finish(r, 'success')
}

/** web1 is done, web2 fails to verify and is left out, web3 is never begun. */
export function leftOutRun(): readonly Event[] {
  const r = recording()
  const plan = planOf(['web1', 'web2', 'web3'], {
    warnings: ['wait_after_adding_servers of edge comes from an earlier deployment'],
  })
  begin(r, plan)
  prepare(r, plan)
  wholeWay(r, 'web1')
  takeOut(r, 'web2')
  activate(r, 'web2', 'Starting puma…\n! Unable to load application: KeyError\n')
  r.emit({ type: 'stage', server: 'web2', stage: 'left-out' })
  r.emit(
    endedWith('web2', {
      outcome: 'failed',
      rotation: 'out',
      leftOut: true,
      failure: {
        stage: 'verifying',
        message: 'http :3000/up answered 500 Internal Server Error for 30 s',
        hint: 'look at log/production.log on web2',
        tail: 'Starting puma…\n! Unable to load application: KeyError: key not found: "DATABASE_URL"',
      },
      putBack: 'echo "set server storefront/web2 state ready" | socat stdio /run/haproxy/admin.sock',
    }),
  )
  r.emit(endedWith('web3', { outcome: 'pending', release: previous }))
  return finish(r, 'failure', {
    message: 'max_failures is reached: 1 server failed',
    hint: 'deploy again with the output retry',
  })
}

/** Three at once: web1 good, web2 fails and goes back in place, web3 good. */
export function parallelFailure(): readonly Event[] {
  const r = recording()
  const plan = parallelPlan(['web1', 'web2', 'web3'])
  begin(r, plan)
  prepare(r, plan)
  for (const name of ['web1', 'web2', 'web3']) {
    r.emit({ type: 'stage', server: name, stage: 'switching' })
    r.emit({ type: 'stage', server: name, stage: 'activating' })
    r.emit({ type: 'step-started', server: name, step: { phase: 'activate', name: 'restart' }, attempt: 1 })
  }
  for (const name of ['web3', 'web1', 'web2']) {
    r.emit({ type: 'output', server: name, stream: 'err', text: `${name} says ` })
    r.pass(1)
  }
  for (const name of ['web1', 'web2', 'web3']) {
    r.emit({ type: 'output', server: name, stream: 'err', text: 'hello\n' })
    r.emit({
      type: 'step-ended',
      server: name,
      step: { phase: 'activate', name: 'restart' },
      ok: name !== 'web2',
      ignored: false,
      seconds: 3,
      ...(name === 'web2' ? { detail: 'exit code 1' } : {}),
    })
  }
  r.emit(endedWith('web1', { rotation: 'none' }))
  r.emit({ type: 'stage', server: 'web2', stage: 'rolling back' })
  r.pass(2)
  r.emit(
    endedWith('web2', {
      outcome: 'rolled-back',
      rotation: 'none',
      release: previous,
      failure: { stage: 'activating', message: 'restart ended with exit code 1' },
    }),
  )
  r.emit(endedWith('web3', { rotation: 'none', notVerified: true }))
  return finish(r, 'failure')
}

/** Cancelled while web1 is being activated: nothing was decided about it. */
export function cancelledRun(): readonly Event[] {
  const r = recording()
  const plan = planOf(['web1', 'web2'])
  begin(r, plan)
  prepare(r, plan)
  takeOut(r, 'web1')
  r.emit({ type: 'stage', server: 'web1', stage: 'activating' })
  r.emit({ type: 'step-started', server: 'web1', step: { phase: 'activate', name: 'restart' }, attempt: 1 })
  return finish(r, 'cancelled', { message: 'the run was cancelled (SIGINT)' })
}

/** Many servers in parallel; each 30th fails. */
export function manyServers(n: number, tail = 'line of output\n'.repeat(40)): readonly Event[] {
  const names = Array.from({ length: n }, (_, i) => `web${String(i + 1).padStart(String(n).length, '0')}`)
  const r = recording()
  const plan = parallelPlan(names)
  begin(r, plan)
  prepare(r, plan)
  for (const [i, name] of names.entries()) {
    const bad = i % 30 === 7
    activate(r, name)
    if (!bad) verified(r, name)
    r.emit(
      bad
        ? endedWith(name, {
            outcome: 'failed',
            rotation: 'none',
            failure: { stage: 'verifying', message: `${name} answered 502`, tail },
          })
        : endedWith(name, { rotation: 'none' }),
    )
  }
  return finish(r, 'failure')
}
