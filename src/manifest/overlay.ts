/** `environments.<name>` over the rest: maps merge, lists replace, null removes. Every node keeps the place it came from. */
import type { Entry, MapNode, Node } from './node.ts'

export const isNull = (node: Node): boolean => node.kind === 'text' && node.text === null

/** What `over` leaves of `base`; both with their short forms written out. */
export function overlay(base: Node | undefined, over: Node): Node {
  if (over.kind !== 'map') return over
  // Where nothing was below, there is nothing to remove either.
  const entries = new Map<string, Entry>(base?.kind === 'map' ? base.entries : [])
  for (const [name, entry] of over.entries) {
    if (isNull(entry.value)) entries.delete(name)
    else entries.set(name, { key: entry.key, value: overlay(entries.get(name)?.value, entry.value) })
  }
  return { kind: 'map', entries, at: over.at }
}

/** A map without some of its keys. */
export const without = (node: MapNode, ...names: readonly string[]): MapNode => ({
  ...node,
  entries: new Map([...node.entries].filter(([name]) => !names.includes(name))),
})
