/**
 * The live log. One server at a time: a group per server, its output live inside. Several at once: each line names its server, live
 * lines say what starts and ends, and what a server printed follows as one group when it is done or the phase is over; so nothing
 * stands in the log twice. Groups do not nest, and a terminal has none: there all output comes live.
 */
import { shardName } from '../plan/shards.ts'
import { between, duration } from './durations.ts'
import type { Event, Listener, Phase } from './events.ts'
import { createHeldOutput } from './held-output.ts'
import { createLines } from './lines.ts'
import { logLine } from './log-line.ts'
import { count, withoutName } from './name-list.ts'
import { outcomeText } from './outcome-words.ts'
import { waitTexts } from './plan-words.ts'
import { recap } from './recap.ts'
import { forLog, forTerminal } from './sanitise.ts'
import { type ServerState, secondsOut, secondsUnderWay } from './server-state.ts'
import { shardLines } from './shard-table.ts'
import { createFold } from './state.ts'
import { escapeData } from './workflow-command.ts'

export interface LogOptions {
  /** true: groups, and no line becomes a workflow command. false: a terminal. */
  readonly github: boolean
  readonly colour: boolean
  /** The end of a run that was cancelled. */
  readonly cancelled?: boolean
  /** Takes one line without its end. */
  readonly write: (line: string) => void
}

type Tone = 'good' | 'bad' | 'warn' | 'heading' | 'plain'
const colours = { good: '32', bad: '31', warn: '33', heading: '1', plain: null } as const satisfies Record<
  Tone,
  string | null
>

const headings = {
  preflight: 'Preflight',
  recover: 'Recover',
  prepare: 'Prepare',
  migrate: 'Migrate',
  rollout: 'Rollout',
  finish: 'Finish',
} as const satisfies Record<Phase, string>

const longestPrefix = 30

/** Of a line that was written over and over, a progress bar's, only the last state. */
const overwritten = (line: string) => (line.includes('\r') ? forTerminal(line) : line)

