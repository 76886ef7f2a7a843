/**
 * XML as AWS's query APIs answer it: elements, text and attributes that are passed over. Strict: what it does not know (comments,
 * doctypes, entities of one's own, mixed content) is an error, so that nothing is misread. Pure.
 */
export interface XmlElement {
  readonly name: string
  readonly children: readonly XmlElement[]
  /** Without children: its text, entities resolved. */
  readonly text: string
}

const maxDepth = 40
const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

const token =
  /<(?<close>\/?)(?<name>[A-Za-z_][\w.:-]*)(?<attributes>(?:\s+[\w.:-]+=(?:"[^"<]*"|'[^'<]*'))*)\s*(?<empty>\/?)>|(?<text>[^<]+)/y

interface Open {
  readonly name: string
  readonly children: XmlElement[]
  text: string
}

/** The root element. Throws SyntaxError. */
export function parseXml(xml: string): XmlElement {
  const scan = new RegExp(token)
  scan.lastIndex = /^\uFEFF?\s*(?:<\?xml[^<>]*\?>)?/.exec(xml)?.[0].length ?? 0
  const wrong = (what: string): never => {
    throw new SyntaxError(`${what} at character ${scan.lastIndex}`)
  }
  const stack: Open[] = []
  let root: XmlElement | undefined

  const end = ({ name, children, text }: Open) => {
    if (children.length > 0 && text.trim() !== '') wrong(`text beside the elements of ${name}`)
    const element: XmlElement = { name, children, text: children.length > 0 ? '' : resolved(text, wrong) }
    const parent = stack.at(-1)
    if (parent) parent.children.push(element)
    else if (root) wrong('a second root element')
    else root = element
  }

  while (scan.lastIndex < xml.length) {
    const at = scan.lastIndex
    const found = scan.exec(xml)?.groups
    if (!found) {
      scan.lastIndex = at
      return wrong('unknown markup')
    }
    const { close, name = '', attributes, empty, text } = found
    if (text !== undefined) {
      const inside = stack.at(-1)
      if (inside) inside.text += text
      else if (text.trim() !== '') wrong('text outside of the root element')
    } else if (close === '/') {
      const open = stack.pop()
      if (open?.name !== name || attributes !== '' || empty !== '') return wrong(`an unexpected </${name}>`)
      end(open)
    } else {
      if (stack.length >= maxDepth) wrong('too many levels')
      const open: Open = { name, children: [], text: '' }
      if (empty === '/') end(open)
      else stack.push(open)
    }
  }
  if (stack.length > 0 || !root) return wrong('the end comes too soon')
  return root
}

const resolved = (text: string, wrong: (what: string) => never): string =>
  text.replace(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w{1,10}))?;?/g, (whole, decimal, hex, name) => {
    const code = decimal ? Number(decimal) : hex ? Number.parseInt(hex, 16) : undefined
    const known = code === undefined ? entities[name ?? ''] : code <= 0x10ffff ? String.fromCodePoint(code) : undefined
    return known === undefined || !whole.endsWith(';') ? wrong(`the entity ${whole}`) : known
  })

const children = (element: XmlElement, name: string) => element.children.filter(c => c.name === name)

/** The only child of that name, or undefined. Throws SyntaxError for several. */
export function childOf(element: XmlElement, name: string): XmlElement | undefined {
  const [first, ...more] = children(element, name)
  if (more.length > 0) throw new SyntaxError(`several ${name} in ${element.name}`)
  return first
}

/** The text of a child, or of a child's child and so on; undefined where one is missing. Throws SyntaxError where it holds elements. */
export function textAt(element: XmlElement, ...path: readonly string[]): string | undefined {
  let at: XmlElement | undefined = element
  for (const name of path) at = at && childOf(at, name)
  if (at && at.children.length > 0) throw new SyntaxError(`${at.name} holds elements where text is expected`)
  return at?.text
}

/** The same, and an error where it is missing or empty. */
export function neededAt(element: XmlElement, ...path: readonly string[]): string {
  const text = textAt(element, ...path)
  if (text === undefined || text === '') throw new SyntaxError(`no ${path.join('.')} in ${element.name}`)
  return text
}

/** Items of a list as AWS writes them: `<Name><member>…</member></Name>`. Throws SyntaxError where the list is missing. */
export function itemsOf(element: XmlElement, name: string): readonly XmlElement[] {
  const list = childOf(element, name)
  if (!list) throw new SyntaxError(`no ${name} in ${element.name}`)
  const stranger = list.children.find(c => c.name !== 'member')
  if (stranger) throw new SyntaxError(`${stranger.name} in the list ${name}`)
  return list.children
}

/** A whole number of at least 0, undefined where there is none. Throws SyntaxError. */
export function wholeAt(element: XmlElement, ...path: readonly string[]): number | undefined {
  const text = textAt(element, ...path)
  if (text === undefined || text === '') return undefined
  if (!/^\d{1,9}$/.test(text)) throw new SyntaxError(`${path.join('.')} is not a whole number`)
  return Number(text)
}
