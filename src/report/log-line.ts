/** What one event says in the log; its server is said by where the line stands. */
import { duration } from './durations.ts'
import type { Event, StepRef } from './events.ts'

export interface LogLine {
  readonly text: string
  readonly tone: 'good' | 'bad' | 'warn' | 'plain'
}

const plain = (text: string): LogLine => ({ text, tone: 'plain' })
const stepName = ({ phase, name }: StepRef) => `${phase}: ${name.replace(/\s*\n\s*/g, ' / ')}`
const because = (detail: string | undefined) => (detail ? `: ${detail}` : '')

/** null: nothing worth a line. */
export function logLine(event: Event): LogLine | null {
  switch (event.type) {
    case 'stage':
      return event.stage === 'pending' ? null : plain(`→ ${event.stage}${because(event.detail)}`)
    case 'step-started':
      return plain(`$ ${stepName(event.step)}${event.attempt > 1 ? ` (try ${event.attempt})` : ''}`)
    case 'step-ended': {
      const took = ` (${duration(event.seconds)})${because(event.detail)}`
      if (event.ok) return { text: `✓ ${stepName(event.step)}${took}`, tone: 'good' }
      if (event.ignored) return { text: `✗ ${stepName(event.step)}: failed, does not count${took}`, tone: 'warn' }
      return { text: `✗ ${stepName(event.step)}: failed${took}`, tone: 'bad' }
    }
    case 'uploaded':
      return event.reused
        ? plain('release is there already')
        : plain(`release uploaded, ${(event.bytes / 1_000_000).toFixed(1)} MB (${duration(event.seconds)})`)
    case 'balancer':
      return plain(`balancer ${event.balancer}: ${event.what} (${duration(event.seconds)})${because(event.detail)}`)
    case 'waiting':
      return plain(`waits ${duration(event.seconds)}: ${event.what}`)
    case 'verified':
      return { text: `✓ verified ${event.check} (${duration(event.seconds)})${because(event.detail)}`, tone: 'good' }
    default:
      return null
  }
}
