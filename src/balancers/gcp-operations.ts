/** The changes this process asked Google for, followed until they have ended. A new process goes by the group's members alone. */
import type { Clock } from '../clock.ts'
import { BalancerError } from '../errors.ts'
import type { OperationRead } from './gcp-answers.ts'
import type { Change } from './gcp-members.ts'
import { shortened } from './rest-errors.ts'

interface Remembered {
  readonly id: string
  readonly what: Change
  /** Of the clock; undefined: it runs. */
  readonly ended?: number
}

export interface Running {
  readonly what: Change
  readonly detail: string
}

export interface Operations {
  begin(server: string, operation: OperationRead, what: Change): void
  /** The change that still runs. `told`: one that failed is an error, once. Throws BalancerError. */
  running(server: string, told: boolean, signal: AbortSignal): Promise<Running | undefined>
  /** Milliseconds since a removal of this process has ended; undefined: none has. */
  sinceRemoval(server: string): number | undefined
}

export function operations(
  name: string,
  read: (id: string, signal: AbortSignal) => Promise<OperationRead | undefined>,
  clock: Pick<Clock, 'now'>,
  /** Said when one has ended: what was read before is old. */
  outdated: () => void,
): Operations {
  const all = new Map<string, Remembered>()
  return {
    begin(server, operation, what) {
      // Its end is seen when it is read: an answer that says DONE at once may also hold an error.
      all.set(server, { id: operation.name, what })
    },
    async running(server, told, signal) {
      const last = all.get(server)
      if (last === undefined || last.ended !== undefined) return undefined
      const now = await read(last.id, signal)
      if (now !== undefined && now.status !== 'DONE')
        return { what: last.what, detail: `operation ${last.id}, ${last.what}, is ${now.status}` }
      outdated()
      const failed = now?.error?.errors
      if (all.get(server) === last) {
        if (failed === undefined) all.set(server, { ...last, ended: clock.now() })
        else all.delete(server)
      }
      if (failed === undefined || !told) return undefined
      const why = failed.map(e => [e.code, e.message].filter(part => part).join(': ')).join('; ')
      throw new BalancerError(
        `${name}: Google Cloud could not ${last.what} ${server} (operation ${last.id}): ${shortened(why) || 'no reason given'}`,
        { server, hint: 'look at the operation: `gcloud compute operations describe`' },
      )
    },
    sinceRemoval(server) {
      const last = all.get(server)
      return last?.what === 'remove' && last.ended !== undefined ? clock.now() - last.ended : undefined
    },
  }
}
