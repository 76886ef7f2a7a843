/** What Caddy's answers mean for one upstream on one host. */
import type { AdminHost } from './admin-http.ts'
import type { Rotation } from './balancer.ts'
import { type Handler, milliseconds, readHealth, readStatus } from './caddy-api.ts'
import { sameDial } from './caddy-members.ts'

/** Caddy writes the health of its upstreams every ten seconds (metrics.go), and takes a new one for healthy until then. */
const gaugeMs = 10_000

/** Milliseconds after a change of the list until the health that Caddy tells comes from checks; null: it checks nothing. */
export function healthSeenAfterMs({ healthChecks }: Pick<Handler, 'healthChecks'>): number | null {
  const { active } = healthChecks
  if (!active) return null
  const checks = Math.max(1, active.fails ?? 1)
  // The first check comes at once (healthchecks.go).
  const decided = (checks - 1) * milliseconds(active.interval, 30_000) + milliseconds(active.timeout, 5_000)
  return Math.max(1, Math.ceil(decided / gaugeMs)) * gaugeMs + 500
}

/** In the list. `putBack`: when we put it there, of `performance.now()`. */
export async function listedNow(
  at: AdminHost,
  handler: Handler,
  dial: string,
  putBack: number | undefined,
  signal: AbortSignal,
): Promise<Rotation> {
  const { active, passive } = handler.healthChecks
  if (passive?.fail_duration !== undefined) {
    const fails = (await readStatus(at, signal)).find(s => sameDial(s.address, dial))?.fails ?? 0
    if (fails >= Math.max(1, passive.max_fails ?? 1))
      return { state: 'unhealthy', detail: `${dial} at ${at.where}: ${fails} requests failed there` }
  }
  if (!active) return { state: 'serving' }
  const healthy = [...(await readHealth(at, signal))].find(([address]) => sameDial(address, dial))?.[1]
  if (healthy === false) return { state: 'unhealthy', detail: `${dial} at ${at.where} fails its health check` }
  const left = putBack === undefined ? 0 : putBack + (healthSeenAfterMs(handler) ?? 0) - performance.now()
  if (left > 0)
    return { state: 'warming', detail: `${dial} at ${at.where}: its health is known in ${Math.ceil(left / 1000)} s` }
  return { state: 'serving' }
}

/** Out of the list. `counts`: this Caddy tells what is still in flight to a removed upstream. */
export async function absentNow(at: AdminHost, dial: string, counts: boolean, signal: AbortSignal): Promise<Rotation> {
  const detail = `${dial} is not among the upstreams at ${at.where}`
  if (!counts) return { state: 'out', detail }
  const inFlight = (await readStatus(at, signal))
    .filter(s => sameDial(s.address, dial))
    .reduce((sum, s) => sum + s.num_requests, 0)
  return inFlight === 0
    ? { state: 'out', detail }
    : { state: 'draining', detail: `${detail}, ${inFlight} in flight`, inFlight }
}
