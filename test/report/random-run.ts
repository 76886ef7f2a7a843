/** Runs that nobody thought of: any servers, any order of what happens to them, any end. */
import fc from 'fast-check'
import type { Event, EventBody, Outcome } from '../../src/report/events.ts'
import { begin, endedWith, finish, parallelPlan, recording } from './recorded.ts'

type Happening = (server: string, n: number) => readonly EventBody[]

const step = (server: string, n: number, ok: boolean): readonly EventBody[] => {
  const ref = { phase: 'activate', name: `step ${n}` } as const
  return [
    { type: 'step-started', server, step: ref, attempt: 1 },
    { type: 'output', server, stream: 'out', text: `${server} says ${n}\n` },
    { type: 'step-ended', server, step: ref, ok, ignored: false, seconds: 1, ...(ok ? {} : { detail: 'exit code 1' }) },
  ]
}

const happenings: Readonly<Record<string, Happening>> = {
  switching: server => [{ type: 'stage', server, stage: 'switching' }],
  verifying: (server, n) => [{ type: 'stage', server, stage: 'verifying', detail: `try ${n}` }],
  good: (server, n) => step(server, n, true),
  bad: (server, n) => step(server, n, false),
  uploaded: server => [{ type: 'uploaded', server, bytes: 1000, seconds: 2, reused: false }],
  removed: server => [{ type: 'balancer', server, balancer: 'edge', what: 'removed', seconds: 0.5 }],
  serving: server => [{ type: 'balancer', server, balancer: 'edge', what: 'serving', seconds: 0.5, detail: 'UP' }],
  waiting: server => [{ type: 'waiting', server, what: 'wait_after_removing_servers of edge', seconds: 3 }],
  verified: (server, n) => [{ type: 'verified', server, check: 'http', seconds: 1, detail: `200 OK ${n}` }],
  warned: (server, n) => [{ type: 'message', level: 'warning', text: `${server}: odd thing ${n}`, server }],
}

const outcomes: readonly Outcome[] = ['succeeded', 'skipped', 'failed', 'rolled-back', 'pending', 'unreachable']

interface Script {
  readonly what: readonly string[]
  /** null: nothing is decided when the run ends. */
  readonly outcome: Outcome | null
  readonly leftOut: boolean
}

const script: fc.Arbitrary<Script> = fc.record({
  what: fc.array(fc.constantFrom(...Object.keys(happenings)), { maxLength: 6 }),
  outcome: fc.option(fc.constantFrom(...outcomes), { nil: null }),
  leftOut: fc.boolean(),
})

function endOf(server: string, { outcome, leftOut }: Script): readonly EventBody[] {
  if (outcome === null) return []
  const failed = outcome === 'failed' || outcome === 'rolled-back'
  return [
    endedWith(server, {
      outcome,
      leftOut: failed && leftOut,
      rotation: failed && leftOut ? 'out' : 'in',
      ...(failed ? { failure: { stage: 'activating', message: `${server} did not work`, tail: 'the end' } } : {}),
    }),
  ]
}

/** A whole recorded run, and how many shards it could have been. */
export const randomRun: fc.Arbitrary<{ readonly events: readonly Event[]; readonly of: number }> = fc
  .record({
    scripts: fc.array(script, { minLength: 1, maxLength: 12 }),
    turns: fc.array(fc.nat(), { maxLength: 120 }),
    shards: fc.integer({ min: 1, max: 6 }),
    cancelled: fc.boolean(),
  })
  .map(({ scripts, turns, shards, cancelled }) => {
    // As manifests list them, not as an alphabet does.
    const names = scripts.map((_, i) => `web${(i * 7) % scripts.length === 0 ? `x${i}` : i}`)
    const r = recording()
    begin(r, parallelPlan(names, Math.max(shards, 10)))
    const left = scripts.map((s, i) => {
      const name = names[i] ?? ''
      return [...s.what.flatMap((what, n) => happenings[what]?.(name, n) ?? []), ...endOf(name, s)]
    })
    r.emit({ type: 'phase', phase: 'rollout' })
    r.emit({ type: 'message', level: 'warning', text: 'the release is large' })
    for (const turn of turns) {
      const open = left.filter(queue => queue.length > 0)
      const next = open[turn % Math.max(1, open.length)]?.shift()
      if (next !== undefined) r.emit(next)
      r.pass(0.5)
    }
    for (const body of left.flat()) {
      r.emit(body)
      r.pass(0.25)
    }
    const good = scripts.every(s => s.outcome === 'succeeded' || s.outcome === 'skipped')
    return {
      events: finish(r, good ? 'success' : cancelled ? 'cancelled' : 'failure'),
      of: Math.min(shards, scripts.length),
    }
  })
