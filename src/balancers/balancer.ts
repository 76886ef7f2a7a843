/**
 * What every load balancer provider is: idempotent writers and one reader. A provider never sleeps, polls or retries; the
 * controller does all waiting. Contract: spec/load-balancers.md.
 */
import type { Server } from '../manifest/manifest.ts'

/** What a balancer says of one server, never inferred from a write. */
export type Rotation =
  | { readonly state: 'serving' }
  | { readonly state: 'warming'; readonly detail: string }
  /** `served`: requests the balancer ever sent there, where it counts; growth while draining = new ones still arrive. */
  | { readonly state: 'draining'; readonly detail: string; readonly inFlight?: number; readonly served?: number }
  | { readonly state: 'out'; readonly detail: string }
  /** In the list, but refused by the balancer's own health check. Counts as in rotation. */
  | { readonly state: 'unhealthy'; readonly detail: string }
  | { readonly state: 'unknown'; readonly detail: string }

export interface Evidence {
  /** connections: the balancer proves that nothing is in flight. state: it says so. none: only time tells. */
  readonly drained: 'connections' | 'state' | 'none'
  readonly serving: 'health' | 'state' | 'none'
  /** Milliseconds after `remove` before which a "drained" is not believed. */
  readonly settleMs: number
  /** Milliseconds after `restore` before which a "serving" is not believed: it may be an answer from before. Default 0. */
  readonly addSettleMs?: number
  /** Milliseconds between two polls: 200 for a local socket, 5000 for a cloud. */
  readonly pollMs: number
  /** The longest drain the balancer itself allows, in milliseconds. */
  readonly longestDrainMs?: number
  /** interval × threshold + slow start, in milliseconds. */
  readonly longestAddMs?: number
}

/** The state of a server at its balancer just before `remove`; JSON, written to the server's journal first. */
export interface Receipt {
  readonly balancer: string
  readonly server: string
  readonly before: Rotation['state']
  /** What only the provider understands: weight, port, zone, state bits of each member. */
  readonly data: Readonly<Record<string, unknown>>
}

export interface PreflightReport {
  /** Where each server stands now, by server name. */
  readonly rotation: Readonly<Record<string, Rotation>>
  readonly warnings: readonly string[]
}

/** One server's traffic as it sees it itself. Watching begins when first asked, and goes on until `end`. Throws BalancerError. */
export interface Watch {
  /** No traffic for as long as was asked for, since watching began; undefined: not asked for. */
  readonly quiet: (() => Promise<boolean>) | undefined
  /** After adding, traffic is waited for so many seconds; 0: not at all. */
  readonly within: number
  /** Traffic came since watching began. `atLast`: nothing more will be seen, so what may be a health check counts too. */
  arrived(atLast: boolean): Promise<boolean>
  end(): void
}

/** All methods throw BalancerError. A call has 10 s, kept by the provider. */
export interface LoadBalancer {
  readonly name: string
  /** Reads only: credentials, members found, who serves. Throws with every server that is unknown or ambiguous. */
  preflight(servers: readonly Server[], signal: AbortSignal): Promise<PreflightReport>
  receipt(server: Server, signal: AbortSignal): Promise<Receipt>
  remove(receipt: Receipt, signal: AbortSignal): Promise<void>
  /** A second step that cuts nothing (HAProxy: maint), for when new requests still arrive at drain_timeout. */
  insist?(receipt: Receipt, signal: AbortSignal): Promise<void>
  /** Cuts what is left; only at drain_timeout and only if the manifest says `force`. */
  force?(receipt: Receipt, signal: AbortSignal): Promise<void>
  /** Back to the state before, from any state. */
  restore(receipt: Receipt, signal: AbortSignal): Promise<void>
  read(receipt: Receipt, signal: AbortSignal): Promise<Rotation>
  evidence(receipt: Receipt, signal: AbortSignal): Promise<Evidence>
  /** Whether a server that is out stands as our own removal left it; without it every one does that has a receipt. */
  isOurs?(receipt: Receipt, signal: AbortSignal): Promise<boolean>
  /** The server's own sight of its traffic, where the manifest asks for it or the balancer cannot tell; undefined: not watched. */
  watch?(receipt: Receipt): Watch | undefined
  /** Puts back a left-out server, as a command for people. */
  byHand(receipt: Receipt): string
  close?(): void
}
