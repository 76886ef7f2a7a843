/**
 * YAML 1.2 (and so JSON) → a tree in which every scalar is the text as written. YAML's schema `failsafe` makes no value of any
 * text, so `1.10`, `yes` and `0123` stay what they are; null is told apart here.
 */
import { type Alias, isAlias, isMap, isScalar, isSeq, type Pair, type ParsedNode, parseAllDocuments } from 'yaml'
import type { Problem } from '../errors.ts'
import type { Entry, ListNode, MapNode, Node } from './node.ts'
import { type Place, pointTo, type Source, sourceOf } from './source.ts'
import {
  foldedItem,
  gluedHint,
  looksGlued,
  type Trap,
  tooDeep,
  trapOf,
  unquotedAlias,
  unquotedAnchor,
  unquotedTag,
  wordAt,
} from './traps.ts'

/** Characters; no manifest and no list of servers comes near. */
const longest = 1024 * 1024
/** Nodes with every alias written out: where a small file becomes a huge one, this ends it. */
const mostNodes = 200_000
const deepest = 50
const mostProblems = 20

export interface Document {
  readonly source: Source
  /** null: the text cannot be read as a tree; `problems` says why. */
  readonly root: Node | null
  readonly problems: readonly Problem[]
}

interface Reading {
  readonly source: Source
  readonly problems: Problem[]
  readonly anchors: Map<string, ParsedNode>
  readonly done: Map<ParsedNode, { readonly node: Node; readonly size: number }>
  readonly open: Set<ParsedNode>
  size: number
  tooLarge: boolean
}

const report = (reading: Reading, offset: number, { message, hint }: Trap): void => {
  reading.problems.push({ ...pointTo({ source: reading.source, offset }), message, hint })
}

/** Reads a file's text. Never throws: what is wrong is in `problems`. */
export function readDocument(file: string, text: string): Document {
  const whole = text.replace(/^\uFEFF/, '')
  const source = sourceOf(file, whole.length > longest ? '' : whole)
  const reading: Reading = {
    source,
    problems: [],
    anchors: new Map(),
    done: new Map(),
    open: new Set(),
    size: 0,
    tooLarge: false,
  }
  const end = (root: Node | null): Document => ({ source, root, problems: reading.problems.slice(0, mostProblems) })
  if (whole.length > longest) {
    report(reading, 0, { message: 'the file is larger than 1 MiB', hint: 'put the servers into a file of their own' })
    return end(null)
  }
  const parsed = parseAllDocuments(whole, {
    version: '1.2',
    schema: 'failsafe',
    prettyErrors: false,
    uniqueKeys: false,
    logLevel: 'silent',
  })
  const documents = Array.isArray(parsed) ? parsed : []
  const errors = documents.flatMap(d => d.errors)
  if (errors.length > 0) {
    // One per line, and none from where the parser has lost its place: those are none.
    const lines = new Set<number>()
    for (const [i, error] of errors.entries()) {
      if (i > 0 && / in YAML stream/.test(error.message)) break
      const { line } = pointTo({ source, offset: error.pos[0] })
      if (lines.has(line)) continue
      lines.add(line)
      report(reading, error.pos[0], trapOf(error.code, error.message, source, error.pos[0]))
    }
    return end(null)
  }
  const [first, second] = documents
  if (second !== undefined)
    report(reading, second.contents?.range?.[0] ?? second.range[0], {
      message: 'a second document begins here',
      hint: 'one file holds one document: remove the "---", or put the rest into a file of its own',
    })
  const contents = first?.contents as ParsedNode | null | undefined
  if (contents === null || contents === undefined) {
    report(reading, 0, { message: 'the file is empty', hint: 'write keys and values: application: my-app' })
    return end(null)
  }
  const root = convert(reading, contents, { source, offset: contents.range[0] })
  if (!reading.tooLarge) return end(root)
  report(reading, 0, {
    message: `with its aliases written out the file has more than ${mostNodes} values`,
    hint: 'use fewer aliases',
  })
  return end(null)
}

function convert(reading: Reading, node: ParsedNode, empty: Place): Node {
  const known = reading.done.get(node)
  if (known !== undefined) {
    count(reading, known.size)
    return known.node
  }
  const before = reading.size
  count(reading, 1)
  const nothing: Node = { kind: 'text', text: null, at: empty, end: empty.offset }
  if (reading.tooLarge) return nothing
  if (isAlias(node)) return alias(reading, node, empty)
  if (reading.open.size > deepest) {
    report(reading, node.range[0], tooDeep)
    return nothing
  }
  if (node.anchor !== undefined) reading.anchors.set(node.anchor, node)
  reading.open.add(node)
  const result = tagged(reading, node) ?? converted(reading, node, empty)
  reading.open.delete(node)
  reading.done.set(node, { node: result, size: reading.size - before })
  return result
}

