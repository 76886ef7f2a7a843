/** An error as a report shows it. */
import { DeployError, messageOf } from '../errors.ts'
import type { Failure } from '../report/events.ts'

const tailOf = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'tail' in error && typeof error.tail === 'string' && error.tail !== ''
    ? error.tail
    : undefined

export function failureOf(error: unknown, stage: string, hint?: string): Failure {
  const tail = tailOf(error)
  const advice = [error instanceof DeployError ? error.hint : undefined, hint].filter(Boolean).join('; ')
  return {
    message: messageOf(error),
    stage,
    ...(advice ? { hint: advice } : {}),
    ...(tail === undefined ? {} : { tail }),
  }
}
