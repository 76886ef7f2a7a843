/** Where a server was last seen at each of its balancers, for when one of them does not answer any more. */
import type { ServerState } from './server-state.ts'

const words = {
  removed: 'taken out',
  drained: 'taken out and drained',
  restored: 'told to take it back',
  serving: 'serving',
  'kept-out': 'out',
} as const

/** `edge: taken out and drained (12:03:10 UTC)` for each balancer; empty: nothing was seen. */
export function lastSeen({ balancers }: Pick<ServerState, 'balancers'>): string {
  const last = new Map(balancers.map(event => [event.balancer, event]))
  return [...last.values()]
    .map(({ balancer, what, at }) => `${balancer}: ${words[what]} (${new Date(at).toISOString().slice(11, 19)} UTC)`)
    .join('; ')
}
