/**
 * Which waits are in force: the manifest's, else what an earlier deployment stored. Pure. Copies lie on all servers, and the highest
 * sequence number wins, with one restriction. A copy speaks for the other servers too, so one server's word is not enough where others
 * contradict it: what two servers hold alike counts before a newer copy that only one of them has. A single server that lies can
 * then neither take a wait away from the others (requests would fail) nor slow them down. With fewer than two copies alike (one or two
 * servers, or one that alone was up) the highest number wins; the cap, the warning and the manifest's own line are what is left against
 * it. A server without a copy says nothing.
 */
import { isDeepStrictEqual } from 'node:util'
import { type BalancerWaits, type StoredWait, type StoredWaits, sequenceAfter } from '../manifest/kept-waits.ts'
import type { Manifest } from '../manifest/manifest.ts'

/** By server name; null: it has none, or none that can be used. */
export type Copies = Readonly<Record<string, StoredWaits | null>>

export interface Believed {
  readonly waits: StoredWaits | null
  /** How many servers have a copy at all. */
  readonly copies: number
  /** Servers that hold exactly these. */
  readonly held: readonly string[]
  /** A newer copy that one server alone has, against what others agree on. */
  readonly doubted: { readonly server: string; readonly waits: StoredWaits } | null
}

export const noStoredWaits: Believed = { waits: null, copies: 0, held: [], doubted: null }

export function believedWaits(copies: Copies): Believed {
  const all = Object.entries(copies)
    .flatMap(([server, waits]) => (waits === null ? [] : [{ server, waits }]))
    // Of the same number (two runs that never saw each other's server) the later one; the names make the rest the same everywhere.
    .toSorted(
      (a, b) =>
        b.waits.sequence - a.waits.sequence || latest(b.waits) - latest(a.waits) || (a.server < b.server ? -1 : 1),
    )
  const alike = (waits: StoredWaits) => all.filter(c => isDeepStrictEqual(c.waits, waits)).map(c => c.server)
  const [newest] = all
  if (newest === undefined) return noStoredWaits
  const agreed = all.find(c => alike(c.waits).length > 1) ?? newest
  return {
    waits: agreed.waits,
    copies: all.length,
    held: alike(agreed.waits),
    doubted: agreed === newest ? null : newest,
  }
}

const latest = ({ balancers }: StoredWaits): number =>
  Math.max(0, ...Object.values(balancers).flatMap(b => [b.removing?.at ?? 0, b.adding?.at ?? 0]))

export const waitKeys = {
  removing: 'wait_after_removing_servers',
  adding: 'wait_after_adding_servers',
} as const
type Which = keyof typeof waitKeys
const both = ['removing', 'adding'] as const

/** One wait with where it comes from. */
export type WaitSource = { readonly from: 'manifest' | 'default' } | ({ readonly from: 'stored' } & StoredWait)

export interface WaitInForce {
  readonly seconds: number
  readonly source: WaitSource
}

/** Seconds per server: after drained, and after serving. */
export function waitInForce(
  manifest: Pick<Manifest, 'load_balancers'>,
  stored: StoredWaits | null,
  balancer: string,
  which: Which,
): WaitInForce {
  const settings = Object.hasOwn(manifest.load_balancers, balancer) ? manifest.load_balancers[balancer] : undefined
  const written = settings?.[waitKeys[which]]
  if (written !== undefined) return { seconds: written, source: { from: 'manifest' } }
  const kept = stored !== null && Object.hasOwn(stored.balancers, balancer) ? stored.balancers[balancer] : undefined
  const wait = settings === undefined ? undefined : kept?.[which]
  if (wait !== undefined) return { seconds: wait.seconds, source: { from: 'stored', ...wait } }
  return { seconds: 0, source: { from: 'default' } }
}

/** The stored waits that this manifest leaves in force without naming them. */
export const keptWaits = (manifest: Manifest, stored: StoredWaits | null) =>
  Object.keys(manifest.load_balancers).flatMap(balancer =>
    both.flatMap(which => {
      const { source } = waitInForce(manifest, stored, balancer, which)
      return source.from === 'stored' ? [{ balancer, which, key: waitKeys[which], wait: source }] : []
    }),
  )

/** Who stores: the deployment that succeeded. `at`: seconds since 1970. */
export interface Storing {
  readonly deployment: string
  readonly run: string | null
  readonly at: number
}

/**
 * What is stored after a success: the manifest's waits, and those that were kept; `0` is none. A balancer that the manifest does not have
 * any more takes its waits with it. null: there never was anything to store.
 */
export function waitsToStore(manifest: Manifest, stored: StoredWaits | null, by: Storing): StoredWaits | null {
  const one = (balancer: string, which: Which): StoredWait | undefined => {
    const { seconds, source } = waitInForce(manifest, stored, balancer, which)
    if (source.from === 'stored') return { seconds, deployment: source.deployment, run: source.run, at: source.at }
    return seconds === 0 ? undefined : { seconds, ...by }
  }
  const balancers = Object.keys(manifest.load_balancers).flatMap((balancer): [string, BalancerWaits][] => {
    const [removing, adding] = [one(balancer, 'removing'), one(balancer, 'adding')]
    if (removing === undefined && adding === undefined) return []
    return [[balancer, { ...(removing && { removing }), ...(adding && { adding }) }]]
  })
  if (stored === null && balancers.length === 0) return null
  return { sequence: sequenceAfter(stored?.sequence ?? 0), balancers: Object.fromEntries(balancers) }
}
