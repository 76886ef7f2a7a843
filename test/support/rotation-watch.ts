/** Watches at the balancer itself, every few milliseconds, which servers are set out of rotation. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminState } from './haproxy.ts'
import type { Site } from './site.ts'

/** Milliseconds since 1970: when it was first seen so, and a moment before that at which it was not so yet. */
export interface Seen {
  readonly at: number
  readonly after: number
}

export interface Sighting extends Seen {
  readonly states: Readonly<Record<string, AdminState>>
}

export interface RotationReport {
  /** Each time something changed, and the first look. */
  readonly changes: readonly Sighting[]
  /** The most servers that were out at the same time. */
  readonly mostOut: number
  /** How often each server was seen leaving. */
  readonly left: Readonly<Record<string, number>>
  /** When a server went out first, and when it came in again after that; null: never. */
  wentOut(server: string): Seen | null
  cameBack(server: string): Seen | null
}

export function watchRotation(site: Site): { stop(): Promise<RotationReport> } {
  const changes: Sighting[] = []
  let stopped = false
  const watching = (async () => {
    let after = Date.now()
    while (!stopped) {
      const asked = Date.now()
      const states = await site.haproxy.asSet(site.backendName).catch(() => null) // being reloaded
      if (states !== null && JSON.stringify(states) !== JSON.stringify(changes.at(-1)?.states))
        changes.push({ at: Date.now(), after, states })
      if (states !== null) after = asked
      await sleep(20)
    }
  })()
  const isOut = (sighting: Sighting | undefined, server: string) => (sighting?.states[server] ?? 'ready') !== 'ready' // no member is never out
  return {
    stop: async () => {
      stopped = true
      await watching
      const servers = site.servers.map(s => s.name)
      const wentOut = (server: string) => changes.find(c => isOut(c, server)) ?? null
      return {
        changes,
        mostOut: Math.max(0, ...changes.map(c => servers.filter(s => isOut(c, s)).length)),
        left: Object.fromEntries(
          servers.map(s => [s, changes.filter((c, i) => isOut(c, s) && !isOut(changes[i - 1], s)).length]),
        ),
        wentOut,
        cameBack: server => {
          const out = changes.findIndex(c => isOut(c, server))
          return changes.find((c, i) => out >= 0 && i > out && !isOut(c, server)) ?? null
        },
      }
    },
  }
}
