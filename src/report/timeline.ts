/** Who was out of rotation when, as bars in plain text. */
import { duration } from './durations.ts'
import { forTerminal } from './sanitise.ts'
import { outOfRotation, type ServerState, secondsOut } from './server-state.ts'
import type { ReportState } from './state.ts'
import { columns } from './text-columns.ts'

const mostServers = 40
const width = 56
const longestName = 24

const ending = ({ ended }: ServerState) => (ended?.rotation === 'unknown' ? ', back not confirmed' : ', still out')

/**
 * Lines of at most 100 characters; null where nobody was taken out. Each server out for less than one place of the bar still shows one.
 */
export function timeline(state: ReportState): string | null {
  const rows = [...state.servers.values()].flatMap(server => {
    const stretches = outOfRotation(server)
    return stretches.length === 0 ? [] : [{ server, stretches }]
  })
  if (rows.length === 0) return null
  if (rows.length > mostServers) return `${rows.length} servers were out of rotation at some time: too many to draw.`
  const first = Math.min(...rows.flatMap(row => row.stretches.map(s => s.from)))
  const last = Math.max(state.lastAt ?? first, first + 1)
  const place = (at: number) => Math.min(width - 1, Math.floor(((at - first) / (last - first)) * width))
  const bar = (stretches: ReturnType<typeof outOfRotation>) => {
    const places = Array.from({ length: width }, () => '·')
    for (const { from, to } of stretches)
      places.fill('█', place(from), to === null ? width : Math.max(place(to), place(from) + 1))
    return places.join('')
  }
  const drawn = rows.map(({ server, stretches }) => {
    const name = forTerminal(server.name)
    return [
      name.length > longestName ? `${name.slice(0, longestName - 1)}…` : name,
      bar(stretches) + (stretches.at(-1)?.to === null ? (server.ended?.rotation === 'unknown' ? '?' : '▶') : ''),
      duration(secondsOut(server, last) ?? 0) + (stretches.at(-1)?.to === null ? ending(server) : ''),
    ]
  })
  const end = duration((last - first) / 1000)
  return columns([['', `0 s${end.padStart(width - 3)}`, ''], ...drawn]).join('\n')
}
