import { describe, expect, it } from 'vitest'
import type { Clock } from '../../src/clock.ts'
import { createBus } from '../../src/report/bus.ts'
import type { Event, EventBody } from '../../src/report/events.ts'
import { createRedactor } from '../../src/report/redact.ts'
import { endedWith, planOf } from './recorded.ts'

const clock: Clock = { now: () => 0, wall: () => 1234, sleep: () => Promise.resolve() }
const stepEnd: EventBody = {
  type: 'step-ended',
  server: 'web1',
  step: { phase: 'activate', name: 's' },
  ok: true,
  ignored: false,
  seconds: 1,
}

function busWith(...secrets: string[]) {
  const events: Event[] = []
  return { events, emit: createBus(clock, createRedactor(secrets), [event => events.push(event)]) }
}
const printed = (events: readonly Event[]) =>
  events.flatMap(e => (e.type === 'output' ? [`${e.server} ${e.stream} ${e.text}`] : []))

describe('the bus', () => {
  it('stamps every event', () => {
    const { events, emit } = busWith()
    emit({ type: 'phase', phase: 'rollout' })
    expect(events).toEqual([{ type: 'phase', phase: 'rollout', at: 1234 }])
  })

  it('takes secrets out of every text of an event, however deep', () => {
    const { events, emit } = busWith('hunter22')
    const plan = planOf(['web1'], { warnings: ['uses hunter22'], url: 'https://x/?p=hunter22' })
    emit({ type: 'planned', plan })
    emit({ type: 'message', level: 'error', text: 'a hunter22', hint: 'b hunter22' })
    emit(
      endedWith('web1', {
        failure: { stage: 'verifying', message: 'hunter22', hint: 'hunter22', tail: 'x\nhunter22' },
        putBack: 'curl hunter22',
      }),
    )
    emit({ type: 'run-ended', result: 'failure', error: { message: 'no hunter22' } })
    expect(JSON.stringify(events)).not.toContain('hunter22')
    expect(JSON.stringify(events).match(/\*\*\*/g)).toHaveLength(9)
  })

  it('keeps the words that say what an event means, when a secret reads the same', () => {
    const { events, emit } = busWith('serial', 'stage', 'verifying', 'serving', 'succeeded', 'failure', 'manifest')
    const { plan } = { plan: planOf(['web1']) }
    emit({ type: 'planned', plan })
    emit({ type: 'stage', server: 'web1', stage: 'verifying' })
    emit({ type: 'balancer', server: 'web1', balancer: 'edge', what: 'serving', seconds: 1 })
    emit(endedWith('web1'))
    emit({ type: 'run-ended', result: 'failure' })
    expect(events).toMatchObject([
      {
        type: 'planned',
        plan: { strategy: { value: 'serial', origin: 'manifest' }, groups: [{ strategy: 'serial' }] },
      },
      { type: 'stage', stage: 'verifying' },
      { type: 'balancer', what: 'serving' },
      { type: 'server-ended', outcome: 'succeeded' },
      { type: 'run-ended', result: 'failure' },
    ])
  })

  it('lets no secret through that is split over two pieces of output', () => {
    const { events, emit } = busWith('hunter22')
    const out = (server: string, stream: 'out' | 'err', text: string) => emit({ type: 'output', server, stream, text })
    out('web1', 'out', 'pass hun')
    out('web2', 'out', 'ter22')
    out('web1', 'err', 'ter22')
    out('web1', 'out', 'ter22 end')
    expect(printed(events)).toEqual(['web1 out pass ', 'web2 out ter22', 'web1 err ter22', 'web1 out *** end'])
  })

  it('hands out what was held back before the step ends, and before the run does', () => {
    const { events, emit } = busWith('hunter22')
    emit({ type: 'output', server: 'web1', stream: 'out', text: 'gone hun' })
    emit(stepEnd)
    emit({ type: 'output', server: 'web1', stream: 'err', text: 'hunt' })
    emit({ type: 'run-ended', result: 'success' })
    expect(events.map(e => (e.type === 'output' ? e.text : e.type))).toEqual([
      'gone ',
      'hun',
      'step-ended',
      'hunt',
      'run-ended',
    ])
  })

  it('goes on when a listener throws, says so once, and goes on calling it', () => {
    const heard: Event[] = []
    let calls = 0
    const emit = createBus(clock, createRedactor(['hunter22']), [
      () => {
        calls++
        throw new Error('disk is full of hunter22')
      },
      event => heard.push(event),
    ])
    emit({ type: 'phase', phase: 'prepare' })
    emit({ type: 'phase', phase: 'rollout' })
    expect(heard.map(e => (e.type === 'message' ? e.text : e.type))).toEqual([
      'phase',
      'a report is incomplete: disk is full of ***',
      'phase',
    ])
    expect(calls).toBe(3)
  })

  it('keeps the order for all when a listener emits', () => {
    const heard: string[] = []
    const emit = createBus(clock, createRedactor([]), [
      event => {
        if (event.type === 'phase' && event.phase === 'prepare') emit({ type: 'phase', phase: 'rollout' })
      },
      event => heard.push(event.type === 'phase' ? event.phase : event.type),
    ])
    emit({ type: 'phase', phase: 'prepare' })
    expect(heard).toEqual(['prepare', 'rollout'])
  })
})
