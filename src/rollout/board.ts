/** How each selected server stands: what ended, what failed, and whether the deployment goes on. */
import { DeployError, messageOf } from '../errors.ts'
import type { Emit, Failure, FinalRotation, Outcome } from '../report/events.ts'
import { failureOf } from './failure.ts'
import type { Ended } from './hands-contract.ts'

export interface Board {
  /** The first end counts, but for one that another end of the same way replaces (a rollback). */
  end(ended: Ended, release: string | null, previous: string | null, putBack?: string): void
  /** Ends a server that the rollout never came to. */
  fail(server: string, error: unknown, stage: string, outcome?: Outcome): void
  /** Ends a server where all was done that had to be, without a deployment. */
  succeed(server: string): void
  /** Ends a server where nothing was to be done. */
  skip(server: string, release: string | null): void
  ended(server: string): Ended | undefined
  /** Names of the servers that have failed so far. */
  failed(): readonly string[]
  /** All that have not ended are `pending`. */
  close(servers: readonly string[]): void
}

const blank = (server: string, outcome: Outcome, rotation: FinalRotation, failure?: Failure): Ended => ({
  server,
  outcome,
  rotation,
  leftOut: false,
  keptOut: false,
  notVerified: false,
  receipts: [],
  restored: false,
  switched: false,
  balancerFault: false,
  open: false,
  ...(failure === undefined ? {} : { failure }),
})

export function createBoard(emit: Emit): Board {
  const ends = new Map<string, Ended>()
  const tell = (ended: Ended, release: string | null, previous: string | null, putBack?: string) => {
    ends.set(ended.server, ended)
    emit({
      type: 'server-ended',
      server: ended.server,
      outcome: ended.outcome,
      rotation: ended.rotation,
      leftOut: ended.leftOut,
      keptOut: ended.keptOut,
      notVerified: ended.notVerified,
      release,
      previous,
      ...(ended.failure === undefined ? {} : { failure: ended.failure }),
      ...(ended.leftOut && putBack !== undefined ? { putBack } : {}),
    })
  }
  return {
    end: tell,
    fail: (server, error, stage, outcome = 'failed') =>
      tell(blank(server, outcome, 'none', failureOf(error, stage)), null, null),
    succeed: server => tell(blank(server, 'succeeded', 'none'), null, null),
    skip: (server, release) => tell(blank(server, 'skipped', 'none'), release, null),
    failed: () =>
      [...ends.values()].filter(e => e.outcome === 'failed' || e.outcome === 'rolled-back').map(e => e.server),
    ended: server => ends.get(server),
    close(servers) {
      for (const server of servers) if (!ends.has(server)) tell(blank(server, 'pending', 'none'), null, null)
    },
  }
}

/** Several errors of one phase as one, for the run's own error; each is with its server already. */
export function together(errors: ReadonlyMap<string, unknown>, what: string): DeployError {
  const [[server, only] = ['', undefined]] = errors.entries()
  if (errors.size > 1)
    return new DeployError(`${what} failed on ${errors.size} servers: ${[...errors.keys()].join(', ')}`)
  const hint = only instanceof DeployError ? only.hint : undefined
  return new DeployError(`${what} failed on ${server}: ${messageOf(only)}`, {
    server,
    cause: only,
    ...(hint === undefined ? {} : { hint }),
  })
}
