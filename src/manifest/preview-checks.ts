/** What holds between previews and environments, as far as a manifest says it by itself; commands ask again with every value at hand. */
import { InputError, messageOf } from '../errors.ts'
import { lookupsIn, resolve } from './lookups.ts'
import type { OtherPath } from './manifest.ts'
import { type MapNode, nodeAt } from './node.ts'
import { meetsAny, type PreviewPath, previewPath } from './preview-path.ts'
import type { Finding } from './problems.ts'

type Env = Readonly<Record<string, string | null>>

export interface PreviewTexts {
  readonly application: string
  /** As written; null: it cannot be read. */
  readonly path: string | null
  readonly env: Env
  readonly others: readonly OtherPath[]
}

const finding = (path: Finding['path'], message: string, hint: string): Finding => ({
  path,
  on: 'value',
  message,
  hint,
})

/** The text with what a manifest says itself; null: it needs a value of the run. */
function written(text: string, names: Readonly<Record<string, string | null>>, env: Env): string | null {
  const all: Record<string, string> = {}
  const set = (name: string, value: string | null) => {
    const known = value !== null && value !== '' && lookupsIn(value).every(l => l.name !== null && l.name in all)
    if (known) all[name] = resolve(value, all)
  }
  for (const [name, value] of Object.entries(names)) set(name, value)
  for (const [name, value] of Object.entries(env)) set(`env.${name}`, value)
  return lookupsIn(text).every(l => l.name !== null && l.name in all) ? resolve(text, all) : null
}

export const nameOf = (environment: string | null): string => environment ?? 'the manifest'

/** The previews' path against its own rules and every environment's path. */
export function previewPathFindings({ application, path, env, others }: PreviewTexts): readonly Finding[] {
  if (path === null) return []
  const where = ['previews', 'release', 'path']
  const at = (number: number) =>
    written(path, { application, environment: `pr-${number}`, 'pull_request.number': String(number) }, env)
  const own = at(1)
  if (own === null) return []
  let place: PreviewPath
  try {
    place = previewPath(number => at(number) ?? '', 1)
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    return [finding(where, `previews.release.path: ${messageOf(error)}`, error.hint ?? '')]
  }
  return others.flatMap(other => {
    const theirs = written(other.path, { application, environment: other.environment }, other.env)
    if (theirs === null || !meetsAny(place, theirs)) return []
    return [
      finding(
        where,
        `previews.release.path: ${path} is, holds or lies in ${theirs}, the path of ${nameOf(other.environment)}`,
        'give previews a directory of their own, for example /srv/previews/pr-${{ pull_request.number }}',
      ),
    ]
  })
}

/** A new preview has no files that were put there before: only directories can be shared. */
export function previewSharedFindings(tree: MapNode): readonly Finding[] {
  const path = ['previews', 'release', 'shared']
  const node = nodeAt(tree, path)
  const items = node === undefined ? [] : node.kind === 'list' ? node.items : [node]
  return items.flatMap((item, i) =>
    item.kind !== 'text' || item.text === null || item.text.endsWith('/')
      ? []
      : [
          finding(
            [...path, i],
            `previews.release.shared: "${item.text}" is a file that must be there before, and a new preview has none`,
            `write "${item.text}/" if it is a directory; a file is made by \`prepare\``,
          ),
        ],
  )
}
