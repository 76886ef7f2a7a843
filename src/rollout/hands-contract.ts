/** What one server's way needs of the outside, and how it ends: the words that the story, its hands and recovery have in common. */
import type { Receipt } from '../balancers/balancer.ts'
import type { Failure, FinalRotation, Outcome } from '../report/events.ts'
import type { Mode, OnFailure, Stage } from './way.ts'

/** Where a server stands at the balancers when its turn comes. */
export interface Found {
  /** In rotation: to be removed. */
  readonly serving: readonly Receipt[]
  /** Out by a removal of ours in an earlier deployment: goes back. */
  readonly ours: readonly Receipt[]
  /** Balancers where an operator took it out: stays out. */
  readonly operators: readonly string[]
}

export type TakenOut =
  /** Drained everywhere, and read once more. */
  | { readonly is: 'out' }
  /** In rotation again after it was drained: to be removed once more. */
  | { readonly is: 'serving again'; readonly reason: string }
  /** One balancer failed; it was restored at all of them, with what came of that. */
  | { readonly is: 'failed'; readonly error: Error; readonly back: PutBack }
export type PutBack =
  /** `keptOut`: balancers where a person took it out meanwhile. */
  | { readonly state: 'serving'; readonly keptOut?: readonly string[] }
  /** Not healthy in time; removed again and read back. */
  | { readonly state: 'unhealthy'; readonly reason: string }
  /** The balancer could not be written or read until add_timeout. */
  | { readonly state: 'unknown'; readonly reason: string }

/** What a server's way does to the outside. Each throws the family of errors.ts; LockLostError ends everything there. */
export interface Hands {
  look(): Promise<Found>
  /** Waits until the balancers' other servers satisfy min_in_service; false with a reason: none may leave. */
  mayLeave(): Promise<{ readonly ok: true } | { readonly ok: false; readonly reason: string }>
  takeOut(receipts: readonly Receipt[]): Promise<TakenOut>
  putBack(receipts: readonly Receipt[]): Promise<PutBack>
  /** Writes the restore calls and waits for nothing: for a cancel. */
  writeBack(receipts: readonly Receipt[]): Promise<void>
  /** `changed`: whether `current` points to the release now, also when it failed. */
  switchTo(release: string): Promise<{ readonly changed: boolean; readonly error?: unknown }>
  activate(release: string | null): Promise<void>
  verify(release: string | null): Promise<'verified' | 'not verified'>
  /** Throws LockLostError when the lease is over: what failed since is not this run's to decide. */
  assertHeld(): void
  stage(stage: Stage, detail?: string): void
  /** Writes to the server's journal. */
  note(what: 'removing' | 'activated' | 'rolling-back', receipts: readonly Receipt[]): Promise<void>
  /** Waits inside a stage have ended early: the deployment stops, or was cancelled. */
  readonly stopped: () => boolean
  readonly cancelled: () => boolean
}

export interface Assignment {
  readonly server: string
  /** null: a deployment of steps alone. */
  readonly target: string | null
  readonly previous: string | null
  readonly mode: Mode
  readonly onFailure: OnFailure
  /** The server was done, and goes back with the whole deployment: `target` is what it ran before. */
  readonly back?: boolean
  /** What it was taken out with before, in this deployment: it is out already. */
  readonly out?: readonly Receipt[]
}

/** The deployment stops before this server was switched: the reason that ends its waits. */
export class Turned extends Error {}

export interface Ended {
  readonly server: string
  readonly outcome: Outcome
  readonly rotation: FinalRotation
  readonly leftOut: boolean
  readonly keptOut: boolean
  readonly notVerified: boolean
  readonly failure?: Failure
  /** It was put back, and seen serving, at every balancer: what was left out before is not any more. */
  readonly restored: boolean
  /** What puts it back, when it is left out. */
  readonly receipts: readonly Receipt[]
  /** The deployment changed `current` here. */
  readonly switched: boolean
  /** A fault of the balancer itself stops the deployment and starts no rollback. */
  readonly balancerFault: boolean
  /** It could not be decided about: its journal stays open. */
  readonly open: boolean
}
