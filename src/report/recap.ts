/** The end of the log: who ended how, failures first. */
import { duration } from './durations.ts'
import { makespanText } from './makespan.ts'
import { headOf } from './markdown.ts'
import { count, nameList } from './name-list.ts'
import { failuresFirst, isTrouble, outcomeText, reached, rotationWord } from './outcome-words.ts'
import { outcomeOf, type ServerState, secondsOut, secondsUnderWay } from './server-state.ts'
import { type ReportState, totalSeconds } from './state.ts'
import { columns } from './text-columns.ts'

export interface RecapLine {
  readonly text: string
  readonly tone: 'good' | 'bad' | 'plain'
}

/** Up to this many servers each have a row; of more, those that went well share lines. */
const mostRows = 40

const oneLine = (text: string, most: number) => headOf(text.replace(/\s*\n\s*/g, ' / '), most)

function cells(server: ServerState, now: number): readonly string[] {
  const out = secondsOut(server, now)
  const total = secondsUnderWay(server, now)
  return [
    oneLine(server.name, 60),
    outcomeText(server),
    server.ended && !server.ended.leftOut ? rotationWord[server.ended.rotation] : '',
    total === null ? '' : duration(total),
    out === null ? '' : `${duration(out)} out`,
    oneLine(server.ended?.failure?.message ?? '', 200),
  ]
}

const tone = (server: ServerState): RecapLine['tone'] =>
  isTrouble(server) ? 'bad' : outcomeOf(server) === 'succeeded' ? 'good' : 'plain'

/** The recap as lines of text, not sanitised yet. `cancelled`: of a run that a person ended, and that is brought to its end here. */
export function recap(state: ReportState, cancelled = false): readonly RecapLine[] {
  const now = state.lastAt ?? 0
  const servers = failuresFirst(state)
  const folded = servers.length > mostRows
  // The table of `status` has said all of those that were read.
  const rows = servers.filter(server => (!folded && state.command !== 'status') || isTrouble(server))
  const texts = columns(rows.map(server => cells(server, now)))
  const shared =
    folded && state.command !== 'status'
      ? Map.groupBy(
          servers.filter(server => !isTrouble(server)),
          outcomeText,
        )
      : new Map<string, ServerState[]>()
  const result = state.result ?? 'not finished'
  const bad = state.result !== 'success' && state.result !== 'skipped'
  const whom = state.command === 'status' && !bad ? `${count(servers.length, 'server')} read` : reached(state)
  return [
    ...rows.map((server, i) => ({ text: texts[i] ?? '', tone: tone(server) })),
    ...[...shared].map(([what, all]) => ({
      text: `${count(all.length, 'server')} ${what}: ${nameList(all.map(server => server.name))}`,
      tone: all.every(server => tone(server) === 'good') ? ('good' as const) : ('plain' as const),
    })),
    ...servers.flatMap(({ name, ended }) =>
      ended?.leftOut && ended.putBack
        ? [{ text: `put ${name} back with: ${oneLine(ended.putBack, 2000)}`, tone: 'bad' as const }]
        : [],
    ),
    ...(state.error
      ? [state.error.message, ...(state.error.hint ? [`→ ${state.error.hint}`] : [])]
          .flatMap(text => text.split('\n'))
          .map(text => ({ text, tone: 'bad' as const }))
      : []),
    ...[makespanText(state)].flatMap(text => (text === null ? [] : [{ text, tone: 'plain' as const }])),
    {
      text: `${cancelled ? (bad ? `cancelled, ${result}` : 'cancelled, and ended cleanly') : result}: ${whom}, in ${duration(totalSeconds(state))}`,
      tone: bad || cancelled ? 'bad' : 'good',
    },
  ]
}
