/** A server's place at one balancer, as the controller works with it, and what it tells of its progress. */
import type { Clock } from '../clock.ts'
import type { LoadBalancer, Receipt, Rotation } from './balancer.ts'

/** All in seconds. */
export interface PlaceSettings {
  /** wait_after_removing_servers, wait_after_adding_servers: what is in force, stored values included. */
  readonly waitAfterRemoving: number
  readonly waitAfterAdding: number
  /** undefined: from what the balancer says of itself. */
  readonly drainTimeout: number | undefined
  readonly addTimeout: number | undefined
  readonly onDrainTimeout: 'continue' | 'force' | 'fail'
}

export interface Place {
  readonly balancer: LoadBalancer
  readonly receipt: Receipt
  readonly settings: PlaceSettings
  /** Whether the server itself sees no traffic; asked in each poll from the removal on. */
  readonly quiet?: (signal: AbortSignal) => Promise<boolean>
  /** Traffic after adding: waited for `within` seconds at most, and its absence is only told. */
  readonly arrival?: { readonly within: number; readonly seen: (atLast: boolean) => Promise<boolean> }
  /** Ends what `quiet` and `arrival` watch with. */
  readonly rest?: () => void
  /** Whether somebody else took it out after we did; asked before it is restored. What is theirs stays out. */
  readonly theirs?: (signal: AbortSignal) => Promise<boolean>
}

/** In the shape of the events `balancer` and `waiting`. */
export type Progress =
  | {
      readonly type: 'balancer'
      readonly server: string
      readonly balancer: string
      readonly what: 'removed' | 'drained' | 'restored' | 'serving' | 'kept-out'
      readonly seconds: number
      readonly detail?: string
    }
  | { readonly type: 'waiting'; readonly server: string; readonly what: string; readonly seconds: number }
  | { readonly type: 'message'; readonly level: 'warning'; readonly server: string; readonly text: string }

export interface ControllerDeps {
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly onProgress: (progress: Progress) => void
  /** 0 to 1; spreads the polls of slow balancers. */
  readonly random?: () => number
}

/** The balancer may send new requests there. Unhealthy is in: it comes back without anyone being asked. */
export const inRotation = (rotation: Rotation): boolean =>
  rotation.state === 'serving' || rotation.state === 'warming' || rotation.state === 'unhealthy'

/** The rotation in words. */
export const describe = (rotation: Rotation): string =>
  'detail' in rotation && rotation.detail !== '' ? `${rotation.state} (${rotation.detail})` : rotation.state

/** What answers before this are one poll's coincidence (measured: a busy sticky server shows zero in flight now and then). */
export const pollsInARow = 3

/** Milliseconds to the next poll: as told, spread by a quarter where it is a cloud's. */
export const pollPause = (pollMs: number, random: () => number = Math.random): number =>
  pollMs > 1000 ? pollMs * (0.75 + random() / 2) : pollMs
