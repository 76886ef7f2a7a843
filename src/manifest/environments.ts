/** The file's two halves: what holds everywhere, and what each environment lays over it. */
import type { Problem } from '../errors.ts'
import type { MapNode, Node } from './node.ts'
import { isNull, overlay, without } from './overlay.ts'
import { problemOf } from './problems.ts'
import { manifestSchema, name } from './schema.ts'
import { spellOut } from './spell-out.ts'

export interface Layout {
  /** The whole file, short forms written out, without `environments`. */
  readonly base: MapNode
  readonly overlays: ReadonlyMap<string, MapNode>
  readonly environments: readonly string[]
  readonly problems: readonly Problem[]
}

/** null: the file is not a map. */
export function layoutOf(root: Node): Layout | null {
  if (root.kind !== 'map') return null
  const problems: Problem[] = []
  const wrong = (path: readonly string[], on: 'key' | 'value', message: string, hint: string) =>
    problems.push(problemOf(root, { path, on, message, hint }))
  const block = root.entries.get('environments')?.value
  const overlays = new Map<string, MapNode>()
  if (block !== undefined && (block.kind !== 'map' || block.entries.size === 0))
    wrong(
      ['environments'],
      'key',
      'environments: a map of names is expected',
      'for example: environments: {production: {}}',
    )
  for (const [environment, { value }] of block?.kind === 'map' ? block.entries : []) {
    const path = ['environments', environment]
    const good = name().safeParse(environment)
    if (!good.success)
      wrong(path, 'key', `environments.${environment}: ${good.error.issues[0]?.message}`, 'choose another name')
    if (value.kind !== 'map' && !isNull(value))
      wrong(
        path,
        'value',
        `${path.join('.')}: a map of keys and values is expected`,
        'for example: url: https://example.com',
      )
    const map: MapNode = value.kind === 'map' ? value : { kind: 'map', entries: new Map(), at: value.at }
    for (const key of ['environments', 'previews', 'application'])
      if (map.entries.has(key))
        wrong([...path, key], 'key', `${key} cannot stand in an environment`, 'put it at the top of the manifest')
    overlays.set(environment, asMap(without(map, 'environments', 'previews', 'application')))
  }
  for (const finding of [...overlays].flatMap(([environment, over]) => lostVariables(environment, root, over)))
    wrong(finding.path, 'key', finding.message, finding.hint)
  return {
    base: asMap(without(root, 'environments')),
    overlays,
    environments: [...overlays.keys()],
    problems,
  }
}

const asMap = (node: MapNode): MapNode => {
  const whole = spellOut(node, manifestSchema)
  return whole.kind === 'map' ? whole : node
}

/** The tree of one environment. */
export function treeOf({ base, overlays }: Layout, environment: string | null): MapNode {
  const over = environment === null ? undefined : overlays.get(environment)
  const tree = over === undefined ? base : overlay(base, over)
  return tree.kind === 'map' ? { ...tree, at: base.at } : base
}

/** At the top `IMAGE:` means "from the step's env"; in an environment null removes. Where nothing is removed, the first was meant. */
function lostVariables(environment: string, root: MapNode, over: MapNode) {
  const env = over.entries.get('env')?.value
  const below = root.entries.get('env')?.value
  return [...(env?.kind === 'map' ? env.entries : [])].flatMap(([variable, { value }]) =>
    isNull(value) && !(below?.kind === 'map' && below.entries.has(variable))
      ? [
          {
            path: ['environments', environment, 'env', variable],
            message: `environments.${environment}.env.${variable}: in an environment no value means "removed", and there is nothing to remove`,
            hint: `to take it from the action step's env, write \`${variable}:\` under env at the top of the manifest`,
          },
        ]
      : [],
  )
}
