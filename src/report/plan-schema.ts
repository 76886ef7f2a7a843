/** The shape of a plan as it stands in a report.json that somebody hands us. */
import { z } from 'zod'
import type { Hold } from '../manifest/schema.ts'
import type { Plan } from '../plan/plan.ts'

const text = z.string()
const texts = z.array(z.string())
const count = z.number()
const strategy = z.enum(['serial', 'parallel', 'rolling'])
const origin = z.enum(['gate', 'input', 'manifest', 'default'])

const effective = <T extends z.ZodType>(value: T) => z.object({ value, origin, reason: text })

const release = z.object({
  id: text,
  commit: text.nullable(),
  path: text,
  source: text.nullable(),
  files: count,
  bytes: count,
})

const server = z.object({
  name: text,
  host: text,
  roles: texts,
  balancers: texts,
  inPlace: text.nullable(),
  done: z.boolean(),
  leftOut: texts,
  keptOut: texts,
  current: text.nullable(),
})
export const plannedServer = server satisfies z.ZodType<Plan['servers'][number]>

const step = z.object({
  phase: z.enum(['prepare', 'activate', 'finalize', 'cleanup']),
  index: count,
  name: text,
  servers: texts,
  group: count,
  once: z.boolean(),
})

const group = z.object({
  name: text,
  strategy,
  servers: texts,
  limit: count,
  stages: z.array(texts),
  // Of its own check nothing is asked here.
  hold: z.custom<Hold>(value => z.object({ for: count }).safeParse(value).success).nullable(),
})

const stored = z.object({ seconds: count, deployment: text, run: text.nullable(), at: count })
const source = z.discriminatedUnion('from', [
  z.object({ from: z.enum(['manifest', 'default']) }),
  z.object({ from: z.literal('stored'), ...stored.shape }),
])

const wait = z.object({
  balancer: text,
  removing: count,
  adding: count,
  sources: z.object({ removing: source, adding: source }),
  servers: count,
  adds: count,
  reason: text,
})

export const plan = z.object({
  command: z.enum(['deploy', 'rollback']),
  application: text,
  environment: text.nullable(),
  url: text.nullable(),
  release: release.nullable(),
  strategy: effective(z.enum([...strategy.options, 'mixed'])),
  maxParallelism: effective(count),
  maxFailures: count,
  migration: z.object({ enabled: z.boolean(), origin, reason: text, server: text.nullable(), done: z.boolean() }),
  servers: z.array(server),
  groups: z.array(group),
  steps: z.array(step),
  waits: z.array(wait),
  addedSeconds: count,
  storedWaits: z
    .object({
      sequence: count,
      balancers: z.record(text, z.object({ removing: stored.optional(), adding: stored.optional() })),
    })
    .nullable(),
  notices: texts,
  warnings: texts,
}) satisfies z.ZodType<Plan>
