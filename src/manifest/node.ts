/** A manifest as a tree of maps, lists and texts in which every node knows where it was written. */
import { offsetOf, type Place } from './source.ts'

export interface TextNode {
  readonly kind: 'text'
  /** The text as written; null for `null`, `~` and nothing. */
  readonly text: string | null
  readonly at: Place
  /** Offset just behind it in its file. */
  readonly end: number
}
export interface ListNode {
  readonly kind: 'list'
  readonly items: readonly Node[]
  readonly at: Place
}
export interface Entry {
  readonly key: Place
  readonly value: Node
}
export interface MapNode {
  readonly kind: 'map'
  readonly entries: ReadonlyMap<string, Entry>
  readonly at: Place
}
export type Node = TextNode | ListNode | MapNode

export type Path = readonly PropertyKey[]

/** The tree as plain values: objects, arrays, texts and null. */
export function plain(node: Node): unknown {
  if (node.kind === 'text') return node.text
  if (node.kind === 'list') return node.items.map(plain)
  // fromEntries defines own properties, so that no key can reach a prototype.
  return Object.fromEntries([...node.entries].map(([name, entry]) => [name, plain(entry.value)]))
}

const childOf = (node: Node, part: PropertyKey): Node | undefined =>
  node.kind === 'map'
    ? node.entries.get(String(part))?.value
    : node.kind === 'list'
      ? node.items[Number(part)]
      : undefined

/** The node at a path; undefined: nothing is written there. */
export const nodeAt = (root: Node, path: Path): Node | undefined =>
  path.reduce<Node | undefined>((node, part) => (node === undefined ? undefined : childOf(node, part)), root)

/** Where a path's key or value stands; of what is not there: where its nearest parent stands. */
export function placeOf(root: Node, path: Path, on: 'key' | 'value'): Place {
  let node = root
  let place = root.at
  for (const [i, part] of path.entries()) {
    const next = childOf(node, part)
    if (next === undefined) return place
    const key = node.kind === 'map' ? node.entries.get(String(part))?.key : undefined
    const last = i === path.length - 1
    place = (last && on === 'value') || key === undefined ? next.at : key
    node = next
  }
  return place
}

/** A path in the words of the file: `servers[1].host`. */
export const pathText = (path: Path): string =>
  path.reduce<string>(
    (words, part) =>
      typeof part === 'number' ? `${words}[${part}]` : words === '' ? String(part) : `${words}.${String(part)}`,
    '',
  )

/** The place of some words inside a text node, where they can be found; else the node's own. */
export function placeWithin(node: TextNode, words: string): Place {
  const found = offsetOf(node.at.source, words, node.at.offset, node.end)
  return found === null ? node.at : { source: node.at.source, offset: found }
}

/** The keys that stand in a tree of maps, as dotted paths; lists count as one value. */
export function writtenKeys(root: Node, before = ''): ReadonlySet<string> {
  const keys = new Set<string>()
  if (root.kind !== 'map') return keys
  for (const [name, entry] of root.entries) {
    const path = before === '' ? name : `${before}.${name}`
    keys.add(path)
    for (const inner of writtenKeys(entry.value, path)) keys.add(inner)
  }
  return keys
}
