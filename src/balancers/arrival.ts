/** After adding: waits until a server sees traffic itself. A server that sees none is told of, and nothing else comes of it. */
import { messageOf } from '../errors.ts'
import type { ControllerDeps, Place } from './place.ts'

/** Between two questions, in milliseconds: the answer lies here. */
const againMs = 250

/** Begins to watch, before the balancer is told: what comes while it is asked whether the server serves counts. */
export function watchArrivals(places: readonly Place[]): void {
  for (const place of places) place.arrival?.seen(false).catch(() => undefined)
}

/** Resolves when traffic came, or when the time for it is over, with a warning. Throws only the signal's reason. */
export async function awaited({ arrival, balancer, receipt }: Place, deps: ControllerDeps): Promise<void> {
  if (arrival === undefined) return
  const { clock, signal, onProgress } = deps
  const start = clock.now()
  const { server } = receipt
  const until = start + arrival.within * 1000
  let told = false
  for (;;) {
    const over = clock.now() >= until
    let trouble = ''
    try {
      if (await arrival.seen(over)) return
    } catch (error) {
      trouble = `: ${messageOf(error)}`
    }
    signal.throwIfAborted()
    if (over) {
      const text = `${balancer.name} says that ${server} serves, and ${server} saw no traffic within ${arrival.within} s (confirm.traffic_within)${trouble}`
      return onProgress({ type: 'message', level: 'warning', server, text })
    }
    if (!told)
      onProgress({ type: 'waiting', server, what: 'for traffic at most (traffic_within)', seconds: arrival.within })
    told = true
    await clock.sleep(Math.min(againMs, until - clock.now()), signal)
  }
}
