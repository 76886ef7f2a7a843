/** The list of servers in a file of its own: YAML or JSON, also as `terraform output -json` writes it. */
import { messageOf, type Problem } from '../errors.ts'
import { readDocument } from './document.ts'
import type { MapNode, Node, Path } from './node.ts'
import { isNull } from './overlay.ts'
import type { Finding } from './problems.ts'
import { pointTo } from './source.ts'
import { withValues } from './spell-out.ts'
import { outsideWorkspace } from './workspace-path.ts'

export type ReadFile = (path: string) => string

export interface ServerFile {
  /** null: it could not be read. */
  readonly list: Node | null
  /** In the manifest, at the path of the file. */
  readonly findings: readonly Finding[]
  /** In the file itself. */
  readonly problems: readonly Problem[]
}

/** Reads the file that stands at `path` of a manifest. */
export function readServerFile(file: string, path: Path, readFile: ReadFile | undefined): ServerFile {
  const failed = (message: string, hint: string): ServerFile => ({
    list: null,
    findings: [{ path, on: 'value', message, hint }],
    problems: [],
  })
  const outside = outsideWorkspace(file)
  const aList = 'a text here is the path of a file; one server is written as a list: [web1.example.com]'
  if (outside !== null) return failed(`${file}: ${outside}`, aList)
  if (readFile === undefined) return failed(`${file} cannot be read here`, aList)
  let text: string
  try {
    text = readFile(file)
  } catch (error) {
    return failed(messageOf(error).includes(file) ? messageOf(error) : `${file}: ${messageOf(error)}`, aList)
  }
  const document = readDocument(file, text)
  if (document.root === null || document.problems.length > 0)
    return { list: null, findings: [], problems: document.problems }
  const found = listIn(document.root)
  if ('message' in found) return { list: null, findings: [], problems: [{ ...pointTo(document.root.at), ...found }] }
  return { list: /^\s*[[{]/.test(text) ? withoutNulls(found) : found, findings: [], problems: [] }
}

/**
 * The list: the whole file; or the key `servers`; or of Terraform's outputs ({name: {value, type, sensitive}}) the one called
 * `servers`, else the only one whose value is a list.
 */
function listIn(root: Node): Node | { readonly message: string; readonly hint: string } {
  if (root.kind === 'list') return root
  if (root.kind !== 'map')
    return { message: 'a list of servers is expected in this file', hint: 'write: [web1.example.com]' }
  const servers = root.entries.get('servers')?.value
  if (servers?.kind === 'list') return servers
  const outputs = [...root.entries].flatMap(([name, entry]) => {
    const value = entry.value.kind === 'map' ? entry.value.entries.get('value')?.value : undefined
    return value?.kind === 'list' ? [{ name, value }] : []
  })
  const one = outputs.find(o => o.name === 'servers') ?? (outputs.length === 1 ? outputs[0] : undefined)
  if (one !== undefined) return one.value
  return outputs.length === 0
    ? { message: 'no list of servers is in this file', hint: 'write a list, or a map with the key `servers`' }
    : {
        message: `several outputs are lists: ${outputs.map(o => o.name).join(', ')}`,
        hint: 'call the one with the servers `servers`',
      }
}

/** A program writes null for what is not set; in JSON it is as if the key were not there. */
function withoutNulls(node: Node): Node {
  if (node.kind === 'list') return { ...node, items: node.items.map(withoutNulls) }
  if (node.kind === 'text') return node
  const kept: MapNode = { ...node, entries: new Map([...node.entries].filter(([, entry]) => !isNull(entry.value))) }
  return withValues(kept, (name, value) => (name === 'env' ? value : withoutNulls(value)))
}
