/** The one way an event gets from where it happens to what reports it: stamped, and without secrets. */
import type { Clock } from '../clock.ts'
import { messageOf } from '../errors.ts'
import type { Emit, Event, EventBody, Listener } from './events.ts'
import type { RedactedStream, Redactor } from './redact.ts'

/** Words of the program, not of people or servers: a secret that happens to read `done` must not change what the event means. */
const ownWords = new Set([
  'type',
  'phase',
  'stage',
  'stream',
  'level',
  'outcome',
  'rotation',
  'result',
  'origin',
  'strategy',
])

function redactDeep<T>(value: T, redact: (text: string) => string): T
function redactDeep(value: unknown, redact: (text: string) => string): unknown {
  if (typeof value === 'string') return redact(value)
  if (Array.isArray(value)) return value.map(item => redactDeep<unknown>(item, redact))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      typeof item === 'string' && ownWords.has(name) ? item : redactDeep<unknown>(item, redact),
    ]),
  )
}

/** What the words of `what` and `value` mean is closed in these two places only. */
function redacted(body: EventBody, redact: (text: string) => string): EventBody {
  const clean = redactDeep(body, redact)
  if (body.type === 'balancer' && clean.type === 'balancer') return { ...clean, what: body.what }
  if (body.type === 'planned' && clean.type === 'planned') {
    const strategy = { ...clean.plan.strategy, value: body.plan.strategy.value }
    return { ...clean, plan: { ...clean.plan, strategy } }
  }
  return clean
}

/**
 * Makes `emit`. Every string of an event is redacted; output that may be the start of a secret is held back until the next piece, or
 * the end of the step. A listener that throws does not stop the deployment: it is told of once, to all listeners, and goes on being called.
 */
export function createBus(clock: Clock, redactor: Redactor, listeners: readonly Listener[]): Emit {
  const queue: Event[] = []
  const failing = new Set<Listener>()
  const streams = new Map<string, { readonly out: RedactedStream; readonly err: RedactedStream }>()
  let delivering = false

  const deliver = (body: EventBody) => {
    queue.push({ ...body, at: clock.wall() })
    if (delivering) return
    delivering = true
    for (let event = queue.shift(); event; event = queue.shift()) {
      for (const listener of listeners) {
        try {
          listener(event)
        } catch (error) {
          if (failing.has(listener)) continue
          failing.add(listener)
          const text = redactor.redact(`a report is incomplete: ${messageOf(error)}`)
          queue.push({ type: 'message', level: 'warning', text, at: clock.wall() })
        }
      }
    }
    delivering = false
  }

  const output = (server: string, stream: 'out' | 'err', text: string) => {
    if (text !== '') deliver({ type: 'output', server: redactor.redact(server), stream, text })
  }

  const handOutHeld = (server: string) => {
    const held = streams.get(server)
    streams.delete(server)
    if (!held) return
    output(server, 'out', held.out.end())
    output(server, 'err', held.err.end())
  }

  return body => {
    // Reports are without secrets since they were written, and hold many words of the program.
    if (body.type === 'merged') return deliver(body)
    if (body.type === 'output') {
      const held = streams.get(body.server) ?? { out: redactor.redactStream(), err: redactor.redactStream() }
      streams.set(body.server, held)
      output(body.server, body.stream, held[body.stream].push(body.text))
      return
    }
    if (body.type === 'step-ended' || body.type === 'server-ended') handOutHeld(body.server)
    if (body.type === 'run-ended') for (const server of [...streams.keys()]) handOutHeld(server)
    deliver(redacted(body, redactor.redact))
  }
}
