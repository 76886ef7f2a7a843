/**
 * The manifest of a pull request's preview: the block `previews` over the keys it takes over. Servers, balancers, migrations, secrets, url
 * and path of an environment never come into it.
 */
import { InputError, type Problem } from '../errors.ts'
import { crossFindings, previewFindings } from './cross-checks.ts'
import { type Draft, known, namesIn, type Reader, readable } from './draft.ts'
import type { Layout } from './environments.ts'
import { lookupFindings } from './lookup-check.ts'
import type { Manifest } from './manifest.ts'
import { type MapNode, nodeAt, writtenKeys } from './node.ts'
import { without } from './overlay.ts'
import { nameOf, previewPathFindings, previewSharedFindings } from './preview-checks.ts'
import { checkedNumber } from './preview-path.ts'
import { type Finding, problemOf, schemaFindings } from './problems.ts'
import { type PreviewKeys, previewSchema } from './schema.ts'
import { expandServers } from './servers.ts'
import { withValues } from './spell-out.ts'

/** Of `rollout` a preview takes over what names no server and no share of them. */
const ofRollout: ReadonlySet<string> = new Set(['lock_wait', 'max_parallelism', 'concurrent_steps'])

const only = (node: MapNode, names: ReadonlySet<string>): MapNode => ({
  ...node,
  entries: new Map([...node.entries].filter(([name]) => names.has(name))),
})

/** The keys that a preview sees of the file. */
const treeOf = (base: MapNode): MapNode =>
  withValues(only(base, new Set(Object.keys(previewSchema.shape))), (name, node) => {
    if (node.kind !== 'map') return node
    if (name === 'release') return without(node, 'path')
    return name === 'rollout' ? only(node, ofRollout) : node
  })

export const hasPreviews = ({ base }: Layout): boolean => base.entries.has('previews')

/** What a preview is called wherever an environment has a name. */
export const previewName = (number: number): string => `pr-${checkedNumber(number)}`

/** null as `number`: the previews of all pull requests. Throws InputError where there is no such block. */
export function readPreview(
  layout: Layout,
  drafts: readonly Draft[],
  reader: Reader,
  number: number | null,
): { readonly manifest: Manifest | null; readonly problems: readonly Problem[] } {
  if (!hasPreviews(layout))
    throw new InputError(`${reader.file} has no block \`previews\``, {
      hint: 'docs/previews.md shows what to write',
    })
  const tree = treeOf(layout.base)
  const keys = readable(tree, previewSchema.shape)
  const { previews } = keys
  const ssh = { ...keys.ssh, ...previews?.ssh }
  const servers = expandServers(previews?.servers ?? [], ssh, ['previews', 'servers'])
  const env = { ...keys.env, ...previews?.env }
  const others = drafts.flatMap(d => d.path ?? [])
  const path = nodeAt(tree, ['previews', 'release', 'path'])
  const found: readonly Finding[] = [
    ...schemaFindings(tree, previewSchema),
    ...servers.findings,
    ...lookupFindings(tree, previewSchema, {
      environment: previewName(1),
      hasRelease: true,
      env: new Set(namesIn(tree, ['env'])),
      previewEnv: new Set([...namesIn(tree, ['env']), ...namesIn(tree, ['previews', 'env'])]),
      serverEnv: new Set((previews?.servers ?? []).flatMap(s => Object.keys(s.env))),
      serverIds: servers.servers.some(s => s.id !== undefined),
      previewServerIds: servers.servers.some(s => s.id !== undefined),
      run: reader.run,
    }),
    ...crossFindings(withoutReleasePath(keys), { environments: layout.environments, ...known(drafts) }),
    ...previewFindings(servers.servers, new Map(drafts.map(d => [nameOf(d.environment), d.servers ?? []]))),
    ...previewSharedFindings(tree),
    ...previewPathFindings({
      application: keys.application ?? '',
      path: previews === undefined || path?.kind !== 'text' ? null : previews.release.path,
      env,
      others,
    }),
  ]
  if (found.length > 0) return { manifest: null, problems: found.map(finding => problemOf(tree, finding)) }
  const { release, previews: own, ...over } = keys as PreviewKeys
  /** A default of the block is nothing that was said there. */
  const stands = (name: string) => nodeAt(tree, ['previews', 'release', name]) !== undefined
  const said = Object.fromEntries(Object.entries(own.release).filter(([name]) => stands(name)))
  const manifest: Manifest = {
    ...over,
    file: reader.file,
    environment: number === null ? null : previewName(number),
    environments: layout.environments,
    written: writtenKeys(tree),
    servers: servers.servers,
    shell: own.shell ?? over.shell,
    ssh,
    env,
    secrets: own.secrets,
    release: {
      ...own.release,
      ...release,
      // Files among them would have to be there before the first deployment.
      shared: (release?.shared ?? []).filter(place => place.endsWith('/')),
      ...said,
      path: own.release.path,
    },
    prepare: own.prepare ?? over.prepare,
    activate: own.activate ?? over.activate,
    verify: own.verify ?? over.verify,
    finalize: own.finalize ?? over.finalize,
    cleanup: own.cleanup ?? over.cleanup,
    migrate: undefined,
    load_balancers: {},
    url: own.url,
    previews: own,
    preview: { number, limit: own.limit, teardown: own.teardown, others },
  }
  return { manifest, problems: [] }
}

/** Of a preview's manifest no key `release` has a path: what is checked of it needs none. */
const withoutReleasePath = ({ release, ...keys }: Partial<PreviewKeys>) => ({
  ...keys,
  ...(release === undefined ? {} : { release: { ...release, path: '' } }),
})
