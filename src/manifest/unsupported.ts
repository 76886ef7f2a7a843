/** Keys whose behaviour is not there yet. Each is refused by name; a row is removed when the feature arrives. */
import { type Node, type Path, pathText, plain } from './node.ts'
import type { Finding } from './problems.ts'

interface Row {
  /** `*`: each key of a map or item of a list. */
  readonly path: string
  readonly hint: string
}

export const rows: readonly Row[] = [{ path: 'previews', hint: 'leave it out' }]

/** What of a tree, short forms written out, is not supported yet. */
export const unsupportedFindings = (root: Node): readonly Finding[] =>
  rows.flatMap(row =>
    matches(root, row.path.split('.')).flatMap(({ path, node }): readonly Finding[] => {
      if (plain(node) === null) return []
      return [{ path, on: 'key', message: `${pathText(path)} is not supported yet`, hint: row.hint }]
    }),
  )

function matches(node: Node, pattern: readonly string[], path: Path = []): readonly { path: Path; node: Node }[] {
  const [part, ...rest] = pattern
  if (part === undefined) return [{ path, node }]
  if (node.kind === 'list' && part === '*') return node.items.flatMap((item, i) => matches(item, rest, [...path, i]))
  if (node.kind !== 'map') return []
  const names = part === '*' ? [...node.entries.keys()] : [part]
  return names.flatMap(name => {
    const entry = node.entries.get(name)
    return entry === undefined ? [] : matches(entry.value, rest, [...path, name])
  })
}
