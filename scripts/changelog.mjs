/** CHANGELOG.md, in the form of https://keepachangelog.com/en/1.1.0/: `## [Unreleased]`, then `## [1.2.3] - 2026-11-21`, newest first. */

const released = /^\[([^\]]+)\] - (\d{4}-\d{2}-\d{2})$/

const isDate = text => {
  const date = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}

/** The lines that are headings of a level (`##` is 2); one inside a code block is none. */
function headings(lines, level) {
  const start = `${'#'.repeat(level)} `
  const found = []
  let fence = null
  for (const [i, line] of lines.entries()) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1]
    if (fence !== null) fence = mark?.startsWith(fence) && line.trim() === mark ? null : fence
    else if (mark !== undefined) fence = mark
    else if (line.startsWith(start)) found.push(i)
  }
  return found
}

/** The second-level sections, in order: `{ title, from, to, body }`, from and to in lines. */
function sections(changelog) {
  const lines = changelog.split('\n')
  const starts = headings(lines, 2)
  return starts.map((from, n) => {
    const to = starts[n + 1] ?? lines.length
    const body = lines.slice(from + 1, to).filter(line => !/^\[[^\]]+\]: /.test(line))
    return { title: (lines[from] ?? '').slice(3).trim(), from, to, body: body.join('\n').trim() }
  })
}

/** Several bodies as one: what stands under the same third-level heading comes together, in the order of the first. */
function together(bodies) {
  const parts = new Map([['', []]])
  for (const body of bodies) {
    const lines = body.split('\n')
    const starts = headings(lines, 3)
    for (const [n, from] of [-1, ...starts].entries()) {
      const heading = (lines[from] ?? '').trim()
      const text = lines
        .slice(from + 1, starts[n] ?? lines.length)
        .join('\n')
        .trim()
      if (text !== '') parts.set(heading, [...(parts.get(heading) ?? []), text])
    }
  }
  // Lists go on; a paragraph stands for itself.
  const joined = texts => texts.reduce((all, text) => `${all}${/^[-*] /.test(text) ? '\n' : '\n\n'}${text}`)
  return [...parts]
    .filter(([, texts]) => texts.length > 0)
    .map(([heading, texts]) => (heading === '' ? joined(texts) : `${heading}\n\n${joined(texts)}`))
    .join('\n\n')
}

/** Whether a section says something: a heading or a comment alone does not. */
const says = body =>
  body
    .replace(/<!--[\s\S]*?-->/g, '')
    .replace(/^#+ .*$/gm, '')
    .trim() !== ''

const isUnreleased = section => section.title.toLowerCase().replace(/[[\]]/g, '') === 'unreleased'

/** Whether nothing waits for a release. */
export const emptied = changelog => !sections(changelog).some(s => isUnreleased(s) && says(s.body))

/** What CHANGELOG.md says of a version. Throws when that is nothing, or not in form. */
export function section(changelog, version) {
  const all = sections(changelog)
  const named = all.filter(s => released.exec(s.title)?.[1] === version)
  const nearly = all.find(s =>
    s.title.split(/[^0-9A-Za-z.-]+/).some(word => word === version || word === `v${version}`),
  )
  if (named.length === 0 && nearly !== undefined)
    throw new Error(`CHANGELOG.md: “## ${nearly.title}” is to be “## [${version}] - YYYY-MM-DD”`)
  const [only] = named
  if (only === undefined) throw new Error(`CHANGELOG.md has no section “## [${version}] - YYYY-MM-DD”`)
  if (named.length > 1) throw new Error(`CHANGELOG.md has ${named.length} sections of ${version}`)
  const date = released.exec(only.title)?.[2] ?? ''
  if (!isDate(date)) throw new Error(`CHANGELOG.md: ${date}, of ${version}, is no day`)
  if (all.find(s => !isUnreleased(s)) !== only)
    throw new Error(`CHANGELOG.md: ${version} is not the newest section: newest come first`)
  if (!says(only.body)) throw new Error(`CHANGELOG.md says nothing of ${version}`)
  return only.body
}

/**
 * With what is unreleased as the section of a version; that of a full version has what its pre-releases brought, too, whose own sections
 * stay. Throws when there is nothing, or the section is there already.
 */
export function withSection(changelog, version, date) {
  const all = sections(changelog)
  const unreleased = all.find(isUnreleased)
  const isBefore = s => !version.includes('-') && released.exec(s.title)?.[1]?.startsWith(`${version}-`)
  const before = all.filter(s => isBefore(s) && says(s.body))
  const waits = unreleased !== undefined && says(unreleased.body)
  if (!waits && before.length === 0)
    throw new Error('CHANGELOG.md has nothing under [Unreleased]: write there what is new, then prepare again')
  if (all.some(s => released.exec(s.title)?.[1] === version)) throw new Error(`CHANGELOG.md has ${version} already`)
  const lines = changelog.split('\n')
  const start = ['## [Unreleased]', '', `## [${version}] - ${date}`]
  if (before.length === 0) {
    lines.splice(unreleased.from, 1, ...start)
    return lines.join('\n')
  }
  const bodies = [...(waits ? [unreleased.body] : []), ...before.map(s => s.body)]
  const at = unreleased ?? { from: all[0].from, to: all[0].from }
  lines.splice(at.from, at.to - at.from, ...start, '', together(bodies), '')
  return lines.join('\n')
}
