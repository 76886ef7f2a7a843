/** A report.json that another job wrote → what it says, or why it is none. Whoever could write an artifact could have written it. */
import { z } from 'zod'
import { messageOf } from '../errors.ts'
import { type Event, phases } from './events.ts'
import { plan, plannedServer } from './plan-schema.ts'
import type { ServerState } from './server-state.ts'
import type { ReportState } from './state.ts'

/** What a report says of a run. */
export interface ReadReport extends ReportState {
  /** What happened, without what scripts printed and without the plan; of many events the rest is only counted. */
  readonly events: readonly Event[]
}

const text = z.string()
const maybe = text.exactOptional()
const attempt = text.regex(/^\d{1,6}$/)
/** Milliseconds since 1970 that are a date, or seconds. */
const time = z.number().min(-8.64e15).max(8.64e15)

const phase = z.enum(phases)
const level = z.enum(['info', 'notice', 'warning', 'error'])
const result = z.enum(['success', 'failure', 'cancelled', 'skipped'])
const step = z.object({
  phase: z.enum(['prepare', 'migrate', 'activate', 'finalize', 'cleanup', 'teardown']),
  name: text,
})
const shard = z
  .object({ index: z.number().int().min(1), of: z.number().int().min(1).max(256) })
  .refine(({ index, of }) => index <= of, 'is no part of a fan-out')
const error = z.object({ message: text, hint: maybe })

/** What each event says besides its type, its time and its server. */
const facts = {
  uploaded: { bytes: z.number(), seconds: time, reused: z.boolean() },
  balancer: {
    balancer: text,
    what: z.enum(['removed', 'drained', 'restored', 'serving', 'kept-out']),
    seconds: time,
    detail: maybe,
  },
  waiting: { what: text, seconds: time },
  verified: { check: text, seconds: time, detail: text },
  'server-ended': {
    outcome: z.enum(['succeeded', 'skipped', 'failed', 'rolled-back', 'pending', 'unreachable']),
    rotation: z.enum(['in', 'out', 'unknown', 'none']),
    leftOut: z.boolean(),
    keptOut: z.boolean(),
    notVerified: z.boolean(),
    failure: z.object({ message: text, stage: text, hint: maybe, tail: maybe }).exactOptional(),
    putBack: maybe,
    release: text.nullable(),
    previous: text.nullable(),
    recovery: z.object({ found: text, done: text.nullable() }).exactOptional(),
  },
} as const

const at = { at: time }
const ofServer = { ...at, server: text }
const event = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('run-started'),
    ...at,
    command: text,
    manifest: text,
    runUrl: text.nullable(),
    subject: maybe,
    attempt: attempt.exactOptional(),
    shard: shard.exactOptional(),
    selection: z.array(text).exactOptional(),
  }),
  z.object({ type: z.literal('phase'), ...at, phase }),
  z.object({ type: z.literal('stage'), ...ofServer, stage: text, detail: maybe }),
  z.object({ type: z.literal('step-started'), ...ofServer, step, attempt: z.number() }),
  z.object({
    type: z.literal('step-ended'),
    ...ofServer,
    step,
    ok: z.boolean(),
    ignored: z.boolean(),
    seconds: time,
    detail: maybe,
  }),
  z.object({ type: z.literal('uploaded'), ...ofServer, ...facts.uploaded }),
  z.object({ type: z.literal('balancer'), ...ofServer, ...facts.balancer }),
  z.object({ type: z.literal('waiting'), ...ofServer, ...facts.waiting }),
  z.object({ type: z.literal('verified'), ...ofServer, ...facts.verified }),
  z.object({ type: z.literal('server-ended'), ...ofServer, ...facts['server-ended'] }),
  z.object({ type: z.literal('message'), ...at, level, text, server: maybe, hint: maybe }),
  z.object({ type: z.literal('run-ended'), ...at, result, error: error.exactOptional() }),
]) satisfies z.ZodType<Event>

const server = z.object({
  name: text,
  planned: plannedServer.nullable(),
  stages: z.array(z.object({ stage: text, detail: text.nullable(), from: time, to: time.nullable() })),
  steps: z.array(
    step.extend({
      startedAt: time,
      attempts: z.number(),
      outcome: z.enum(['running', 'ok', 'failed', 'ignored']),
      seconds: time.nullable(),
      detail: text.nullable(),
      tail: text,
    }),
  ),
  uploads: z.array(z.object({ ...at, ...facts.uploaded })),
  balancers: z.array(z.object({ ...at, ...facts.balancer })),
  waits: z.array(z.object({ ...at, ...facts.waiting })),
  verified: z.array(z.object({ ...at, ...facts.verified })),
  ended: z.object({ ...at, ...facts['server-ended'] }).nullable(),
}) satisfies z.ZodType<ServerState>

const report = z.object({
  version: z.literal(1),
  command: text.nullable(),
  manifest: text.nullable(),
  runUrl: text.nullable(),
  subject: text.nullable(),
  attempt: attempt.nullable(),
  shard: shard.nullable(),
  selection: z.array(text).nullable(),
  startedAt: time.nullable(),
  lastAt: time.nullable(),
  plan: plan.nullable(),
  phases: z.array(z.object({ phase, at: time })),
  servers: z.array(server),
  messages: z.array(z.object({ ...at, level, text, server: text.nullable(), hint: text.nullable() })),
  result: result.nullable(),
  error: error.nullable(),
  events: z.array(event),
  eventsLeftOut: z.number().int().min(0),
})

/** Throws Error with one sentence that says why it is none. */
export function readReport(json: string): ReadReport {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (cause) {
    throw new Error(`it is no JSON: ${messageOf(cause).slice(0, 200)}`, { cause })
  }
  const version = typeof value === 'object' && value !== null && 'version' in value ? value.version : undefined
  if (version === undefined) throw new Error('it is no report of this action')
  if (version !== 1) throw new Error('it is a report of another version of this action: the jobs must use the same one')
  const { data, error } = report.safeParse(value)
  if (data === undefined) {
    const issue = error.issues[0]
    throw new Error(
      `it is no report of this action: ${issue?.path.join('.').slice(0, 200)}: ${issue?.message.slice(0, 200)}`,
    )
  }
  const { version: _, servers, ...run } = data
  return { ...run, shards: null, servers: new Map(servers.map(one => [one.name, one])) }
}
