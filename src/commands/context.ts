/** What every command is handed: the request, the manifest, where events go, time, and the one signal that ends it all. */
import type { Clock } from '../clock.ts'
import type { Request } from '../inputs.ts'
import type { Manifest } from '../manifest/manifest.ts'
import type { Plan } from '../plan/plan.ts'
import type { Sharding } from '../plan/shards.ts'
import type { Emit, Result } from '../report/events.ts'
import type { ServerStatus } from '../report/status.ts'

export interface Context {
  readonly request: Request
  readonly manifest: Manifest
  readonly emit: Emit
  readonly clock: Clock
  /** Aborted by the first SIGINT, SIGTERM or SIGHUP. */
  readonly cancel: AbortSignal
  /** Told where `post` finds what it needs, before the first lock is taken. */
  readonly saveRunFile: (path: string) => void
  readonly showStatus: (rows: readonly ServerStatus[]) => void
  /** A plan that is made only to be shown. */
  readonly showPlan: (plan: Plan) => void
  /** How many shards the plan allows; said before it is shown. */
  readonly showSharding: (sharding: Sharding) => void
}

export type Command = (context: Context) => Promise<Result>

/** Where no one manifest is at hand. */
export type Bare = Omit<Context, 'manifest'>
export type BareCommand = (context: Bare) => Promise<Result>
