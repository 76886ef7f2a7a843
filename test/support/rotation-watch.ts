/** Watches at the balancer itself, every few milliseconds, which servers are set out of rotation. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminState } from './haproxy.ts'
import type { Site } from './site.ts'

export interface Sighting {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly states: Readonly<Record<string, AdminState>>
}

export interface RotationReport {
  /** Each time something changed, and the first look. */
  readonly changes: readonly Sighting[]
  /** The most servers that were out at the same time. */
  readonly mostOut: number
  /** How often each server was seen leaving. */
  readonly left: Readonly<Record<string, number>>
  /** When a server was first seen out, and when in again after that; null: never. */
  outAt(server: string): number | null
  backAt(server: string): number | null
}

export function watchRotation(site: Site): { stop(): Promise<RotationReport> } {
  const changes: Sighting[] = []
  let stopped = false
  const watching = (async () => {
    while (!stopped) {
      const states = await site.haproxy.asSet(site.backendName).catch(() => null) // being reloaded
      if (states !== null && JSON.stringify(states) !== JSON.stringify(changes.at(-1)?.states))
        changes.push({ at: Date.now(), states })
      await sleep(20)
    }
  })()
  const isOut = (sighting: Sighting | undefined, server: string) => (sighting?.states[server] ?? 'ready') !== 'ready' // no member is never out
  return {
    stop: async () => {
      stopped = true
      await watching
      const servers = site.servers.map(s => s.name)
      const outAt = (server: string) => changes.find(c => isOut(c, server))?.at ?? null
      return {
        changes,
        mostOut: Math.max(0, ...changes.map(c => servers.filter(s => isOut(c, s)).length)),
        left: Object.fromEntries(
          servers.map(s => [s, changes.filter((c, i) => isOut(c, s) && !isOut(changes[i - 1], s)).length]),
        ),
        outAt,
        backAt: server => {
          const out = outAt(server)
          return changes.find(c => out !== null && c.at > out && !isOut(c, server))?.at ?? null
        },
      }
    },
  }
}
