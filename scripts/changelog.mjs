/** CHANGELOG.md, in the form of https://keepachangelog.com/en/1.1.0/: `## [Unreleased]`, then `## [1.2.3] - 2026-11-21`, newest first. */

const released = /^\[([^\]]+)\] - (\d{4}-\d{2}-\d{2})$/

const isDate = text => {
  const date = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text)
}

/** The second-level sections, in order: `{ title, from, to, body }`, from and to in lines; a heading inside a code block is none. */
function sections(changelog) {
  const lines = changelog.split('\n')
  const starts = []
  let fence = null
  for (const [i, line] of lines.entries()) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1]
    if (fence !== null) fence = mark?.startsWith(fence) && line.trim() === mark ? null : fence
    else if (mark !== undefined) fence = mark
    else if (/^## /.test(line)) starts.push(i)
  }
  return starts.map((from, n) => {
    const to = starts[n + 1] ?? lines.length
    const body = lines.slice(from + 1, to).filter(line => !/^\[[^\]]+\]: /.test(line))
    return { title: (lines[from] ?? '').slice(3).trim(), from, to, body: body.join('\n').trim() }
  })
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

/** With what is unreleased as the section of a version. Throws when there is nothing, or the section is there already. */
export function withSection(changelog, version, date) {
  const all = sections(changelog)
  const unreleased = all.find(isUnreleased)
  if (unreleased === undefined || !says(unreleased.body)) throw new Error('CHANGELOG.md has nothing under [Unreleased]')
  if (all.some(s => released.exec(s.title)?.[1] === version)) throw new Error(`CHANGELOG.md has ${version} already`)
  const lines = changelog.split('\n')
  lines.splice(unreleased.from, 1, '## [Unreleased]', '', `## [${version}] - ${date}`)
  return lines.join('\n')
}
