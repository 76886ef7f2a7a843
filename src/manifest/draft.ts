/** One environment on its way to a Manifest: its tree, what of it could be read, and everything that is wrong with it. */
import type { z } from 'zod'
import type { Problem } from '../errors.ts'
import { crossFindings, type Keys, previewFindings } from './cross-checks.ts'
import { type Layout, treeOf } from './environments.ts'
import { lookupFindings } from './lookup-check.ts'
import type { Balancer, Manifest, OtherPath, Server } from './manifest.ts'
import { type MapNode, nodeAt, type Path, plain, writtenKeys } from './node.ts'
import { type Finding, problemOf, schemaFindings } from './problems.ts'
import { type ManifestKeys, manifestSchema, type ServerEntry, serverEntry } from './schema.ts'
import { type ReadFile, readServerFile } from './server-file.ts'
import { expandServers } from './servers.ts'
import { spellOut, withValues } from './spell-out.ts'

export interface Reader {
  readonly file: string
  readonly readFile: ReadFile | undefined
  /** Values the run gives to look-ups; null: not known yet. */
  readonly run: Readonly<Record<string, string>> | null
}

export interface Draft {
  readonly environment: string | null
  /** null: they could not be read. */
  readonly servers: readonly Server[] | null
  readonly previewServers: readonly Server[]
  /** null: it has no `release`. */
  readonly path: OtherPath | null
  /** With what is known of all environments: the manifest, null where there are problems. */
  finish(all: readonly Draft[]): { readonly manifest: Manifest | null; readonly problems: readonly Problem[] }
}

export function draftOf(layout: Layout, environment: string | null, reader: Reader): Draft {
  const { tree, listed, problems, findings } = withServerFile(treeOf(layout, environment), reader)
  const schema = schemaFindings(tree, manifestSchema, ['environments'])
  const keys: Keys = readable(tree, manifestSchema.shape)
  const ssh = keys.ssh ?? {}
  const entries = entriesOf(tree)
  const own = expandServers(entries, ssh, ['servers'])
  const previews = expandServers(keys.previews?.servers ?? [], { ...ssh, ...keys.previews?.ssh }, [
    'previews',
    'servers',
  ])
  const balancers = Object.entries(keys.load_balancers ?? {}).map(([name, settings]) => {
    const hosts = 'hosts' in settings ? expandServers(settings.hosts, ssh, ['load_balancers', name, 'hosts']) : null
    return { name, settings, hosts }
  })
  const servers = listed && !entries.includes(null) ? own.servers : null
  const none: readonly Finding[] =
    servers?.length === 0 && own.findings.length === 0
      ? [
          {
            path: ['servers'],
            on: 'key',
            message: 'there are no servers',
            hint: 'for example: servers: [203.0.113.10]',
          },
        ]
      : []
  const finish = (all: readonly Draft[]) => {
    const found: readonly Finding[] = [
      ...findings,
      ...schema,
      ...none,
      ...own.findings,
      ...previews.findings,
      ...balancers.flatMap(b => b.hosts?.findings ?? []),
      ...lookupFindings(tree, manifestSchema, {
        environment,
        hasRelease: tree.entries.has('release'),
        env: new Set(namesIn(tree, ['env'])),
        previewEnv: new Set([...namesIn(tree, ['env']), ...namesIn(tree, ['previews', 'env'])]),
        serverEnv: new Set(
          [...(keys.servers ?? []), ...(keys.previews?.servers ?? [])].flatMap(s => Object.keys(s.env)),
        ),
        serverIds: (keys.servers ?? []).some(s => s.id !== undefined),
        previewServerIds: (keys.previews?.servers ?? []).some(s => s.id !== undefined),
        run: reader.run,
      }),
      ...crossFindings(keys, { environments: layout.environments, ...known(all) }),
      ...previewFindings(previews.servers, new Map(all.map(d => [d.environment ?? 'the manifest', d.servers ?? []]))),
    ]
    const everything = [...problems, ...found.map(finding => problemOf(tree, finding))]
    if (everything.length > 0) return { manifest: null, problems: everything }
    const manifest: Manifest = {
      ...(keys as ManifestKeys),
      file: reader.file,
      environment,
      environments: layout.environments,
      servers: own.servers,
      written: writtenKeys(tree),
      load_balancers: Object.fromEntries(
        balancers.map(({ name, settings, hosts }) => [
          name,
          (hosts === null ? settings : { ...settings, hosts: hosts.servers }) as Balancer,
        ]),
      ),
    }
    return { manifest, problems: [] }
  }
  const path = pathOf(tree, environment, keys, servers)
  return { environment, servers, previewServers: previews.servers, path, finish }
}

/** Also of an environment with problems: a preview keeps apart from what can be read of it. */
function pathOf(tree: MapNode, environment: string | null, keys: Keys, servers: readonly Server[] | null) {
  const written = nodeAt(tree, ['release', 'path'])
  if (written?.kind !== 'text' || written.text === null) return null
  const hosts = servers?.map(s => s.host) ?? null
  return { environment, path: written.text.replace(/\/+$/, ''), env: keys.env ?? {}, hosts }
}

/** Names and roles of all environments' servers. */
export function known(all: readonly Draft[]) {
  const lists = all.map(draft => draft.servers)
  if (lists.includes(null)) return { names: null, roles: null }
  const servers = [...lists.flatMap(list => list ?? []), ...all.flatMap(draft => draft.previewServers)]
  return { names: new Set(servers.map(s => s.name)), roles: new Set(servers.flatMap(s => s.roles)) }
}

/** Each key on its own, so that a mistake in one hides nothing in another. */
export function readable<S extends Readonly<Record<string, z.ZodType>>>(
  tree: MapNode,
  shape: S,
): { readonly [K in keyof S]?: z.output<S[K]> } {
  const value = plain(tree) as Readonly<Record<string, unknown>>
  return Object.fromEntries(
    Object.entries(shape).flatMap(([name, schema]) => {
      const result = schema.safeParse(value[name])
      return result.success && result.data !== undefined ? [[name, result.data]] : []
    }),
  ) as { readonly [K in keyof S]?: z.output<S[K]> }
}

const entrySchema = serverEntry()

/** Each server on its own; null: it cannot be read. */
const entriesOf = (tree: MapNode): readonly (ServerEntry | null)[] => {
  const list = tree.entries.get('servers')?.value
  const items = list?.kind === 'list' ? list.items : []
  return items.map(item => entrySchema.safeParse(plain(item)).data ?? null)
}

export const namesIn = (tree: MapNode, path: Path): readonly string[] => {
  const node = nodeAt(tree, path)
  return node?.kind === 'map' ? [...node.entries.keys()] : []
}

/** The tree with the list of servers in place of the file that holds it. */
function withServerFile(tree: MapNode, { readFile }: Reader) {
  const written = tree.entries.get('servers')?.value
  if (written?.kind !== 'text' || written.text === null) return { tree, listed: true, problems: [], findings: [] }
  const { list, findings, problems } = readServerFile(written.text, ['servers'], readFile)
  const value = list ?? { kind: 'list' as const, items: [], at: written.at }
  const replaced = withValues(tree, (name, node) =>
    name === 'servers' ? spellOut(value, manifestSchema.shape.servers) : node,
  )
  return { tree: replaced, listed: list !== null, problems, findings }
}
