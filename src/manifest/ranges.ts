/** `web[01-20]`: texts with ranges, expanded side by side. */

/** No fleet of this tool is larger; a typing error (`[1-99999999]`) ends here. */
export const most = 10_000

export interface BadRange {
  readonly problem: string
  readonly hint: string
}
export type Expansion = readonly Readonly<Record<string, string>>[] | BadRange

const range = /\[(\d{1,9})-(\d{1,9})\]/g
/** A bracket that is neither a range nor around an IPv6 address. */
const oddBracket = /\[(?!\d{1,9}-\d{1,9}\]|[0-9a-fA-F:.%\w]*:[^\]]*\])[^\]]*\]?/

function counted(from: string, to: string): readonly string[] | string {
  const [first, last] = [Number(from), Number(to)]
  const zeros = [from, to].some(n => n.length > 1 && n.startsWith('0'))
  if (zeros && from.length !== to.length) return `[${from}-${to}]: both ends need the same number of digits`
  if (first > last) return `[${from}-${to}]: the smaller number comes first`
  if (last - first >= most) return `[${from}-${to}]: more than ${most} of them`
  const width = zeros ? from.length : 0
  return Array.from({ length: last - first + 1 }, (_, i) => String(first + i).padStart(width, '0'))
}

type Part = string | readonly string[]

/** A text as parts: fixed ones, and lists of what a range counts.  */
function partsOf(text: string): { readonly parts: readonly Part[] } | { readonly problem: string } {
  const [odd] = oddBracket.exec(text) ?? []
  if (odd !== undefined) return { problem: `"${odd}" is no range` }
  const parts: Part[] = []
  let rest = 0
  for (const match of text.matchAll(range)) {
    const [written, from = '', to = ''] = match
    const values = counted(from, to)
    if (typeof values === 'string') return { problem: values }
    parts.push(text.slice(rest, match.index), values)
    rest = match.index + written.length
  }
  return { parts: [...parts, text.slice(rest)] }
}

/**
 * All ranges of the given texts are counted through together: the first of each, the second of each, … so that name, host and id
 * stay side by side. Zeros are kept. Texts without a range are repeated.
 */
export function expand(texts: Readonly<Record<string, string>>): Expansion {
  const all = new Map<string, readonly Part[]>()
  const lengths: { readonly what: string; readonly length: number }[] = []
  for (const [name, text] of Object.entries(texts)) {
    const result = partsOf(text)
    if ('problem' in result)
      return { problem: `${name}: ${result.problem}`, hint: 'a range is two numbers: web[01-20]' }
    all.set(name, result.parts)
    for (const part of result.parts) if (typeof part !== 'string') lengths.push({ what: name, length: part.length })
  }
  const length = lengths[0]?.length ?? 1
  if (lengths.some(l => l.length !== length))
    return {
      problem: `ranges of unequal length: ${lengths.map(l => `${l.what} has ${l.length}`).join(', ')}`,
      hint: 'ranges are counted through together, so all of one server have the same length',
    }
  const nth = (parts: readonly Part[], i: number) =>
    parts.map(part => (typeof part === 'string' ? part : part[i])).join('')
  return Array.from({ length }, (_, i) => Object.fromEntries([...all].map(([name, parts]) => [name, nth(parts, i)])))
}

export const isBad = (expansion: Expansion): expansion is BadRange => 'problem' in expansion