const count = (reading: Reading, size: number): void => {
  reading.size += size
  if (reading.size > mostNodes) reading.tooLarge = true
}

function alias(reading: Reading, node: Alias.Parsed, empty: Place): Node {
  const at: Place = { source: reading.source, offset: node.range[0] }
  const target = reading.anchors.get(node.source)
  if (target !== undefined && !reading.open.has(target)) return convert(reading, target, empty)
  const text = `*${node.source}`
  report(
    reading,
    at.offset,
    target === undefined
      ? unquotedAlias(text)
      : { message: `${text} stands inside the value it stands for`, hint: 'write the value out' },
  )
  return { kind: 'text', text, at, end: node.range[1] }
}

/** A node with a tag, or with an anchor and nothing else: most likely text that should have been quoted. */
function tagged(reading: Reading, node: Exclude<ParsedNode, Alias.Parsed>): Node | null {
  const { source } = reading
  const start = node.range[0]
  const line = source.text.slice(source.text.lastIndexOf('\n', start - 1) + 1, start)
  const emptyText = isScalar(node) && node.type === 'PLAIN' && node.source === ''
  const [tag] = node.tag === undefined ? [] : (/!\S*(\s.*)?$/.exec(line) ?? [])
  if (tag !== undefined && !/^!!(str|map|seq)\b/.test(tag)) {
    const offset = start - tag.length
    const text = wordAt(source, offset)
    report(reading, offset, unquotedTag(text))
    return { kind: 'text', text, at: { source, offset }, end: offset + text.length }
  }
  if (emptyText && node.anchor !== undefined) {
    const text = `&${node.anchor}`
    const offset = start - (line.length - line.lastIndexOf(text))
    report(reading, offset, unquotedAnchor(text))
    return { kind: 'text', text, at: { source, offset }, end: start }
  }
  return null
}

function converted(reading: Reading, node: Exclude<ParsedNode, Alias.Parsed>, empty: Place): Node {
  const { source } = reading
  const at: Place = { source, offset: node.range[0] }
  if (isMap(node)) return mapOf(reading, node.items as readonly Pair<ParsedNode, ParsedNode | null>[], at)
  if (isSeq(node)) {
    const items = (node.items as readonly ParsedNode[]).map(item =>
      convert(reading, item, { source, offset: item.range[0] }),
    )
    return { kind: 'list', items, at } satisfies ListNode
  }
  const value = isScalar(node) ? node.value : null
  const written = typeof value === 'string' ? value : null
  const item =
    isScalar(node) && node.type === 'PLAIN' ? foldedItem(source.text.slice(node.range[0], node.range[1])) : null
  if (item !== null)
    report(reading, source.text.indexOf(item, node.range[0]), {
      message: `"${item}" continues the text before it`,
      hint: 'items of one list begin in the same column',
    })
  // YAML 1.2.2, 10.3.2 (core schema): these plain scalars, and nothing, are null.
  const isNull = isScalar(node) && node.type === 'PLAIN' && /^(null|Null|NULL|~|)$/.test(written ?? '')
  return { kind: 'text', text: isNull ? null : written, at: written === '' && isNull ? empty : at, end: node.range[1] }
}

function mapOf(reading: Reading, pairs: readonly Pair<ParsedNode, ParsedNode | null>[], at: Place): MapNode {
  const { source } = reading
  const entries = new Map<string, Entry>()
  for (const pair of pairs) {
    const key: Place = { source, offset: pair.key.range[0] }
    const name = isScalar(pair.key) && typeof pair.key.value === 'string' ? pair.key.value : null
    const first = name === null ? undefined : entries.get(name)
    if (name === null) report(reading, key.offset, isAlias(pair.key) ? unquotedAlias(`*${pair.key.source}`) : notAKey)
    else if (name === '<<') report(reading, key.offset, mergeKey)
    else if (name === '__proto__')
      report(reading, key.offset, { message: '__proto__ cannot be a key', hint: 'remove it' })
    else if (pair.value === null && looksGlued(name))
      report(reading, key.offset, { message: `"${name}" is a text, no key and value`, hint: gluedHint(name) })
    else if (first !== undefined)
      report(reading, key.offset, {
        message: `"${name}" stands here a second time`,
        hint: `keep one of them; the first is in line ${pointTo(first.key).line}`,
      })
    else {
      const value: Node =
        pair.value === null ? { kind: 'text', text: null, at: key, end: key.offset } : convert(reading, pair.value, key)
      entries.set(name, { key, value })
    }
  }
  return { kind: 'map', entries, at }
}

const notAKey: Trap = { message: 'a list or map cannot be a key', hint: 'write a name and a colon' }
const mergeKey: Trap = {
  message: '"<<" merges nothing: YAML 1.2 has no merge keys',
  hint: 'write the keys out, or use `environments`, which lie over the rest',
}