/** A listener that writes the log. Every line passes the sanitiser whole, prefix and all. */
export function createLog({ github, colour, cancelled = false, write }: LogOptions): Listener {
  const fold = createFold()
  const lines = createLines()
  const held = createHeldOutput()
  const seen = new Set<string>()
  let startedAt: number | null = null
  let command = ''
  let phase: Phase | null = null
  let alone = false
  let oneAtATime: ReadonlySet<string> = new Set()
  let prefixWidth = 0
  /** The server whose group is open. */
  let open: string | null = null
  const opened = new Set<string>()

  const out = (text: string, tone: Tone = 'plain') => {
    // What goes back to a line's start would take away our own words before it: whose line it is.
    const whole = text.replaceAll('\r', ' ')
    const safe = github ? forLog(whole) : forTerminal(whole)
    const code = colour ? colours[tone] : null
    write(code === null ? safe : `\x1b[${code}m${safe}\x1b[0m`)
  }
  const say = (server: string, text: string, tone: Tone = 'plain') => {
    if (open === server) return out(`  ${text}`, tone)
    out(`${`[${server}]`.padEnd(prefixWidth)} ${text}`, tone)
  }
  const group = (title: string) => write(`::group::${escapeData(forLog(title))}`)
  const close = () => {
    if (open !== null) write('::endgroup::')
    open = null
  }
  const openFor = (server: string) => {
    if (open === server) return
    close()
    group(opened.has(`${phase} ${server}`) ? `${server} (continued)` : server)
    opened.add(`${phase} ${server}`)
    open = server
  }
  const showHeld = (server: string) => {
    const all = held.take(server)
    if (all.length === 0) return
    close()
    group(`${server}: output, ${all.length} ${all.length === 1 ? 'line' : 'lines'}`)
    for (const line of all) out(`  ${overwritten(line)}`)
    write('::endgroup::')
  }

  /** Nobody else is under way in this phase, so the server's lines may stand together as they come. */
  const isLive = (server: string) =>
    github && (alone || phase === 'migrate' || (phase === 'rollout' && oneAtATime.has(server)))

  const output = (server: string, whole: readonly string[]) => {
    if (github && open !== server) held.add(server, whole)
    else for (const line of whole) say(server, `│ ${overwritten(line)}`)
  }

  const ended = (server: ServerState, now: number) => {
    const took = secondsUnderWay(server, now)
    const away = secondsOut(server, now)
    const failure = server.ended?.failure
    const bad = failure !== undefined || server.ended?.leftOut === true
    const times = [took === null ? [] : duration(took), away === null ? [] : `${duration(away)} out of rotation`].flat()
    const said = `${bad ? '✗' : '•'} ${outcomeText(server)}${times.length > 0 ? ` (${times.join(', ')})` : ''}`
    say(server.name, said, bad ? 'bad' : 'good')
    if (server.ended?.recovery?.done) say(server.name, `  ${server.ended.recovery.done}`)
    const why = failure ? [`${failure.stage}: ${failure.message}`, ...(failure.hint ? [`→ ${failure.hint}`] : [])] : []
    for (const line of why.join('\n').split('\n').filter(Boolean)) say(server.name, `  ${line}`, 'bad')
  }

  const onServer = (event: Extract<Event, { readonly server: string }>) => {
    const { server } = event
    if (event.type === 'server-ended') {
      output(server, lines.end(server))
      if (open === server) close()
      showHeld(server)
      const state = fold.server(server)
      // `status` shows a table of what it read.
      if (state && !(command === 'status' && event.outcome === 'skipped')) ended(state, event.at)
      return
    }
    const line = event.type === 'output' ? null : logLine(event)
    if (event.type === 'step-ended') output(server, lines.end(server))
    if (line === null && event.type !== 'output') return
    if (isLive(server)) openFor(server)
    if (event.type === 'output') output(server, lines.push(server, event.stream, event.text))
    else if (line) say(server, line.text, line.tone)
  }

  const inOrder = (event: Event) => {
    switch (event.type) {
      case 'run-started':
        startedAt = event.at
        command = event.command
        return out(
          `${command} ${event.manifest}${event.subject === undefined ? '' : `: ${event.subject}`}${event.shard === undefined ? '' : `, ${shardName(event.shard)}`}`,
          'heading',
        )
      case 'planned': {
        const { plan } = event
        alone = plan.servers.length === 1
        oneAtATime = new Set(plan.groups.filter(g => g.limit === 1).flatMap(g => g.servers))
        prefixWidth = Math.min(longestPrefix, Math.max(0, ...plan.servers.map(s => s.name.length)) + 2)
        const where = plan.environment ? ` → ${plan.environment}` : ''
        out(
          `${plan.application}${where}: ${count(plan.servers.length, 'server')}, ${plan.strategy.value} (${plan.strategy.reason})`,
        )
        for (const text of waitTexts(plan)) out(`Waits at ${text}`)
        if (plan.addedSeconds > 0) out(`Waits add ${duration(plan.addedSeconds)} in all`)
        for (const text of plan.warnings) message('warning', text)
        for (const text of plan.notices) message('notice', text)
        return
      }
      case 'phase':
        flush()
        phase = event.phase
        return out(`── ${headings[event.phase]} ── after ${between(startedAt ?? event.at, event.at)}`, 'heading')
      case 'message':
        return message(event.level, event.text, event.server, event.hint)
      case 'merged':
        out(`── ${event.state.command}${event.state.subject === null ? '' : ` ${event.state.subject}`} ──`, 'heading')
        for (const { text, good } of shardLines(event.state)) out(text, good ? 'good' : 'bad')
        return
      case 'run-ended':
        flush()
        out('── Recap ──', 'heading')
        for (const line of recap(fold.state(), cancelled)) out(line.text, line.tone)
        return
      default:
        return onServer(event)
    }
  }

  const message = (level: string, text: string, server?: string, hint?: string) => {
    if (seen.has(`${server} ${text}`)) return
    seen.add(`${server} ${text}`)
    const tone = level === 'error' ? 'bad' : level === 'warning' ? 'warn' : 'plain'
    const said = server === undefined ? text : withoutName(text, server)
    const all = `${level === 'info' ? '' : `${level}: `}${said}${hint ? `\n→ ${hint}` : ''}`.split('\n')
    for (const line of all) server === undefined ? out(line, tone) : say(server, line, tone)
  }

  const flush = () => {
    close()
    for (const server of held.servers()) showHeld(server)
  }

  return event => {
    fold.listener(event)
    inOrder(event)
  }
}
