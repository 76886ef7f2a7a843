/** The job summary as a page for a browser: the few forms of Markdown that src/report/summary.ts writes, and its HTML as it is. */

const inline = (text: string) =>
  text
    .replace(/\*\*(.+?)\*\*/g, '<strong>$1</strong>')
    .replace(/`([^`]+)`/g, '<code>$1</code>')
    .replace(/\\([!-/:-@[-`{-~])/g, '$1')

const cells = (line: string) =>
  line
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map(cell => inline(cell.trim()))

function table(lines: readonly string[]): string {
  const [head = '', , ...rows] = lines
  const row = (line: string, tag: 'th' | 'td') =>
    `<tr>${cells(line)
      .map(cell => `<${tag}>${cell}</${tag}>`)
      .join('')}</tr>`
  return `<table>${row(head, 'th')}${rows.map(line => row(line, 'td')).join('')}</table>`
}

function paragraph(text: string): string {
  const lines = text.split('\n')
  const heading = /^(#{1,6}) (.*)$/.exec(text)
  if (heading !== null) {
    const [, marks = '', title = ''] = heading
    return `<h${marks.length}>${inline(title)}</h${marks.length}>`
  }
  if (lines.every(line => line.startsWith('|'))) return table(lines)
  if (lines.every(line => /^[-*] /.test(line)))
    return `<ul>${lines.map(line => `<li>${inline(line.slice(2))}</li>`).join('')}</ul>`
  if (text.startsWith('<')) return text
  return `<p>${inline(text)}</p>`
}

const style = `body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1f2328}
table{border-collapse:collapse;margin:1rem 0}th,td{border:1px solid #d0d7de;padding:.3rem .7rem;text-align:left;vertical-align:top}
pre{background:#f6f8fa;padding:1rem;overflow:auto}code{background:#f6f8fa;padding:.1rem .3rem}summary{cursor:pointer}`

/** Markdown → a whole page. `<pre>` blocks pass through as they are. */
export function summaryPage(title: string, markdown: string): string {
  const parts = markdown.split(/(<pre>[\s\S]*?<\/pre>)/)
  const body = parts.flatMap(part =>
    part.startsWith('<pre>')
      ? [part]
      : part
          .split(/\n{2,}/)
          .map(text => text.trim())
          .filter(Boolean)
          .map(paragraph),
  )
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><title>${title}</title><style>${style}</style>
<body>
${body.join('\n')}
</body></html>
`
}
