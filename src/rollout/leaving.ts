/** `min_in_service` over a rollout: balancers are read anew before each removal, one decision at a time. */

import type { LoadBalancer, Rotation } from '../balancers/balancer.ts'
import { mayLeave, type ShardParts } from '../balancers/in-service.ts'
import type { Clock } from '../clock.ts'
import { slots } from '../fleet/slots.ts'
import type { Server } from '../manifest/manifest.ts'

export interface Gate {
  readonly balancer: LoadBalancer
  /** All servers of the environment behind it, before any filter. */
  readonly members: readonly Server[]
  readonly needed: number
}

export interface Leaving {
  /**
   * Waits while own servers are on their way and the rest do not suffice, and a shard also while others have more out than their part;
   * says no when nothing can change that.
   */
  ask(
    server: string,
    gates: readonly Gate[],
    signal: AbortSignal,
  ): Promise<{ readonly ok: true } | { readonly ok: false; readonly reason: string }>
  /** The server is back, or ended otherwise: it is not on its way any more. */
  ended(server: string): void
}

/** Between two readings while waiting for own servers, in milliseconds. */
const againMs = 1000

/** How long a shard waits for others that have more out than their part, from the last change at the balancer, in milliseconds. */
const othersMs = 300_000

interface Refusal {
  readonly reason: string
  readonly mayPass: boolean
  /** None of our own was on its way when it was read: one that came back meanwhile may be in the reading as gone. */
  readonly alone: boolean
}

export type PartsAt = (balancer: string, rotations: Readonly<Record<string, Rotation>>) => ShardParts

/** `partsAt`: of a shard, by balancer; undefined: a run that is not divided. `say`: told when a shard begins to wait for others, and when it goes on. */
export function createLeaving(clock: Clock, partsAt?: PartsAt, say: (text: string) => void = () => {}): Leaving {
  const onTheirWay = new Set<string>()
  const oneAtATime = slots(1)
  /** What balancers said last, and since when they say it. */
  const said = new Map<string, string>()
  let unchangedSince = clock.now()
  /** Since when others are waited for, by whichever server; null: they are not. */
  let waitingSince: number | null = null

  const decide = (server: string, gates: readonly Gate[], signal: AbortSignal) =>
    oneAtATime.run(async (): Promise<Refusal | null> => {
      const alone = onTheirWay.size === 0
      for (const { balancer, members, needed } of gates) {
        const { rotation } = await balancer.preflight(members, signal)
        const shards = partsAt === undefined ? {} : { shards: partsAt(balancer.name, rotation) }
        const states = JSON.stringify(Object.entries(rotation).map(([name, { state }]) => [name, state]))
        if (said.get(balancer.name) !== states) unchangedSince = clock.now()
        said.set(balancer.name, states)
        const answer = mayLeave({ rotations: rotation, leaving: server, alsoLeaving: onTheirWay, needed, ...shards })
        if (!answer.allowed)
          return { reason: `${balancer.name}: ${answer.reason} (min_in_service)`, mayPass: answer.mayPass, alone }
      }
      onTheirWay.add(server)
      return null
    })

  return {
    async ask(server, gates, signal) {
      for (;;) {
        const refusal = await decide(server, gates, signal)
        if (refusal === null) {
          if (waitingSince !== null) say(`${server} goes on after ${Math.round((clock.now() - waitingSince) / 1000)} s`)
          waitingSince = null
          return { ok: true }
        }
        const waits = refusal.mayPass && clock.now() - unchangedSince < othersMs
        if (refusal.alone && !waits) {
          waitingSince = null
          return { ok: false, reason: refusal.reason }
        }
        if (refusal.alone && waitingSince === null) {
          waitingSince = clock.now()
          const most = `at most ${othersMs / 1000} s from the last change at the balancer`
          say(`${server} waits for other shards, ${most} (${refusal.reason})`)
        }
        await clock.sleep(againMs, signal)
      }
    },
    ended: server => void onTheirWay.delete(server),
  }
}
