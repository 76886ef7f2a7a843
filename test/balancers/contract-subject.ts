/** What a provider's test file hands in, so that the same scenarios run against every provider. */
import type { LoadBalancer } from '../../src/balancers/balancer.ts'
import type { Clock } from '../../src/clock.ts'
import type { Server } from '../../src/manifest/manifest.ts'
import type { GatedApp } from './gated-app.ts'

/** Scenarios that cannot exist everywhere. A subject that lacks one says why, in `cannot`. */
export const optional = [
  /** The balancer tells that something is in flight (evidence.drained is not `none`). */
  'in flight',
  'unhealthy',
  'unknown member',
  'ambiguous member',
  'operator',
  'silent no-op',
  'throttling',
  'refused credentials',
  'API gone',
] as const
export type Scenario = (typeof optional)[number]

/** What a test can do to the balancer's interface: begins at once. `silent no-op`: writes are answered with success and not done. */
export type Fault = 'silent no-op' | 'throttling' | 'API gone'

export interface Subject {
  /** Two servers, web1 and web2, both serving when a test starts. */
  readonly servers: readonly [Server, Server]
  readonly apps: readonly [GatedApp, GatedApp]
  /** A balancer as a new process would build it; `servers`: others than the subject's own. */
  build(servers?: readonly Server[]): LoadBalancer
  /** Where clients go. A fake routes by its own modelled state: see routing.ts. */
  readonly port: number
  /** The clock that a fake's states move on; default: the real one. */
  readonly clock?: Clock
  /** Seconds; default 20 each. undefined: what the provider says of itself. */
  readonly timeouts?: { readonly drain: number | undefined; readonly add: number | undefined }
  /** Why a scenario cannot exist for this provider, in a few words. All others are run. */
  readonly cannot: Readonly<Partial<Record<Scenario, string>>>
  /** Servers that the balancer does not know, and one that fits several members there. */
  readonly strangers: { readonly unknown: readonly Server[]; readonly ambiguous: readonly Server[] }
  /** What the balancer itself shows of web1, whatever the provider says. Gone from a list is `maintenance`. */
  truth(): Promise<'in' | 'draining' | 'maintenance'>
  /** An operator's maintenance of web1. */
  operatorTakesOut(): Promise<void>
  /** Forgets what was set at run time, as a reload does; at a cloud: another tool puts web1 back. */
  reload(): Promise<void>
  /** Begins a fault; the result ends it. Never called with one that `cannot` names. */
  fault(fault: Fault): Promise<() => Promise<void>>
  /** A balancer whose credentials are refused (or do not suffice to write), and the secret that no error may show. */
  denied(): { readonly balancer: LoadBalancer; readonly secret?: string }
  /** Brings web1 and web2 into rotation whatever a test left. */
  reset(): Promise<void>
  stop(): Promise<void>
}
