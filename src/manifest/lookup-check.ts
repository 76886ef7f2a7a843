/** Every look-up of a tree, checked when it is read: may one stand there, and is its name known? */
import type { z } from 'zod'
import { type NameGroup, namesOf } from './lookup-names.ts'
import { lookupsIn, mentionsLookup, refusal, scriptVariable } from './lookups.ts'
import { suggestion } from './nearest.ts'
import { type Node, type Path, pathText, placeWithin, plain, type TextNode } from './node.ts'
import type { Finding } from './problems.ts'
import { chosen, type Facts, look } from './shape.ts'

/** What is known of the values when a manifest is read. */
export interface Known {
  readonly environment: string | null
  readonly hasRelease: boolean
  /** Names of `env`; with those of the previews' `env`; of any server's `env`. */
  readonly env: ReadonlySet<string>
  readonly previewEnv: ReadonlySet<string>
  readonly serverEnv: ReadonlySet<string>
  readonly serverIds: boolean
  /** Of the previews' servers. */
  readonly previewServerIds: boolean
  /** Values that the run gives, by name; null: not known yet, then all of them may be used. */
  readonly run: Readonly<Record<string, string>> | null
}

export function lookupFindings(root: Node, schema: z.ZodType, known: Known): readonly Finding[] {
  const found: Finding[] = []
  walk(root, schema, [], (node, facts, path) => found.push(...textFindings(node, facts, path, known)))
  return found
}

function walk(
  node: Node,
  schema: z.ZodType,
  path: Path,
  visit: (node: TextNode, facts: Facts, path: Path) => void,
): void {
  const { shape, facts } = look(schema)
  if (shape.kind === 'choice') {
    const option = chosen(shape, plain(node))
    if (option !== undefined) walk(node, option, path, visit)
  } else if (node.kind === 'text') visit(node, facts, path)
  else if (node.kind === 'list') {
    if (shape.kind === 'list') for (const [i, item] of node.items.entries()) walk(item, shape.item, [...path, i], visit)
  } else
    for (const [name, entry] of node.entries) {
      const next =
        shape.kind === 'record'
          ? shape.value
          : shape.kind === 'map' && Object.hasOwn(shape.keys, name)
            ? shape.keys[name]
            : undefined
      if (next !== undefined) walk(entry.value, next, [...path, name], visit)
    }
}

function textFindings(node: TextNode, facts: Facts, path: Path, known: Known): readonly Finding[] {
  if (node.text === null || !mentionsLookup(node.text)) return []
  const place = pathText(path)
  return lookupsIn(node.text).flatMap(({ written, name }): readonly Finding[] => {
    const at = placeWithin(node, written)
    const finding = (message: string, hint: string): readonly Finding[] => [{ path, on: 'value', message, hint, at }]
    if (facts.script)
      return finding(
        `${place}: a script is never interpolated, ${written.split('\n')[0]} would be run as it stands`,
        scriptVariable(name),
      )
    const groups = facts.lookups
    if (groups === undefined) return finding(`${place}: no look-up may stand here`, 'write the value itself')
    const refused = refusal(name, groups) ?? unknown(name ?? '', groups, known, path)
    return refused === null ? [] : finding(`${place}: ${refused.message}`, refused.hint)
  })
}

/** Why a name that may stand here has no value in this manifest; null: it has one, as far as can be known. */
function unknown(name: string, groups: readonly NameGroup[], known: Known, path: Path) {
  const none = (why: string, hint: string) => ({ message: `\${{ ${name} }}: ${why}`, hint })
  const others = `known here: ${namesOf(groups)
    .filter(n => n !== name)
    .join(', ')}`
  // A preview always has an environment's name and releases.
  const ofPreview = path[0] === 'previews'
  const env = ofPreview ? known.previewEnv : known.env
  if (name.startsWith('env.') && !env.has(name.slice(4)))
    return none(
      '`env` has no such variable',
      env.size > 0
        ? suggestion(
            name,
            [...env].map(n => `env.${n}`),
          )
        : others,
    )
  if (name.startsWith('server.env.') && !known.serverEnv.has(name.slice(11)))
    return none(
      'no server has such a variable in its `env`',
      known.serverEnv.size > 0
        ? suggestion(
            name,
            [...known.serverEnv].map(n => `server.env.${n}`),
          )
        : others,
    )
  if (name.startsWith('release.') && !known.hasRelease && !ofPreview)
    return none('the manifest has no `release`', others)
  if (name === 'environment' && known.environment === null && !ofPreview)
    return none('the manifest has no `environments`', others)
  if (name === 'server.id' && !(ofPreview ? known.previewServerIds : known.serverIds))
    return none('no server has an `id`', others)
  if (name === 'pull_request.number' && !ofPreview && !known.run?.[name])
    return none('this is not a deployment of a pull request', others)
  if (name.startsWith('github.') && known.run !== null && !known.run[name])
    return none('it is empty outside a workflow', others)
  return null
}
