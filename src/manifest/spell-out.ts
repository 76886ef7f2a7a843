/**
 * Short forms written out: a list of one becomes a list, a step that is just its script becomes a map. After that "maps merge,
 * lists replace" holds for the short forms as well, and every path of the schema exists in the tree.
 */
import type { z } from 'zod'
import type { Entry, MapNode, Node } from './node.ts'
import { plain } from './node.ts'
import { chosen, look, type Shape } from './shape.ts'

export function spellOut(node: Node, schema: z.ZodType): Node {
  const { shape, facts } = look(schema)
  if (node.kind === 'text' && node.text === null) return node
  if (shape.kind === 'list') {
    if (node.kind === 'text' && facts.orFile) return node
    const items = node.kind === 'list' ? node.items : [node]
    return { kind: 'list', items: items.map(item => spellOut(item, shape.item)), at: node.at }
  }
  if (node.kind === 'text' && shape.kind === 'map' && facts.just !== undefined)
    return { kind: 'map', entries: new Map([[facts.just, { key: node.at, value: node }]]), at: node.at }
  if (node.kind !== 'map') return node
  return withValues(node, (name, value) => {
    const next = keySchema(shape, node, name)
    return next === undefined ? value : spellOut(value, next)
  })
}

/** The same map with other values. */
export function withValues(node: MapNode, change: (name: string, value: Node) => Node): MapNode {
  const entries = new Map<string, Entry>()
  for (const [name, entry] of node.entries) entries.set(name, { key: entry.key, value: change(name, entry.value) })
  return { kind: 'map', entries, at: node.at }
}

function keySchema(shape: Shape, node: MapNode, name: string): z.ZodType | undefined {
  if (shape.kind === 'map') return Object.hasOwn(shape.keys, name) ? shape.keys[name] : undefined
  if (shape.kind === 'record') return shape.value
  if (shape.kind !== 'choice') return undefined
  const one = chosen(shape, plain(node))
  // In an overlay a balancer may lack its provider; a key is a list in all providers that have it, or in none.
  const options = one === undefined ? shape.of : [one]
  for (const option of options) {
    const found = keySchema(look(option).shape, node, name)
    if (found !== undefined) return found
  }
  return undefined
}
